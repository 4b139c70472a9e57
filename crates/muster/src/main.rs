//! Muster: the command line, the REPL and the one place that wires everything together.
#![expect(
    unreachable_pub,
    reason = "a program exports nothing: `pub` marks what a module offers to the others"
)]

mod cli;
mod daemon;
mod demo;
mod inventory;
mod render;
mod repl;
mod settings;
mod traces;
mod wiring;

fn main() -> std::process::ExitCode {
    cli::main()
}
