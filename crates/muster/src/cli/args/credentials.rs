//! What can be typed about credentials. A secret is never among it: it is asked for, or read from a file.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use muster_model::inventory::CredentialName;
use muster_model::wire::credentials::Held;

/// `credentials …`.
#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// List the credentials: what they hold, never the secrets.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a credential: what it holds, never the secrets.
    Show {
        /// The credential's name.
        #[arg(value_name = "NAME")]
        name: CredentialName,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Keep a new credential: a key, passwords, or both.
    #[command(after_help = "\
Examples:
  muster credentials add web --user deploy --key ~/.ssh/id_web --ask-passphrase
  muster credentials add db --ask-password --ask-sudo-password
  muster run uptime --hosts db1 --credential db")]
    Add(Box<Contents>),
    /// Change a credential; what is not named stays.
    Set(Box<Change>),
    /// Remove a credential.
    Rm {
        /// The credential's name.
        #[arg(value_name = "NAME")]
        name: CredentialName,
        /// Remove it although hosts of the inventory use it.
        #[arg(long)]
        force: bool,
    },
    /// Seal every credential with a new key. Interrupted, it goes on where it is run again.
    Rekey {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What a credential holds.
#[derive(Debug, Args)]
pub struct Contents {
    /// The credential's name.
    #[arg(value_name = "NAME")]
    pub name: CredentialName,
    /// The user to log in as, where the task, the target and the inventory name none; empty: none.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// A private key; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A certificate for the key.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Ask for a passphrase: with --key it opens the key and is not kept, alone it is kept for keys in files.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub ask_passphrase: bool,
    /// Read the passphrase from a file; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask for a password for the login.
    #[arg(long, conflicts_with = "password_file")]
    pub ask_password: bool,
    /// Read the password for the login from a file; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Ask for a password for sudo.
    #[arg(long, conflicts_with = "sudo_password_file")]
    pub ask_sudo_password: bool,
    /// Read the password for sudo from a file; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub sudo_password_file: Option<PathBuf>,
}

/// `credentials set`.
#[derive(Debug, Args)]
pub struct Change {
    /// What is new.
    #[command(flatten)]
    pub contents: Contents,
    /// What it holds no longer; may be given several times.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub forget: Vec<Part>,
}

/// A part of a credential, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The private key, with its certificate.
    Key,
    /// The certificate.
    Certificate,
    /// The passphrase for keys in files.
    Passphrase,
    /// The password for the login.
    Password,
    /// The password for sudo.
    SudoPassword,
}

impl From<Part> for Held {
    fn from(part: Part) -> Self {
        match part {
            Part::Key => Self::Key,
            Part::Certificate => Self::Certificate,
            Part::Passphrase => Self::Passphrase,
            Part::Password => Self::Password,
            Part::SudoPassword => Self::SudoPassword,
        }
    }
}
