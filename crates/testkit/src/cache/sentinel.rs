//! Redis behind Sentinel: a primary, a replica, and those that watch them.

use std::time::Duration;

use super::redis::{Redis, cli};
use crate::error::{Error, Result};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(60);
/// What the Sentinels call it.
const SERVICE: &str = "main";

/// A primary, a replica and Sentinels. Dropping it ends them.
#[derive(Debug)]
pub struct RedisSentinel {
    nodes: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinel {
    /// Starts them, and waits until the Sentinels know of each other and of the replica.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where Redis is not installed.
    pub fn start(sentinels: usize) -> Result<Self> {
        let primary = Redis::start()?;
        let replica = Redis::with(&[
            &format!("replicaof 127.0.0.1 {}", primary.port()),
            "repl-diskless-sync-delay 0",
        ])?;
        let most = sentinels / 2 + 1;
        let settings = [
            format!("sentinel monitor {SERVICE} 127.0.0.1 {} {most}", primary.port()),
            format!("sentinel down-after-milliseconds {SERVICE} 1000"),
            format!("sentinel failover-timeout {SERVICE} 5000"),
        ];
        let mut set = Self {
            nodes: vec![primary, replica],
            sentinels: Vec::new(),
        };
        for _ in 0..sentinels {
            set.sentinels
                .push(Redis::launch(settings.to_vec(), false, "--sentinel")?);
        }
        let others = sentinels.saturating_sub(1).to_string();
        wait::blocking(PATIENCE, "the Sentinels to know everybody", || {
            let knows = |sentinel: &Redis| {
                let told = cli(sentinel.port(), &["sentinel", "master", SERVICE]).unwrap_or_default();
                let field = |name| {
                    told.lines()
                        .skip_while(|line| *line != name)
                        .nth(1)
                        .map(str::to_owned)
                };
                field("num-slaves").as_deref() == Some("1")
                    && field("num-other-sentinels") == Some(others.clone())
            };
            let link = set.nodes[1].ask(&["info", "replication"]).unwrap_or_default();
            (set.sentinels.iter().all(knows) && link.contains("master_link_status:up")).then_some(())
        })?;
        Ok(set)
    }

    /// Returns its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// Returns the port of the server that is the primary now, as the Sentinels say.
    ///
    /// # Errors
    ///
    /// Where no Sentinel answers.
    pub fn primary(&self) -> Result<u16> {
        let port = self.sentinels.iter().find_map(|sentinel| {
            let told = cli(sentinel.port(), &["sentinel", "get-master-addr-by-name", SERVICE]).ok()?;
            told.lines().nth(1)?.trim().parse().ok()
        });
        port.ok_or_else(|| Error::failed("asking the Sentinels", "none of them answers"))
    }

    /// Kills the primary with `kill -9` and waits until the replica has taken its place.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub fn fail_over(&mut self) -> Result<()> {
        let before = self.primary()?;
        for node in &mut self.nodes {
            if node.port() == before {
                node.kill();
            }
        }
        wait::blocking(PATIENCE, "another primary", || {
            let now = self.primary().ok().filter(|now| *now != before)?;
            let role = cli(now, &["role"]).ok()?;
            role.starts_with("master").then_some(())
        })
    }
}
