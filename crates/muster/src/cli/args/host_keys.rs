//! What can be typed about the keys of hosts.

use std::path::PathBuf;

use clap::Args;

/// `hosts keys`.
#[derive(Debug, Args)]
pub struct Keys {
    /// A host pattern, or a name as it is listed here.
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// The ssh_config to use instead of the user's [env: MUSTER_SSH_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `hosts trust`.
#[derive(Debug, Args)]
pub struct Trust {
    /// Host patterns, or names as `hosts keys` lists them.
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Trust the key of this fingerprint, and no other: it must have been offered. With --scan: pin this one alone.
    #[arg(long, value_name = "SHA256:...", conflicts_with_all = ["keep", "forget"])]
    pub fingerprint: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Keep what is pinned, and forget the other keys that were offered.
    #[arg(long, conflicts_with = "forget")]
    pub keep: bool,
    /// Forget all keys: the hosts are unknown then.
    #[arg(long)]
    pub forget: bool,
    /// Ask hosts of which no key is pinned for their keys, without logging in, and pin what they show.
    #[arg(long, conflicts_with_all = ["keep", "forget"])]
    pub scan: bool,
    /// The ssh_config to use instead of the user's [env: MUSTER_SSH_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}
