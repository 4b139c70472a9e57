//! Reading the local files that an import names, and no others: bounded in size, all of them together.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use muster_model::limits::REQUEST_BYTES;

/// The most files that one import reads.
const FILES: usize = 200_000;
/// The most entries of a folder that are looked at.
const ENTRIES: usize = 1_000_000;

/// Reads files, and counts what was read.
#[derive(Debug, Default)]
pub(super) struct Files {
    bytes: usize,
    count: usize,
}

impl Files {
    /// Returns the text of a file.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, and what would be right.
    pub(super) fn text(&mut self, path: &Path) -> Result<String, String> {
        self.count += 1;
        if self.count > FILES {
            return Err(format!("more than {FILES} files belong to it"));
        }
        let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
        // A pipe or a device would never end, and opening one may wait for ever.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        let left = REQUEST_BYTES - self.bytes.min(REQUEST_BYTES);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(left as u64 + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        self.take(bytes)
    }

    /// Counts what came another way, and returns it as text.
    ///
    /// # Errors
    ///
    /// As [`Self::text`].
    pub(super) fn take(&mut self, bytes: Vec<u8>) -> Result<String, String> {
        self.bytes += bytes.len();
        if self.bytes > REQUEST_BYTES {
            return Err(format!(
                "the files are longer than {} MiB together: import them in parts",
                REQUEST_BYTES / 1024 / 1024
            ));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            format!(
                "it is not UTF-8 text: the byte at offset {} is wrong",
                error.utf8_error().valid_up_to()
            )
        })?;
        match text.strip_prefix('\u{feff}') {
            Some(rest) => Ok(rest.to_owned()),
            None => Ok(text),
        }
    }
}

/// Returns the names in a folder, sorted; those that are not UTF-8 are left out.
///
/// # Errors
///
/// Why it cannot be read.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut names: Vec<String> = entries
        .take(ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Returns the files that a path with `*` and `?` in it names, sorted.
pub(super) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part: OsString = part.as_os_str().to_owned();
        let text = part.to_string_lossy();
        if !text.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(&part));
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let names = names(folder).unwrap_or_default();
            let fits =
                |name: &&String| (!name.starts_with('.') || text.starts_with('.')) && is_match(&text, name);
            next.extend(names.iter().filter(fits).map(|name| folder.join(name)));
        }
        found = next;
    }
    let mut seen = HashSet::new();
    found.retain(|path| path.is_file() && seen.insert(path.clone()));
    found
}

/// Tells whether a name matches a pattern of `*` and `?`.
fn is_match(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(c) if *c == '?' || *c == name[at] => {
                of += 1;
                at += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    of = back + 1;
                    at = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.config", false),
            ("a?c*", "abcd", true),
            ("*a*b*", "xxaxxb", true),
            ("*a*b*", "xxbxxa", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }
}
