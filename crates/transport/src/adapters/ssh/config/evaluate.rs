//! What the files say about one host: blocks that match, files that are included, the first value wins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::Options;
use super::pattern::list_matches;
use super::statement::{Criterion, Numbered, Statement};
use super::tokens;

/// How deep files may include each other, as in OpenSSH.
const DEPTH: usize = 16;

/// How much the files may say about one host, in statements; opening a file costs as much as [`A_FILE`].
/// Ten files that include each other are read ten to the sixteenth times before the depth ends it.
const WORK: usize = 4 * 1024 * 1024;
const A_FILE: usize = 1024;

/// Gives the files. The real one is [`super::Disk`]; tests and fuzzers give texts.
pub(crate) trait Source {
    /// Returns a file's statements; None where there is no such file.
    fn statements(&self, path: &Path, root: &Root) -> Result<Option<Arc<Vec<Numbered>>>, Problem>;

    /// Returns the files that a pattern names, in order.
    fn files(&self, pattern: &str) -> Vec<PathBuf>;
}

/// A file to begin with.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The file.
    pub(crate) path: PathBuf,
    /// The folder that relative `Include`s speak of.
    pub(crate) folder: PathBuf,
    /// Whether the file has to exist.
    pub(crate) required: bool,
    /// Whether others than the user and root must not be able to write it.
    pub(crate) private: bool,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The host's name, as it was asked for.
    pub(crate) host: &'a str,
    /// The user, where one was asked for.
    pub(crate) user: Option<&'a str>,
    /// The local user.
    pub(crate) local_user: &'a str,
    /// The local user's home folder.
    pub(crate) home: &'a Path,
}

/// A file that cannot be used, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) String);

/// Returns what the files say about a host.
pub(crate) fn evaluate(source: &dyn Source, roots: &[Root], asked: Asked<'_>) -> Result<Options, Problem> {
    let mut pass = Pass {
        source,
        asked,
        host: asked.host.to_owned(),
        is_final: false,
        wants_final: false,
        options: Options::default(),
        work: 0,
    };
    pass.run(roots)?;
    if pass.wants_final {
        pass.host = pass.known_host()?.to_lowercase();
        // The name to connect to stands by now.
        pass.options.host_name = Some(pass.host.replace('%', "%%"));
        pass.is_final = true;
        pass.run(roots)?;
    }
    Ok(pass.options)
}

struct Pass<'a> {
    source: &'a dyn Source,
    asked: Asked<'a>,
    /// What `Host` is compared with: the name asked for; in the final pass the name to connect to.
    host: String,
    is_final: bool,
    wants_final: bool,
    options: Options,
    /// How much has been read, see [`WORK`].
    work: usize,
}

impl Pass<'_> {
    fn run(&mut self, roots: &[Root]) -> Result<(), Problem> {
        roots.iter().try_for_each(|root| self.file(&root.path, root, 0))
    }

    fn file(&mut self, path: &Path, root: &Root, depth: usize) -> Result<(), Problem> {
        if depth > DEPTH {
            return Err(Problem(format!(
                "{}: files include each other more than {DEPTH} deep",
                path.display()
            )));
        }
        let Some(statements) = self.source.statements(path, root)? else {
            if root.required && depth == 0 {
                return Err(Problem(format!("{}: there is no such file", path.display())));
            }
            return Ok(());
        };
        self.work += A_FILE + statements.len();
        if self.work > WORK {
            return Err(Problem(format!(
                "{}: files include each other too often",
                path.display()
            )));
        }
        let mut active = true;
        for (line, statement) in statements.iter() {
            let at = |what: String| Problem(format!("{} line {line}: {what}", path.display()));
            match statement {
                Statement::Host(patterns) => {
                    active = list_matches(patterns.iter().map(String::as_str), &self.host);
                }
                Statement::Match(criteria) => {
                    active = self.meets(criteria).map_err(|Problem(what)| at(what))?;
                }
                Statement::Include(patterns) if active => self.include(patterns, root, depth)?,
                Statement::Include(_) => {}
                Statement::Set(setting) if active => self.options.apply(setting),
                Statement::Set(_) => {}
                // Wherever it stands, as in OpenSSH: only an earlier IgnoreUnknown can excuse it.
                Statement::Unknown(keyword) => {
                    let excused =
                        self.options.ignore_unknown.as_ref().is_some_and(|patterns| {
                            list_matches(patterns.iter().map(String::as_str), keyword)
                        });
                    if !excused {
                        let shown: String = keyword.chars().take(60).collect();
                        return Err(at(format!(
                            "'{shown}' is not a keyword of ssh_config: correct it, or name it in IgnoreUnknown"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    fn include(&mut self, patterns: &[String], root: &Root, depth: usize) -> Result<(), Problem> {
        for pattern in patterns {
            let pattern = tokens::home(pattern, self.asked.home);
            let pattern = if Path::new(&pattern).is_absolute() {
                pattern
            } else {
                root.folder.join(pattern).to_string_lossy().into_owned()
            };
            for path in self.source.files(&pattern) {
                self.file(&path, root, depth + 1)?;
            }
        }
        Ok(())
    }

    fn meets(&mut self, criteria: &[(bool, Criterion)]) -> Result<bool, Problem> {
        let list = |patterns: &[String], text: &str| list_matches(patterns.iter().map(String::as_str), text);
        // Names of hosts are compared without regard to case here, but not by `Host`: as in OpenSSH.
        let host = |patterns: &[String], text: &str| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.to_lowercase()).collect();
            list(&patterns, &text.to_lowercase())
        };
        let mut all = true;
        for (negated, criterion) in criteria {
            let met = match criterion {
                Criterion::All => true,
                Criterion::Final { wanted } => {
                    self.wants_final |= *wanted;
                    self.is_final
                }
                Criterion::Host(patterns) => host(patterns, &self.known_host()?),
                Criterion::OriginalHost(patterns) => host(patterns, self.asked.host),
                Criterion::User(patterns) => list(
                    patterns,
                    self.asked
                        .user
                        .or(self.options.user.as_deref())
                        .unwrap_or(self.asked.local_user),
                ),
                Criterion::LocalUser(patterns) => list(patterns, self.asked.local_user),
                Criterion::Tagged(patterns) => list(patterns, self.options.tag.as_deref().unwrap_or("")),
                // Whoever reads the file has said so.
                Criterion::Unsupported(_) => return Ok(false),
            };
            all &= met != *negated;
        }
        Ok(all)
    }

    fn known_host(&self) -> Result<String, Problem> {
        match &self.options.host_name {
            Some(name) => tokens::expand(name, &tokens::Tokens::host_only(self.asked.host)).map_err(Problem),
            None => Ok(self.host.clone()),
        }
    }
}

#[cfg(test)]
mod against_openssh;
#[cfg(test)]
mod tests;
