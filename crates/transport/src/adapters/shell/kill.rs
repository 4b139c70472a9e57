//! The program that ends a run's processes, and what it says.

use std::time::Duration;

use crate::types::KillReport;

const PROGRAM: &str = include_str!("kill.sh");

/// What the program found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether any process of the run was there.
    pub(crate) seen: bool,
    /// What was done.
    pub(crate) report: KillReport,
    /// The processes that could not be ended.
    pub(crate) left: Vec<u32>,
}

/// Returns the program for `/bin/sh` that ends every process with this mark.
pub(crate) fn program(mark: &str, grace: Duration) -> String {
    let centis = grace.as_millis() / 10;
    // Comments are for the reader of the file alone; what is sent stays small.
    PROGRAM
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("@MARK@", mark)
        .replace("@GRACE@", &centis.to_string())
}

/// Reads what the program said, None where it did not come to its end.
pub(crate) fn outcome(stdout: &[u8]) -> Option<Outcome> {
    let text = String::from_utf8_lossy(stdout);
    // A login shell's own start files may print lines before.
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("muster-kill "))?;
    let mut words = line.split_whitespace().map(|word| word.parse::<u32>().ok());
    let seen = words.next()?? != 0;
    let report = KillReport {
        terminated: words.next()??,
        killed: words.next()??,
    };
    let left = words.collect::<Option<Vec<u32>>>()?;
    Some(Outcome { seen, report, left })
}

#[cfg(test)]
mod tests;
