//! A Redis Cluster of three primaries.

use std::time::Duration;

use super::redis::{Redis, cli};
use crate::error::Result;
use crate::{ports, wait};

const PATIENCE: Duration = Duration::from_secs(60);

/// Three servers that share the keys. Dropping it ends them.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one, and waits until each server knows that all of them serve.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Missing`] where Redis is not installed.
    pub fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// Starts one with more lines in the settings of each server.
    ///
    /// # Errors
    ///
    /// As [`RedisCluster::start`].
    pub fn with(settings: &[&str]) -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = format!("cluster-port {}", ports::free()?);
            let own = ["cluster-enabled yes", &bus, "cluster-node-timeout 2000"];
            nodes.push(Redis::with(&[&own, settings].concat())?);
        }
        let places: Vec<String> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        let mut words = vec!["--cluster", "create"];
        words.extend(places.iter().map(String::as_str));
        words.push("--cluster-yes");
        cli(nodes[0].port(), &words)?;
        wait::blocking(PATIENCE, "the cluster to serve", || {
            let serves = |node: &Redis| {
                let told = node.ask(&["cluster", "info"]).unwrap_or_default();
                told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
            };
            nodes.iter().all(serves).then_some(())
        })?;
        Ok(Self { nodes })
    }

    /// Returns its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
