//! File names with `*` and `?` for `Include`, one folder level at a time.

use std::path::{Path, PathBuf};

use super::pattern::matches;

/// The most files that one pattern may name.
const MOST: usize = 4096;

/// Returns the files that an absolute pattern names, in the order of their names. A name that begins with
/// a dot is only meant by a pattern that begins with one, as in a shell.
pub(crate) fn glob(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found
            .iter()
            .flat_map(|folder| names(folder, part))
            .take(MOST)
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn names(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let meant = matches(pattern, &name) && (pattern.starts_with('.') || !name.starts_with('.'));
            meant.then(|| folder.join(name))
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["conf.d/20-b", "conf.d/10-a", "conf.d/.hidden", "other.d/x"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| {
            let pattern = format!("{}/{pattern}", folder.path().display());
            let strip = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_owned();
            glob(&pattern).into_iter().map(strip).collect::<Vec<_>>()
        };
        assert_eq!(
            names("conf.d/*"),
            [Path::new("conf.d/10-a"), Path::new("conf.d/20-b")]
        );
        assert_eq!(names("*.d/?"), [Path::new("other.d/x")]);
        assert_eq!(names("conf.d/10-a"), [Path::new("conf.d/10-a")]);
        assert!(names("conf.d").is_empty() && names("none/*").is_empty());
    }
}
