//! Completion at the prompt: commands, options and their values, hosts, groups, recent tasks. Pure but for
//! the names, which are looked up in what is known.

use clap::{Arg, Command, CommandFactory};
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::names::{Known, Names};
use crate::cli::args::PromptLine;

/// Commands of the prompt alone.
const OWN: [&str; 2] = ["exit", "quit"];

/// Completes what is typed.
pub(super) struct Completion {
    root: Command,
    names: Names,
}

/// What may stand at the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    /// Where the part begins that is completed.
    start: usize,
    /// The texts, with what they mean.
    texts: Vec<(String, Option<String>)>,
}

impl Completion {
    /// Returns a completion over these names.
    pub(super) fn new(names: Names) -> Self {
        let mut root = PromptLine::command();
        root.build();
        Self { root, names }
    }

    fn offer(&self, line: &str) -> Offer {
        let start = line.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let typed = &line[start..];
        let before: Vec<&str> = line[..start].split_whitespace().collect();
        let mut command = &self.root;
        let mut words = before.as_slice();
        while let [first, rest @ ..] = words {
            match command.find_subcommand(first) {
                Some(inner) => (command, words) = (inner, rest),
                None => break,
            }
        }
        if typed.starts_with('-') && !words.contains(&"--") {
            return Offer {
                start,
                texts: matching(options(command), typed),
            };
        }
        if command.has_subcommands() {
            if !words.is_empty() {
                return Offer {
                    start,
                    texts: Vec::new(),
                };
            }
            let is_root = before.is_empty();
            let own = OWN
                .iter()
                .filter(|_| is_root)
                .map(|name| ((*name).to_owned(), None));
            let all = subcommands(command).chain(own).collect();
            return Offer {
                start,
                texts: matching(all, typed),
            };
        }
        self.argument(command, words, typed, start)
    }

    /// Offers values of the option before the cursor, or of the arguments without an option.
    fn argument(&self, command: &Command, words: &[&str], typed: &str, start: usize) -> Offer {
        let known = self.names.known();
        let option = words
            .iter()
            .rev()
            .find(|word| word.starts_with('-'))
            .and_then(|word| find_option(command, word));
        let last = words.last().copied().unwrap_or_default();
        let taken = match option {
            Some(arg) if is_list(arg) || last.starts_with('-') && arg.get_action().takes_values() => {
                Some(arg)
            }
            _ => command.get_positionals().next(),
        };
        let Some(arg) = taken else {
            return Offer {
                start,
                texts: Vec::new(),
            };
        };
        let value = arg
            .get_value_names()
            .and_then(<[_]>::first)
            .map_or("", |name| name.as_str());
        match value {
            "HOST" | "PATTERN" => {
                // The last part of a list such as `web1,db`.
                let part = typed.rfind([',', '!', '&', '^']).map_or(0, |place| place + 1);
                Offer {
                    start: start + part,
                    texts: matching(self.hosts_and_groups(&known, &typed[part..]), &typed[part..]),
                }
            }
            "GROUP" => Offer {
                start,
                texts: matching(known.groups.into_iter().map(|name| (name, None)).collect(), typed),
            },
            "ID" => Offer {
                start,
                texts: matching(
                    known
                        .tasks
                        .into_iter()
                        .map(|(id, command)| (id, Some(command)))
                        .collect(),
                    typed,
                ),
            },
            _ => Offer {
                start,
                texts: matching(
                    arg.get_possible_values()
                        .iter()
                        .map(|value| (value.get_name().to_owned(), None))
                        .collect(),
                    typed,
                ),
            },
        }
    }

    fn hosts_and_groups(&self, known: &Known, typed: &str) -> Vec<(String, Option<String>)> {
        let groups = known.groups.iter().map(|name| format!("@{name}"));
        let hosts = match typed.starts_with('@') {
            true => Vec::new(),
            false => self.names.hosts(typed),
        };
        groups.chain(hosts).map(|name| (name, None)).collect()
    }
}

fn is_list(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.max_values() > 1)
}

fn find_option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut options = command.get_opts();
    match word.strip_prefix("--") {
        Some(long) => options.find(|arg| arg.get_long() == Some(long)),
        None => options.find(|arg| arg.get_short().is_some_and(|short| word == format!("-{short}"))),
    }
}

fn options(command: &Command) -> Vec<(String, Option<String>)> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| {
            let help = arg.get_help().map(ToString::to_string);
            arg.get_long().map(|long| (format!("--{long}"), help))
        })
        .collect()
}

fn subcommands(command: &Command) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .map(|inner| {
            let about = inner.get_about().map(ToString::to_string);
            (inner.get_name().to_owned(), about)
        })
}

fn matching(texts: Vec<(String, Option<String>)>, typed: &str) -> Vec<(String, Option<String>)> {
    texts
        .into_iter()
        .filter(|(text, _)| text.starts_with(typed))
        .collect()
}

impl Completer for Completion {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let Some(line) = line.get(..pos) else {
            return CompletionResult::fresh(Vec::new());
        };
        let Offer { start, texts } = self.offer(line);
        let suggestions: Vec<Suggestion> = texts
            .into_iter()
            .map(|(value, description)| Suggestion {
                value: crate::render::sanitise::line(&value).into_owned(),
                description: description.map(|text| crate::render::sanitise::line(&text).into_owned()),
                span: Span::new(start, pos),
                append_whitespace: true,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(line: &str) -> Vec<String> {
        let (names, _) = Names::new();
        names.set(Known {
            hosts: vec!["web1".into(), "web2".into(), "db".into()],
            more_hosts: false,
            groups: vec!["web".into()],
            tasks: vec![
                ("45334".into(), "df -h".into()),
                ("45333".into(), "uptime".into()),
            ],
        });
        let offer = Completion::new(names).offer(line);
        offer.texts.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn commands_come_first() {
        assert_eq!(offers("ch"), ["check_task"]);
        assert_eq!(offers("ex"), ["exit"]);
        assert_eq!(offers("hosts i"), ["import"]);
        assert!(offers("").contains(&"run".to_owned()));
        assert!(!offers("").contains(&"reference".to_owned()));
    }

    #[test]
    fn options_and_their_values() {
        assert_eq!(offers("run x --con"), ["--connect-timeout", "--concurrency"]);
        assert_eq!(offers("run x --output gr"), ["grouped"]);
        assert_eq!(offers("run x --priority h"), ["high"]);
        assert_eq!(offers("tasks --state suc"), ["succeeded"]);
        assert_eq!(offers("run --hosts a -- --con"), Vec::<String>::new());
    }

    #[test]
    fn hosts_groups_and_tasks() {
        assert_eq!(offers("run x --hosts we"), ["web1", "web2"]);
        assert_eq!(offers("run x --hosts web1 d"), ["db"]);
        assert_eq!(offers("run x --hosts web1 -x @"), ["@web"]);
        assert_eq!(offers("run x --hosts web1,d"), ["db"]);
        assert_eq!(offers("hosts rm web"), ["web1", "web2"]);
        assert_eq!(offers("groups show w"), ["web"]);
        for command in ["check_task", "check", "follow", "cancel", "retry"] {
            assert_eq!(
                offers(&format!("{command} 4533")),
                ["45334", "45333"],
                "{command}"
            );
        }
        assert_eq!(offers("run x --timeout "), Vec::<String>::new());
    }
}
