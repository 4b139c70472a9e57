//! The name of a file as a stranger may write it, and why a request is refused.

use std::fmt;

/// The longest name, in bytes.
pub(crate) const NAME_BYTES: usize = 255;

/// A name that stays under the folder it is looked for in: parts between `/`, none of which is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName(String);

impl FileName {
    /// Reads a name. What it may be is said here once, for server and client.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| Refusal::Name)?;
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        // Control characters would end the line that a name stands in, or move a terminal's cursor.
        let fits =
            text.len() <= NAME_BYTES && !text.chars().any(char::is_control) && text.split('/').all(is_part);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::Name)
        }
    }

    /// Returns the folders on the way, and the last part.
    pub(crate) fn parts(&self) -> (impl Iterator<Item = &str>, &str) {
        let (folders, last) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        (folders.split('/').filter(|part| !part.is_empty()), last)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a request is not answered with a file. Each has a word for programs and a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The line is no request.
    Request,
    /// The name could lead anywhere.
    Name,
    /// There is no such file.
    Missing,
    /// It is there, and not given out.
    Denied,
    /// There are too many to be listed.
    TooMany,
    /// The server could not read it.
    Failed,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Request,
        Self::Name,
        Self::Missing,
        Self::Denied,
        Self::TooMany,
        Self::Failed,
    ];

    /// Returns the refusal that a line names by its word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Name => "name",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::TooMany => "too-many",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "write GET and a name, or LIST, and end the line",
            Self::Name => "a name has up to 255 bytes, and no part that is empty, . or ..",
            Self::Missing => "there is no such file",
            Self::Denied => "this is no plain file, or not one to be read",
            Self::TooMany => "there are too many files to be listed",
            Self::Failed => "the file could not be read",
        })
    }
}
