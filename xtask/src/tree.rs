//! The files of the workspace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A text file of the workspace.
#[derive(Debug)]
pub(crate) struct Text {
    /// Its path from the workspace's folder, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// Folders that are not ours or not written by hand.
const SKIPPED: &[&str] = &["target", ".git", "snapshots", "node_modules"];
const KINDS: &[&str] = &["rs", "toml", "md", "sh", "yml", "yaml", "json"];

/// Reads the text files below `root`, in order.
pub(crate) fn texts(root: &Path) -> io::Result<Vec<Text>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        // Others may be at work in the same folder: what has gone meanwhile is not there.
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let path = path.strip_prefix(root).unwrap_or(&path);
        let path = path.to_string_lossy().replace('\\', "/");
        texts.push(Text { path, text });
    }
    Ok(texts)
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                walk(&entry.path(), into)?;
            }
        } else if kind.is_file() && is_ours(&entry.path()) {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// Whether it is a text that people write: by its ending, or a script, which has none.
fn is_ours(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => KINDS.iter().any(|kind| extension == *kind),
        None => {
            let parent = path.parent().and_then(Path::file_name);
            parent.is_some_and(|parent| parent == "scripts" || parent == ".ci")
        }
    }
}
