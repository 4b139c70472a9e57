//! What makes a task: where, what and how.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use muster_model::inventory::CredentialName;
use muster_model::quantity::{self, Amount};
use muster_model::task::Priority;

use super::Output;

/// `run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "muster run [OPTIONS] CMD --hosts HOST...\n       muster run [OPTIONS] --hosts HOST... -- CMD...",
    after_help = "\
Examples:
  muster run \"df -h\" --hosts web[01-20] db1
  muster run --hosts @web -x web07 -- systemctl is-active nginx
  muster run \"cat /var/log/syslog\" --hosts web1 | sha256sum

CMD goes to the shell of each host's user. Several words are joined by spaces, as ssh does."
)]
pub struct Run {
    /// The command line, quoted; or its words after `--`.
    #[arg(value_name = "CMD")]
    pub command: Vec<String>,
    /// Everything else.
    #[command(flatten)]
    pub task: Task,
}

/// `script`.
#[derive(Debug, Args)]
#[command(
    override_usage = "muster script [OPTIONS] FILE [ARG]... --hosts HOST...\n       muster script [OPTIONS] --hosts HOST... -- FILE [ARG]...",
    after_help = "The script runs with the interpreter of its `#!` line, or /bin/sh without one."
)]
pub struct Script {
    /// The script's file, and its arguments; those that begin with - after `--`.
    #[arg(value_name = "FILE", required = true)]
    pub words: Vec<String>,
    /// Everything else.
    #[command(flatten)]
    pub task: Task,
}

/// Where and how a task runs.
#[derive(Debug, Args)]
pub struct Task {
    /// Where.
    #[command(flatten)]
    pub targets: Targets,
    /// How to come in.
    #[command(flatten)]
    pub login: Login,
    /// As whom, where, with what.
    #[command(flatten)]
    pub surroundings: Surroundings,
    /// How many at a time, how long, how often.
    #[command(flatten)]
    pub course: Course,
    /// What is printed.
    #[command(flatten)]
    pub output: Output,
    /// Only say what would be done.
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Print the task's number and leave; the task goes on.
    #[arg(long, help_heading = "Output")]
    pub detach: bool,
}

/// Which hosts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Targets")]
pub struct Targets {
    /// Hosts, host patterns and groups: web[01-20], user@host:port, 10.4.3.[4-20], @group, localhost (this
    /// machine, without SSH), - (from standard input). Takes every word up to the next option.
    #[arg(short = 'H', long, value_name = "HOST", num_args = 1.., allow_hyphen_values = false,
        required_unless_present = "selector")]
    pub hosts: Vec<String>,
    /// Which of them.
    #[command(flatten)]
    pub narrowed: Narrowed,
    /// Say which part lets each host in or keeps it out, and run nothing.
    #[arg(long, conflicts_with = "detach")]
    pub explain: bool,
}

/// Which of the hosts that were named.
#[derive(Clone, Debug, Default, Args)]
pub struct Narrowed {
    /// Hosts to leave out.
    #[arg(short = 'x', long, value_name = "HOST", num_args = 1..)]
    pub exclude: Vec<String>,
    /// Of these hosts, those that this fits, such as 'os.id == "debian" && mem_gb >= 8 && "web" in groups'. Alone, it
    /// is asked of the whole inventory.
    #[arg(long = "where", value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// How to come in.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Login")]
pub struct Login {
    /// The user to log in as, where the target and the inventory name none.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The credential to log in with, in the place of those that hosts have.
    #[arg(long, value_name = "NAME")]
    pub credential: Option<CredentialName>,
    /// A private key to offer first.
    #[arg(short, long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// The ssh_config to use instead of the user's [env: MUSTER_SSH_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Pin the key of a host of which none is known; a changed key is refused all the same.
    #[arg(long)]
    pub accept_new: bool,
    /// How long connecting and logging in may take [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, allow_hyphen_values = true)]
    pub connect_timeout: Option<Duration>,
    /// What is asked for on the terminal.
    #[command(flatten)]
    pub secrets: Secrets,
}

/// What is asked for on the terminal and never written on a command line.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Login")]
pub struct Secrets {
    /// Ask for a password for the login.
    #[arg(long)]
    pub ask_password: bool,
    /// Ask for the passphrase of private keys.
    #[arg(long)]
    pub ask_passphrase: bool,
    /// Ask for a password for sudo.
    #[arg(long)]
    pub ask_sudo_password: bool,
}

/// As whom, where and with what the command runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Command")]
pub struct Surroundings {
    /// Run it through sudo, as root.
    #[arg(long)]
    pub sudo: bool,
    /// Run it through sudo, as this user.
    #[arg(long, value_name = "USER")]
    pub sudo_user: Option<String>,
    /// An environment variable of the command; may be given several times.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// The folder to run it in.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// Its standard input on every host: a file, or - for this command's own.
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,
    /// How much output is kept for each host [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, allow_hyphen_values = true)]
    pub max_output: Option<u64>,
}

/// How many at a time, how long, how often.
#[derive(Debug, Args)]
#[command(next_help_heading = "Course")]
pub struct Course {
    /// How long it may run on a host before it is killed with everything it started.
    #[arg(short, long, value_name = "DURATION", value_parser = quantity::duration, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,
    /// How long it has to end by itself (TERM) before it is killed (KILL) [default: 5s].
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, allow_hyphen_values = true)]
    pub kill_grace: Option<Duration>,
    /// At most so many hosts at a time.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_hyphen_values = true)]
    pub concurrency: Option<u32>,
    /// Hosts in waves of this size; the next begins when the last has ended.
    #[arg(long, value_name = "N|P%", value_parser = parse_amount, allow_hyphen_values = true)]
    pub batch: Option<Amount>,
    /// Start no more once more than this many hosts have failed.
    #[arg(long, value_name = "N|P%", value_parser = parse_amount, allow_hyphen_values = true)]
    pub max_failures: Option<Amount>,
    /// How many more times a host is tried that did not succeed.
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true)]
    pub retries: u32,
    /// Keep trying hosts that cannot be reached for this long; what has not started by then expires.
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, allow_hyphen_values = true)]
    pub expires: Option<Duration>,
    /// Whose turn comes first where there are more runs than room.
    #[arg(long, value_name = "PRIORITY", value_enum, default_value = "normal")]
    pub priority: Turn,
}

/// A priority, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Turn {
    /// After all others.
    Low,
    /// As usual.
    Normal,
    /// Before all others.
    High,
}

impl From<Turn> for Priority {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Low => Self::Low,
            Turn::Normal => Self::Normal,
            Turn::High => Self::High,
        }
    }
}

fn parse_amount(text: &str) -> Result<Amount, quantity::Invalid> {
    text.parse()
}

/// Reads `KEY=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        Some((name, _)) => Err(format!(
            "'{name}' is not the name of a variable: letters, digits and _, not starting with a digit"
        )),
        None => Err("write KEY=VALUE".to_owned()),
    }
}
