//! Listing what is known of hosts' keys, and deciding about it.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use muster_model::host_key::{Decision, KnownHost, NAME_BYTES, PINNED, Undecidable};
use muster_model::problem::Code;
use muster_model::wire::Targets;
use muster_model::wire::host_keys::{HostKeysView, KeyView, Trust, TrustDecision, TrustHost};
use muster_model::{Endpoint, HostKey, Problem, limits, sanitise};
use muster_runtime::clock;
use muster_transport::Access;

use crate::core::Core;
use crate::fault;

impl Core {
    /// Returns what is known: of the hosts that a pattern names (or of a name that is written as it is listed), of all
    /// without one.
    pub(crate) async fn host_keys(
        &self,
        pattern: Option<&str>,
        ssh_config: Option<&str>,
    ) -> Result<Vec<HostKeysView>, Problem> {
        let all = self.rooms.host_keys.all().await;
        let all = all.map_err(|error| fault::of_store(&error))?;
        let Some(pattern) = pattern else {
            return Ok(all.into_iter().map(view).collect());
        };
        let mut all: HashMap<String, KnownHost> = all.into_iter().collect();
        let lower = pattern.to_lowercase();
        if let Some(known) = all.remove(&lower) {
            return Ok(vec![view((lower, known))]);
        }
        let access = access(ssh_config, None)?;
        let mut views = Vec::new();
        for (_, _, names) in self.key_names(&[pattern.to_owned()], access).await? {
            for name in names {
                if let Some(known) = all.remove(&name) {
                    views.push(view((name, known)));
                }
            }
        }
        Ok(views)
    }

    /// Returns the hosts that patterns name, how they are reached, and the names under which they are known.
    pub(super) async fn key_names(
        &self,
        patterns: &[String],
        access: Access,
    ) -> Result<Vec<(String, Endpoint, Vec<String>)>, Problem> {
        let targets = Targets {
            hosts: patterns.iter().map(|word| target_of(word)).collect(),
            exclude: Vec::new(),
            selector: None,
        };
        let targets = self.targets(&targets).await?;
        let transport = std::sync::Arc::clone(&self.rooms.transport);
        // Each of perhaps 100,000 hosts is looked up in ssh_config: not on a thread that others wait for.
        let work = move || {
            let named = |(host, endpoint): (String, Endpoint)| {
                let names = transport.key_names(&endpoint, &access)?;
                Ok((host, endpoint, names))
            };
            targets
                .into_iter()
                .map(named)
                .collect::<Result<_, muster_transport::ConnectError>>()
        };
        let named = self.tasks.blocking("name hosts", work).await;
        named
            .ok_or_else(|| Problem::new(Code::Internal, "the hosts could not be named: see the log"))?
            .map_err(|error| Problem::new(Code::InvalidRequest, error.message))
    }

    /// Does what a person decided: all of it, or nothing. Returns what is known then.
    pub(crate) async fn trust(&self, trust: Trust) -> Result<Vec<HostKeysView>, Problem> {
        let mut decisions = Vec::with_capacity(trust.decisions.len());
        let mut names = BTreeSet::new();
        for TrustHost { host, decision } in trust.decisions {
            let host = name_of(&host)?;
            if !names.insert(host.clone()) {
                return Err(wrong(format!("decisions: {host} is named twice")));
            }
            decisions.push((host.clone(), read(&host, decision)?));
        }
        if decisions.is_empty() || decisions.len() as u64 > limits::HOSTS_PER_TASK {
            return Err(wrong("decisions: write 1 to 1,000,000, one for each host"));
        }
        let keys = &self.rooms.host_keys;
        let all = keys.all().await.map_err(|error| fault::of_store(&error))?;
        let mut known: HashMap<String, KnownHost> = all.into_iter().collect();
        let now = clock::now();
        for (host, decision) in &decisions {
            let mut after = known.remove(host).unwrap_or_default();
            after
                .decide(decision, now)
                .map_err(|why| undecidable(host, why, &after))?;
        }
        keys.decide(decisions, now)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let all = keys.all().await.map_err(|error| fault::of_store(&error))?;
        let mut all: HashMap<String, KnownHost> = all.into_iter().collect();
        Ok(names
            .into_iter()
            .map(|name| {
                let known = all.remove(&name).unwrap_or_default();
                view((name, known))
            })
            .collect())
    }
}

