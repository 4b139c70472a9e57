//! What can be typed about hosts and groups.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use muster_model::Reach;

use super::{Keys, Login, Trust};

/// `hosts …`.
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// List the inventory, or what a pattern names of it.
    List {
        /// A host pattern.
        #[arg(value_name = "PATTERN")]
        pattern: Option<String>,
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
    /// Add hosts from a file.
    #[command(after_help = "\
Either a JSON array as `muster hosts list --json` prints it, or one host pattern a line, with fields after it:
  web[01-20]  user=deploy  port=2222  label:rack=r7
  db1         address=10.4.3.9
Empty lines and what follows a # are passed over.")]
    Import {
        /// The file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace hosts that exist, instead of refusing the file.
        #[arg(long)]
        replace: bool,
    },
    /// Log in to hosts and say which can be reached.
    Ping(Box<Ping>),
    /// List the keys by which hosts are known, and the hosts in quarantine.
    Keys(Keys),
    /// Decide about hosts' keys: trust the one that a host in quarantine has offered, or pin those of new hosts.
    Trust(Box<Trust>),
    /// Print the hosts that patterns name, one a line.
    Expand {
        /// Host patterns; what they name is added up. - for standard input.
        #[arg(value_name = "PATTERN", required = true)]
        patterns: Vec<String>,
        /// Hosts to leave out.
        #[arg(short = 'x', long, value_name = "HOST", num_args = 1..)]
        exclude: Vec<String>,
    },
    /// Print the shortest pattern for hosts.
    Fold {
        /// Hosts and host patterns; - (or nothing) for standard input.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// Hosts to leave out.
        #[arg(short = 'x', long, value_name = "HOST", num_args = 1..)]
        exclude: Vec<String>,
    },
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
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Hosts to leave out.
    #[arg(short = 'x', long, value_name = "HOST", num_args = 1..)]
    pub exclude: Vec<String>,
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
    /// Print the hosts of a group, one a line.
    Show {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put hosts into a group, making it where it is missing.
    Add {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Host patterns.
        #[arg(value_name = "HOST", required = true)]
        hosts: Vec<String>,
    },
    /// Take hosts out of a group, or remove the group.
    Rm {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        name: String,
        /// Host patterns; none: the whole group.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
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
