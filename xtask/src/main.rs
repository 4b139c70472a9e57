//! The house rules of Muster as a program: `cargo xtask layers`, `cargo xtask tidy` and
//! `cargo xtask instructions`.
//!
//! Each prints what is wrong, where, and what would be right, and fails where anything is. The first two run as
//! tests too, so that the plain test run holds them.

mod instructions;
mod layers;
mod tidy;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask layers|tidy|instructions

layers        compares who depends on whom with the table of allowed edges
tidy          checks the house rules that compilers do not know
instructions  counts what small pieces of work cost and compares with benches/cases/baseline.txt";

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let found = match asked.as_deref() {
        Some("layers") => layers::problems().map_err(|error| error.to_string()),
        Some("tidy") => tidy::problems(&root()).map_err(|error| error.to_string()),
        Some("instructions") => instructions::problems(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match found {
        Ok(report) => {
            for line in &report.remarks {
                eprintln!("remark: {line}");
            }
            for line in &report.problems {
                eprintln!("error: {line}");
            }
            ExitCode::from(u8::from(!report.problems.is_empty()))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a check found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// What must be changed.
    problems: Vec<String>,
    /// What to look at.
    remarks: Vec<String>,
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}
