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
mod tests {
    use super::*;

    #[test]
    fn the_program_is_short_and_does_not_look_like_one_of_the_run() {
        let program = program("12.3.1-a", Duration::from_millis(2500));
        assert!(program.len() < 4096, "{} bytes", program.len());
        assert!(program.contains("RUN=12.3.1-a\n"));
        assert!(program.contains("grace=250\n"));
        assert!(!program.contains('@') && !program.contains("MUSTER_RUN=12"));
    }

    #[test]
    fn its_last_word_is_read() {
        let done = outcome(b"hello from .bashrc\nmuster-kill 1 3 2 \n").expect("is read");
        assert!(done.seen && done.left.is_empty());
        assert_eq!((done.report.terminated, done.report.killed), (3, 2));
        assert_eq!(
            outcome(b"muster-kill 1 1 1 77 78\n").expect("is read").left,
            [77, 78]
        );
        for bad in [
            "",
            "muster-kill",
            "muster-kill 1 x 1",
            "sudo: a password is required\n",
        ] {
            assert_eq!(outcome(bad.as_bytes()), None, "{bad}");
        }
    }
}