/// Returns a pattern as it stands, and a name of `known_hosts` (`[web1]:2222`), which is none, as the target that it is.
fn target_of(word: &str) -> String {
    let parts = word.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    match parts {
        Some((host, port))
            if port.parse::<u16>().is_ok()
                && host.contains(|c: char| c.is_alphabetic() || c == '.')
                && !host.contains(['[', ']', ',', ':']) =>
        {
            format!("{host}:{port}")
        }
        _ => word.to_owned(),
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

/// Returns how to come to hosts to name or ask them.
pub(super) fn access(ssh_config: Option<&str>, agent_socket: Option<&str>) -> Result<Access, Problem> {
    let path = |text: Option<&str>| match text {
        Some(text) if !text.starts_with('/') || text.len() > 4096 => {
            let shown = sanitise::line(&text.chars().take(80).collect::<String>()).into_owned();
            Err(wrong(format!("'{shown}' is not an absolute path")))
        }
        text => Ok(text.map(PathBuf::from)),
    };
    Ok(Access {
        ssh_config: path(ssh_config)?,
        agent_socket: path(agent_socket)?,
        ..Access::default()
    })
}

/// Returns a name as it is kept.
fn name_of(host: &str) -> Result<String, Problem> {
    let name = host.to_lowercase();
    let fits = !name.is_empty()
        && name.len() <= NAME_BYTES
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if !fits {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(
            wrong(format!("'{shown}' is not a name under which a host is known"))
                .hint("`muster hosts keys` lists the names"),
        );
    }
    Ok(name)
}

fn read(host: &str, decision: TrustDecision) -> Result<Decision, Problem> {
    match decision {
        TrustDecision::Fingerprint(fingerprint) if fingerprint.starts_with("SHA256:") => {
            Ok(Decision::Accept(fingerprint))
        }
        TrustDecision::Fingerprint(text) => {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
            Err(wrong(format!(
                "'{shown}' is not a fingerprint: write SHA256: and what follows"
            )))
        }
        TrustDecision::Keep(true) => Ok(Decision::Keep),
        TrustDecision::Forget(true) => Ok(Decision::Forget),
        TrustDecision::Keep(false) | TrustDecision::Forget(false) => {
            Err(wrong(format!("{host}: keep and forget are true, or not there")))
        }
        TrustDecision::Keys(lines) => {
            if lines.is_empty() || lines.len() > PINNED {
                return Err(wrong(format!("{host}: {}", Undecidable::Count)));
            }
            let keys: Result<Vec<HostKey>, _> = lines.iter().map(|line| line.parse()).collect();
            keys.map(Decision::Pin)
                .map_err(|error| wrong(format!("{host}: {error}")))
        }
    }
}

fn undecidable(host: &str, why: Undecidable, known: &KnownHost) -> Problem {
    let fingerprints = |keys: &[muster_model::host_key::SeenKey]| -> String {
        let shown: Vec<String> = keys.iter().map(ToString::to_string).collect();
        shown.join("; ")
    };
    match why {
        Undecidable::NotOffered if known.is_quarantined() => Problem::new(
            Code::Conflict,
            format!("{host} has not offered a key of that fingerprint: nothing was changed"),
        )
        .hint(format!("it has offered {}", fingerprints(&known.offered))),
        Undecidable::NotOffered => Problem::new(
            Code::Conflict,
            format!("{host} has offered no other key than it is known by: nothing was changed"),
        ),
        Undecidable::Others => Problem::new(
            Code::Conflict,
            format!(
                "{host} is known by {}: nothing was changed",
                fingerprints(&known.pinned)
            ),
        )
        .hint("`muster hosts trust HOST --forget` forgets that"),
        Undecidable::Unknown => Problem::new(
            Code::UnknownHost,
            format!("no key of {host} is known: nothing was changed"),
        )
        .hint("`muster hosts keys` lists the names"),
        Undecidable::Count => wrong(format!("{host}: {why}")),
    }
}

fn view((host, known): (String, KnownHost)) -> HostKeysView {
    let views = |keys: Vec<muster_model::host_key::SeenKey>| keys.into_iter().map(KeyView::from).collect();
    HostKeysView {
        host,
        quarantined: known.is_quarantined(),
        pinned: views(known.pinned),
        offered: views(known.offered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_known_hosts_is_a_target_and_a_range_is_a_range() {
        for (word, target) in [
            ("[127.0.1.1]:2222", "127.0.1.1:2222"),
            ("[web1]:2222", "web1:2222"),
            ("web1", "web1"),
            ("web[01-20]:2222", "web[01-20]:2222"),
            ("[01-20]:2222", "[01-20]:2222"),
            ("[a]:[1-2]", "[a]:[1-2]"),
        ] {
            assert_eq!(target_of(word), target);
        }
    }
}
