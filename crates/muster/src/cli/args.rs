//! What can be typed: the one definition behind parsing, help, completions, the man page and the reference.

mod credentials;
mod database;
mod host_keys;
mod inventory;
mod nearest;
mod task;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_model::TaskId;

pub use credentials::{Contents, Credentials};
pub use database::{Db, Kept};
pub use host_keys::{Keys, Trust};
pub use inventory::{Facts, Groups, Hosts, Import, Ping, Record};
pub use nearest::propose;
pub use task::{Login, Narrowed, Run, Script, Secrets, Task};

/// Run commands on many machines at once.
///
/// Every request becomes a numbered task: follow it live, check it later, cancel it, retry what failed.
/// Without a command, on a terminal, the prompt starts.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    propagate_version = true,
    args_override_self = true,
    max_term_width = 100,
    after_help = EXITS,
    )]
pub struct Line {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command; None: the prompt.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Says what to write instead where a call for help or the version stands among the words of a command for the hosts
/// (`run df -h`): nobody who writes that wants ours.
pub fn meant_for_the_hosts(words: impl Iterator<Item = String>) -> Option<String> {
    let mut words = words.skip_while(|word| word != "run" && word != "script");
    let verb = words.next()?;
    let mut command: Vec<String> = Vec::new();
    let option = words.find(|word| {
        let is_option = word.starts_with('-');
        if !is_option {
            command.push(word.clone());
        }
        is_option
    })?;
    let is_ours = matches!(option.as_str(), "-h" | "--help" | "-V" | "--version");
    (is_ours && !command.is_empty()).then(|| {
        let command = command.join(" ");
        let instead = match verb.as_str() {
            "run" => format!("muster run \"{command} {option}\" --hosts HOST..."),
            _ => format!("muster script --hosts HOST... -- {command} {option}"),
        };
        format!(
            "'{option}' behind '{command}' would be muster's own: nothing was run\n  write: {instead}\n  or, for \
             help: muster {verb} {option}\n"
        )
    })
}

const EXITS: &str = "\
Exit codes: 0 every run succeeded; 1 at least one run did not; 2 the request was wrong, nothing was started;
3 the server could not be reached or refused; 4 not allowed; 130 interrupted, the task goes on;
141 whoever read the output has gone (as `| head` does); 143 terminated with its server inside it
(MUSTER_NO_DAEMON), its task cancelled.";

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The server to use: unix:///path or http://127.0.0.1:PORT; several with commas between them are tried in turn
    /// [env: MUSTER_SERVER].
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The configuration file to use instead of the user's.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A line typed at the prompt.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    args_override_self = true,
    override_usage = "COMMAND [OPTIONS]"
)]
pub struct PromptLine {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command on hosts.
    Run(Box<Run>),
    /// Send a local script to hosts and run it with its interpreter.
    Script(Box<Script>),
    /// Show what a task did so far.
    #[command(name = "check_task", visible_alias = "check", alias = "check-task")]
    CheckTask(CheckTask),
    /// List tasks, newest first.
    Tasks(Tasks),
    /// Follow a task live, from its beginning to its end.
    Follow(Follow),
    /// Cancel a task: what has not started does not start, what runs is killed.
    Cancel {
        /// The task's number.
        #[arg(value_name = "ID")]
        id: TaskId,
    },
    /// Run a task again on the hosts where it did not succeed, as a new task.
    Retry(Retry),
    /// The inventory, and host patterns on their own.
    #[command(subcommand)]
    Hosts(Hosts),
    /// Groups of hosts.
    #[command(subcommand)]
    Groups(Groups),
    /// Keys and passwords for logins, kept sealed.
    #[command(subcommand)]
    Credentials(Credentials),
    /// The database: what it holds, its schema, backups, and moving to another one.
    #[command(subcommand)]
    Db(Db),
    /// The server: run it in the foreground, ask how it is, end it.
    Server(Server),
    /// Show the servers that share the database, and what each has in hand.
    Cluster {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every back end; say what is wrong and how to mend it.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show each setting and where it comes from.
    Config {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of all or of one command.
    Man {
        /// The command, such as `run` or `hosts add`.
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Bring up a handful of SSH hosts inside this process and run a command on all of them.
    Demo(Demo),
    /// Print the reference page of the command line.
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// Returns its first word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Script(_) => "script",
            Self::CheckTask(_) => "check_task",
            Self::Tasks(_) => "tasks",
            Self::Follow(_) => "follow",
            Self::Cancel { .. } => "cancel",
            Self::Retry(_) => "retry",
            Self::Hosts(_) => "hosts",
            Self::Groups(_) => "groups",
            Self::Credentials(_) => "credentials",
            Self::Db(_) => "db",
            Self::Server(_) => "server",
            Self::Cluster { .. } => "cluster",
            Self::Doctor { .. } => "doctor",
            Self::Config { .. } => "config",
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
            Self::Demo(_) => "demo",
            Self::Reference => "reference",
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Lines as they come, each with its host's name before it. With a single host and standard output not
    /// a terminal, the command's bytes as they are.
    Live,
    /// At the end, identical outputs folded into one block headed by their hosts.
    Grouped,
    /// At the end, one JSON object.
    Json,
    /// One JSON event a line, as it happens.
    Jsonl,
    /// Nothing; the exit code says it all.
    Quiet,
}

/// Which output is wanted.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// How results are printed [default: live].
    #[arg(short, long, value_name = "MODE", value_enum)]
    pub output: Option<Mode>,
    /// Short for --output json.
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

impl Output {
    /// Tells whether a mode was asked for by name.
    #[must_use]
    pub fn is_asked(self) -> bool {
        self.json || self.output.is_some()
    }

    /// Returns the mode that was asked for.
    #[must_use]
    pub fn mode(self) -> Mode {
        if self.json {
            Mode::Json
        } else {
            self.output.unwrap_or(Mode::Live)
        }
    }
}

/// `check_task`.
#[derive(Debug, Args)]
pub struct CheckTask {
    /// The task's number.
    #[arg(value_name = "ID")]
    pub id: TaskId,
    /// How results are printed.
    #[arg(short, long, value_name = "MODE", value_enum, default_value = "grouped")]
    pub output: CheckMode,
    /// Short for --output json.
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// How `check_task` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckMode {
    /// Identical outputs folded into one block headed by their hosts.
    Grouped,
    /// One JSON object.
    Json,
    /// Nothing; the exit code says it all.
    Quiet,
}

/// `tasks`.
#[derive(Debug, Args)]
pub struct Tasks {
    /// Only tasks that are running or done, or of which a run is in this state.
    #[arg(long, value_name = "STATE", value_parser = states())]
    pub state: Option<String>,
    /// Only tasks submitted since then: a duration such as 2h, or a time such as 2026-11-21T12:00:00Z.
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only tasks of this user.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only tasks whose command contains this text.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn states() -> clap::builder::PossibleValuesParser {
    let of_runs = muster_model::RunState::ALL
        .into_iter()
        .map(muster_model::RunState::as_str);
    ["running", "done"]
        .into_iter()
        .chain(of_runs)
        .collect::<Vec<_>>()
        .into()
}

/// `follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// The task's number.
    #[arg(value_name = "ID")]
    pub id: TaskId,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// The number of the task to run again.
    #[arg(value_name = "ID")]
    pub id: TaskId,
    /// What is not kept with a task.
    #[command(flatten)]
    pub secrets: Secrets,
    /// Print the new task's number and leave.
    #[arg(long)]
    pub detach: bool,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `server`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Server {
    /// Listen on this address and port, by TLS, instead of the socket; http:// before one of loopback: without TLS. Whoever
    /// comes needs the token.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// How a line of the log is written: text, or json (one object a line).
    #[arg(long, value_name = "FORMAT", conflicts_with = "daemon")]
    pub log_format: Option<String>,
    /// What it does: api serves clients, executor carries runs out; both with a comma between them [env:
    /// MUSTER_ROLES] [default: api,executor].
    #[arg(long, value_name = "ROLES", conflicts_with = "daemon")]
    pub roles: Option<String>,
    /// Be the user's server, started on demand.
    #[arg(long, hide = true, conflicts_with = "listen")]
    pub daemon: bool,
    /// What to do with the server; without it: run it in the foreground.
    #[command(subcommand)]
    pub command: Option<ServerCommand>,
}

/// `server …`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Say which server answers and what it has in hand.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the server finish what it has started, and end it.
    Stop,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How many hosts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub hosts: u16,
}

#[cfg(test)]
mod tests;
