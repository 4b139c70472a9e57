//! Muster: the command line, the REPL and the one place that wires everything together.

mod cli;
mod daemon;
mod demo;
mod render;
mod repl;
mod settings;
mod wiring;

fn main() -> std::process::ExitCode {
    cli::main()
}
