//! What a benchmark is told on its command line, after `--`.

use std::process::ExitCode;

/// An option of a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
}

impl Flag {
    /// `--name VALUE`.
    #[must_use]
    pub const fn value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self {
            name,
            value: Some(value),
            help,
        }
    }

    /// `--name`.
    #[must_use]
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            value: None,
            help,
        }
    }
}

const SHARED: &[Flag] = &[
    Flag::switch("save", "write results, tables and plots into docs"),
    Flag::switch(
        "saved",
        "measure nothing: write tables and plots from what was saved",
    ),
    Flag::switch("help", "this text"),
];

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line. `--save`, `--saved` and `--help` are always known.
    ///
    /// # Errors
    ///
    /// The exit code, after the help was printed or the word that nobody knows was named.
    pub fn from_args(about: &str, flags: &[Flag]) -> Result<Self, ExitCode> {
        let known: Vec<Flag> = flags.iter().chain(SHARED).copied().collect();
        match Self::parse(std::env::args().skip(1), &known) {
            Ok(options) if options.has("help") => {
                println!("{}", help(about, &known));
                Err(ExitCode::SUCCESS)
            }
            Ok(options) => Ok(options),
            Err(why) => {
                eprintln!("{why}\n\n{}", help(about, &known));
                Err(ExitCode::from(2))
            }
        }
    }

    fn parse(words: impl IntoIterator<Item = String>, known: &[Flag]) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut given = Vec::new();
        while let Some(word) = words.next() {
            // cargo says it to every benchmark.
            if word == "--bench" {
                continue;
            }
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let flag = name
                .strip_prefix("--")
                .and_then(|name| known.iter().find(|flag| flag.name == name))
                .ok_or_else(|| format!("unknown option {word:?}"))?;
            let value = match (flag.value, inline) {
                (None, None) => String::new(),
                (None, Some(_)) => return Err(format!("{name} takes no value")),
                (Some(_), Some(value)) => value,
                (Some(value), None) => words.next().ok_or_else(|| format!("{name} needs {value}"))?,
            };
            given.push((flag.name.to_owned(), value));
        }
        Ok(Self { given })
    }

    /// Whether `--name` was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Returns the value of `--name`; the last one where it was given twice.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut given = self.given.iter().rev();
        given
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the value of `--name` as a number, None where it is none.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<usize> {
        self.value(name)?.parse().ok()
    }

    /// Returns the words of `--name a,b,c`.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let words = self.value(name)?.split(',').map(str::trim);
        Some(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    /// Whether the results go into docs.
    #[must_use]
    pub fn saves(&self) -> bool {
        self.has("save") || self.only_saved()
    }

    /// Whether nothing is to be measured.
    #[must_use]
    pub fn only_saved(&self) -> bool {
        self.has("saved")
    }
}

fn help(about: &str, known: &[Flag]) -> String {
    let mut text = about.to_owned();
    text.push('\n');
    for flag in known {
        let left = match flag.value {
            Some(value) => format!("--{} {value}", flag.name),
            None => format!("--{}", flag.name),
        };
        text.push_str(&format!("\n  {left:<22} {}", flag.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        Flag::value("hosts", "N,...", "how many"),
        Flag::switch("save", "write"),
    ];

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(|&word| word.to_owned()), KNOWN)
    }

    #[test]
    fn both_ways_to_write_a_value_are_read_and_cargos_word_is_not_ours() {
        let options = parse(&["--bench", "--hosts", "1,2", "--hosts=3, 4", "--save"]).expect("reads");
        assert_eq!(options.list("hosts"), Some(vec!["3".to_owned(), "4".to_owned()]));
        assert!(options.saves());
        assert_eq!(options.value("only"), None);
    }

    #[test]
    fn what_nobody_knows_is_named() {
        assert_eq!(parse(&["200"]).unwrap_err(), "unknown option \"200\"");
        assert_eq!(parse(&["--hosts"]).unwrap_err(), "--hosts needs N,...");
        assert_eq!(parse(&["--save=1"]).unwrap_err(), "--save takes no value");
    }
}
