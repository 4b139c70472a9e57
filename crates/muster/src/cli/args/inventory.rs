//! What can be typed about hosts and groups.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use muster_model::Reach;

use super::{Keys, Login, Narrowed, Trust};
use crate::inventory::Format;

/// `hosts …`.
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// List the inventory, or what a pattern names of it.
    List {
        /// A host pattern.
        #[arg(value_name = "PATTERN")]
        pattern: Option<String>,
        /// Of these hosts, those that this fits, such as 'os.id == "debian" && "web" in groups'.
        #[arg(long = "where", value_name = "SELECTOR")]
        selector: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add hosts to the inventory.
    Add(Record),
    /// Change hosts of the inventory; what is not named stays.
    Set(Record),
    /// Remove hosts from the inventory.
    Rm {
        /// Host patterns.
        #[arg(value_name = "HOST", required = true)]
        hosts: Vec<String>,
    },
    /// Take over the hosts and groups of a file: what it would add, change and leave; all of it or nothing.
    Import(Import),
    /// Print the inventory in the format of another tool.
    Export {
        /// The format.
        #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = formats(Format::is_writable))]
        format: Format,
    },
    /// Ask hosts what they are, and keep what they say: system, kernel, processors, memory, disks, addresses.
    Facts(Box<Facts>),
    /// Log in to hosts and say which can be reached.
    Ping(Box<Ping>),
    /// List the keys by which hosts are known, and the hosts in quarantine.
    Keys(Keys),
    /// Decide about hosts' keys: trust the one that a host in quarantine has offered, or pin those of new hosts.
    Trust(Box<Trust>),
    /// Print the hosts that patterns name, one a line.
    Expand {
        /// Host patterns; what they name is added up. - for standard input. None with --where: the whole inventory.
        #[arg(value_name = "PATTERN", required_unless_present = "selector")]
        patterns: Vec<String>,
        /// Which of them.
        #[command(flatten)]
        narrowed: Narrowed,
        /// Say which part lets each host in or keeps it out.
        #[arg(long)]
        explain: bool,
    },
    /// Print the shortest pattern for hosts.
    Fold {
        /// Hosts and host patterns; - (or nothing) for standard input.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// Which of them.
        #[command(flatten)]
        narrowed: Narrowed,
    },
}

/// `hosts import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The file or folder; - for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format; guessed from the name and what is in it.
    #[arg(long, value_name = "FORMAT", value_parser = formats(|_| true))]
    pub format: Option<Format>,
    /// Make the inventory what the file says and nothing else: hosts, groups and labels that are not in it go.
    #[arg(long)]
    pub prune: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `hosts facts`.
#[derive(Debug, Args)]
pub struct Facts {
    /// Host patterns; none: every host of the inventory.
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Which of them.
    #[command(flatten)]
    pub narrowed: Narrowed,
    /// Ask nobody: print what the hosts said the last time.
    #[arg(long)]
    pub known: bool,
    /// How to come in.
    #[command(flatten)]
    pub login: Login,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the inventory holds of hosts.
#[derive(Debug, Args)]
pub struct Record {
    /// Host patterns.
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// The address to connect to; empty: the name.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The user to log in as; empty: whoever ssh_config says.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The port.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// How the host is reached.
    #[arg(long, value_name = "WAY", value_enum)]
    pub reach: Option<Way>,
    /// The credential to log in with; empty: none.
    #[arg(long, value_name = "NAME")]
    pub credential: Option<String>,
    /// A label; with an empty value the label goes. May be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
}

/// A way to reach a host, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// SSH.
    Ssh,
    /// This machine, without SSH.
    Local,
}

impl From<Way> for Reach {
    fn from(way: Way) -> Self {
        match way {
            Way::Ssh => Self::Ssh,
            Way::Local => Self::Local,
        }
    }
}

/// `hosts ping`.
#[derive(Debug, Args)]
pub struct Ping {
    /// Host patterns.
    #[arg(value_name = "HOST", required_unless_present = "selector")]
    pub hosts: Vec<String>,
    /// Which of them.
    #[command(flatten)]
    pub narrowed: Narrowed,
    /// How to come in.
    #[command(flatten)]
    pub login: Login,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `groups …`.
#[derive(Debug, Subcommand)]
pub enum Groups {
    /// List the groups, with how many hosts each has.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the hosts of a group and of the groups in it, one a line.
    Show {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put hosts and groups into a group, making it where it is missing; alone, it is empty.
    Add {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Host patterns.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// Groups to put into it, with all that is in them.
        #[arg(long = "group", value_name = "GROUP", num_args = 1..)]
        groups: Vec<String>,
    },
    /// Take hosts and groups out of a group, or remove the group.
    Rm {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Host patterns; neither these nor --group: the whole group goes.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// Groups to take out of it.
        #[arg(long = "group", value_name = "GROUP", num_args = 1..)]
        groups: Vec<String>,
    },
}

/// Reads `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.contains(char::is_whitespace) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Reads the name of a format, one of those that `fits`.
fn formats(fits: fn(Format) -> bool) -> impl TypedValueParser<Value = Format> {
    let names: Vec<&str> = Format::ALL
        .into_iter()
        .filter(|format| fits(*format))
        .map(Format::name)
        .collect();
    PossibleValuesParser::new(names).try_map(|text| text.parse::<Format>())
}
