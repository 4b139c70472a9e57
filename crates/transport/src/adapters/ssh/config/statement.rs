//! A file of `ssh_config` as statements: read once, evaluated for each host.

use super::line::{self, Malformed};
use super::options::{self, Meaning, Setting};

/// The longest file that is read, in bytes.
pub(crate) const FILE_BYTES: usize = 4 * 1024 * 1024;

/// A criterion of a `Match` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Criterion {
    /// Always true.
    All,
    /// True in the second pass alone.
    Final {
        /// Whether it asks for that pass (`final`) or only sees it (`canonical`).
        wanted: bool,
    },
    /// The name to connect to, as known so far.
    Host(Vec<String>),
    /// The name as it was asked for.
    OriginalHost(Vec<String>),
    /// The user to log in as, as known so far.
    User(Vec<String>),
    /// The local user.
    LocalUser(Vec<String>),
    /// The tag.
    Tagged(Vec<String>),
    /// One that cannot be decided without running or asking something (`exec`, `localnetwork`).
    Unsupported(String),
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The statements up to the next `Host` or `Match` are for hosts that match.
    Host(Vec<String>),
    /// The same, for hosts that meet every criterion (each with whether it is negated).
    Match(Vec<(bool, Criterion)>),
    /// Other files.
    Include(Vec<String>),
    /// An option.
    Set(Setting),
    /// No keyword of OpenSSH: an error, unless `IgnoreUnknown` names it.
    Unknown(String),
}

/// A statement and its line, from 1.
pub(crate) type Numbered = (usize, Statement);

/// What is wrong with a file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong, for people.
    pub(crate) what: String,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Result<Vec<Numbered>, Wrong> {
    let mut statements = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let wrong = |what: String| Wrong {
            line: index + 1,
            what,
        };
        let line = match line::read(text) {
            Ok(Some(line)) => line,
            Ok(None) => continue,
            Err(Malformed::Quotes) => return Err(wrong("a quotation mark has no partner".to_owned())),
        };
        if let Some(statement) = statement(&line).map_err(wrong)? {
            statements.push((index + 1, statement));
        }
    }
    Ok(statements)
}

fn statement(line: &line::Line) -> Result<Option<Statement>, String> {
    let named = |what: &str| format!("{}: {what}", shown(&line.keyword));
    Ok(Some(match line.keyword.as_str() {
        "host" | "include" if line.arguments.is_empty() => {
            return Err(named("it needs at least one value"));
        }
        "host" => Statement::Host(line.arguments.clone()),
        "include" => Statement::Include(line.arguments.clone()),
        "match" => Statement::Match(criteria(&line.arguments).map_err(|what| named(&what))?),
        _ => match options::read(line).map_err(|what| named(&what))? {
            Meaning::Set(setting) => Statement::Set(setting),
            Meaning::WithoutEffect => return Ok(None),
            Meaning::Unknown => Statement::Unknown(line.keyword.clone()),
        },
    }))
}

fn criteria(arguments: &[String]) -> Result<Vec<(bool, Criterion)>, String> {
    let mut criteria = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let (negated, word) = match word.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, word.as_str()),
        };
        // Newer OpenSSH takes `host=pattern` as well.
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value.to_owned())),
            None => (word.to_ascii_lowercase(), None),
        };
        let mut value = || {
            joined
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| format!("the criterion {} needs a value", shown(&name)))
        };
        let mut list = || value().map(|value| value.split(',').map(str::to_owned).collect());
        let criterion = match name.as_str() {
            "all" => Criterion::All,
            "final" => Criterion::Final { wanted: true },
            "canonical" => Criterion::Final { wanted: false },
            "host" => Criterion::Host(list()?),
            "originalhost" => Criterion::OriginalHost(list()?),
            "user" => Criterion::User(list()?),
            "localuser" => Criterion::LocalUser(list()?),
            "tagged" => Criterion::Tagged(list()?),
            "exec" | "localnetwork" | "version" | "sessiontype" | "command" => {
                value()?;
                Criterion::Unsupported(name)
            }
            _ => return Err(format!("'{}' is not a criterion", shown(&name))),
        };
        criteria.push((negated, criterion));
    }
    if criteria.is_empty() {
        return Err("it needs at least one criterion".to_owned());
    }
    Ok(criteria)
}

fn shown(word: &str) -> String {
    word.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_with_a_line(text in "(?s).{0,200}") {
            if let Err(wrong) = read(&text) {
                proptest::prop_assert!(wrong.line >= 1 && wrong.line <= text.lines().count());
            }
        }

        #[test]
        fn words_of_the_language_are_read_or_refused(
            words in proptest::collection::vec("Host|Match|exec|host|!|=|\"|'|\\\\|%|Include|Port|22|#|\\n| ", 0..40)
        ) {
            let _ = read(&words.concat());
        }
    }

    #[test]
    fn a_match_without_sense_is_refused() {
        for (text, wanted) in [
            ("Match", "at least one criterion"),
            ("Match host", "needs a value"),
            ("Match exec", "needs a value"),
            ("Match shape round", "'shape' is not a criterion"),
            ("Host", "at least one value"),
            ("Include", "at least one value"),
            ("Port \"22", "no partner"),
        ] {
            let wrong = read(&format!("\n{text}")).unwrap_err();
            assert_eq!(wrong.line, 2);
            assert!(wrong.what.contains(wanted), "{text}: {}", wrong.what);
        }
    }
}
