//! Runs one case so many times, for a tool that counts instructions:
//!
//!     muster-cases CASE TIMES
//!
//! Without arguments it prints the names of the cases. What a case costs is what TIMES+1 runs cost more than
//! TIMES: the start of the program and the preparation drop out.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        for name in muster_cases::NAMES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let times = args.next().and_then(|times| times.parse::<u32>().ok());
    let (Some(mut case), Some(times)) = (muster_cases::find(&name), times) else {
        eprintln!("usage: muster-cases CASE TIMES");
        return ExitCode::from(2);
    };
    for _ in 0..times {
        (case.run)();
    }
    ExitCode::SUCCESS
}
