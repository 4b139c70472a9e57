//! Which muster this is: the release, and the build of it, so that a rebuilt binary replaces the server
//! that an earlier build left running.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// Returns the version of this binary: the release, then `+`, the time when the file was written in
/// milliseconds, `.` and its size.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let release = env!("CARGO_PKG_VERSION");
        // Read once, and early: the file may be replaced while this process runs.
        match std::env::current_exe().and_then(std::fs::metadata) {
            Ok(file) => {
                let written = file.mtime() * 1000 + file.mtime_nsec() / 1_000_000;
                format!("{release}+{written}.{}", file.size())
            }
            Err(_) => release.to_owned(),
        }
    })
}

/// Tells whether `one` is a newer binary than `other`. Of two builds of one release the one that was written
/// later is the newer one; a text that is no version is older than all.
pub(super) fn is_newer(one: &str, other: &str) -> bool {
    rank(one) > rank(other)
}

fn rank(version: &str) -> Option<([u64; 3], u64)> {
    let (release, build) = version.split_once('+').unwrap_or((version, ""));
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u64>().ok());
    let release = [numbers.next()??, numbers.next()??, numbers.next()??];
    let build = build.split('.').next().and_then(|time| time.parse().ok());
    Some((release, build.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_count_before_builds() {
        for (newer, older) in [
            ("0.2.0", "0.1.9"),
            ("0.10.0", "0.9.0"),
            ("1.0.0+5.1", "0.9.9+900.1"),
            ("0.1.0+6.1", "0.1.0+5.9"),
            ("0.1.0+1.1", "0.1.0"),
            ("0.1.0", "nonsense"),
        ] {
            assert!(is_newer(newer, older), "{newer} {older}");
            assert!(!is_newer(older, newer), "{older} {newer}");
        }
        assert!(!is_newer("0.1.0+5.1", "0.1.0+5.1"));
    }

    #[test]
    fn this_binary_is_no_newer_than_itself() {
        assert!(version().starts_with(concat!(env!("CARGO_PKG_VERSION"), "+")));
        assert!(rank(version()).is_some());
        assert!(!is_newer(version(), version()));
    }
}
