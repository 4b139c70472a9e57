//! What can be typed after `db`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::settings;

/// What an option says is kept: up to a limit, or everything.
#[derive(Clone, Copy, Debug)]
pub struct Kept<T>(pub Option<T>);

fn age(text: &str) -> Result<Kept<Duration>, String> {
    settings::age(text).map(Kept)
}

fn room(text: &str) -> Result<Kept<u64>, String> {
    settings::room(text).map(Kept)
}

/// `db …`.
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Say what the database is and holds, and which servers are at work on it.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what takes the space: each table, output by its kind, and the tasks that keep most.
    Stats {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove finished tasks and output that are not to be kept, as servers do every hour. Servers may go on meanwhile.
    ///
    /// Without options, the settings keep_tasks, keep_output and keep_output_size say what is kept. What somebody reads,
    /// and what ended within the last hour, stays.
    Prune {
        /// Say what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
        /// Remove tasks that ended longer ago than this, such as 90d; 'forever' keeps all.
        #[arg(long, value_name = "AGE", value_parser = age)]
        tasks: Option<Kept<Duration>>,
        /// Remove the output of tasks that ended longer ago than this; 'forever' keeps all.
        #[arg(long, value_name = "AGE", value_parser = age)]
        output: Option<Kept<Duration>>,
        /// Remove the oldest output where all of it takes more than this, such as 10GiB; 'unlimited' keeps all.
        #[arg(long, value_name = "SIZE", value_parser = room)]
        output_size: Option<Kept<u64>>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring the schema up to date. Needed on a database server; a file is brought up to date when it is opened.
    Migrate,
    /// Save the database into a new file, output and all. Servers may go on meanwhile.
    ///
    /// The file holds one moment of the database. Credentials are in it as they are in the database: sealed, so the
    /// key of the vault has to be kept as well, and elsewhere.
    Backup {
        /// The file, which must not be there.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a backup into an empty database, and prove that nothing was lost.
    Restore {
        /// The file that `db backup` wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The empty database, or @FILE with its URL [default: the one of the settings].
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy everything into an empty database of any kind, and prove that nothing was lost.
    ///
    /// Stop the servers first. A copy that is interrupted leaves a database that no server opens; the same command
    /// begins it anew.
    Copy {
        /// The empty database: sqlite:///FILE, postgres://… or mysql://…; @FILE takes the URL from a file, so that its
        /// password stands in no list of processes.
        #[arg(long, value_name = "URL")]
        to: String,
        /// The database to copy, or @FILE with its URL [default: the one of the settings].
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// Copy one moment of a database on which servers are at work; what they do next is not in it.
        #[arg(long)]
        live: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
