//! Asking a host for its keys: one key exchange for each family of keys, and nothing after it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use muster_model::{HostKey, Unreachable};
use muster_runtime::clock;
use russh::keys::{Algorithm, PublicKey};
use tokio_util::sync::CancellationToken;

use super::connect::{self, Examine};
use super::resolve::Resolved;
use super::stream::{Acknowledging, Watch};
use super::trace::Trace;
use super::{explain, host_key, jump};
use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// Keys of one kind: a host shows one of each at most.
type Family = fn(&Algorithm) -> bool;

const FAMILIES: [Family; 3] = [
    |algorithm| matches!(algorithm, Algorithm::Ed25519),
    |algorithm| matches!(algorithm, Algorithm::Ecdsa { .. }),
    |algorithm| matches!(algorithm, Algorithm::Rsa { .. }),
];

/// Returns the keys that a host shows.
pub(crate) async fn scan(
    settings: &Settings,
    resolved: &Resolved,
    access: &Access,
) -> Result<Vec<HostKey>, ConnectError> {
    let mut keys = Vec::new();
    let mut none = None;
    for family in FAMILIES {
        let trace = Arc::new(Trace::default());
        let work = Box::pin(show(settings, resolved, access, family, &trace));
        let shown = clock::deadline(access.connect_timeout, work).await;
        let shown = shown.unwrap_or_else(|clock::Elapsed| {
            Err(explain::timed_out(
                resolved,
                &trace.phase(),
                access.connect_timeout,
            ))
        });
        match shown {
            Ok(key) => keys.extend(key),
            // It has no key of this family: others may do.
            Err(error) if error.reason == Unreachable::Protocol => none = Some(error),
            Err(error) if keys.is_empty() => return Err(error),
            // What it has shown is worth more than what it did not come to.
            Err(_) => break,
        }
    }
    if keys.is_empty() {
        let what = "ssh_config allows no kind of key that it might have (HostKeyAlgorithms)";
        return Err(none.unwrap_or_else(|| explain::settings(resolved, what)));
    }
    Ok(keys)
}

/// Returns the host's key of one family; None where `ssh_config` does not allow that family.
async fn show(
    settings: &Settings,
    resolved: &Resolved,
    access: &Access,
    family: Family,
    trace: &Arc<Trace>,
) -> Result<Option<HostKey>, ConnectError> {
    let mut config = connect::config(resolved, &[], false)?;
    let keys: Vec<Algorithm> = config
        .preferred
        .key
        .iter()
        .filter(|one| family(one))
        .cloned()
        .collect();
    if keys.is_empty() {
        return Ok(None);
    }
    config.preferred.key = Cow::Owned(keys);
    let config = Arc::new(config);
    let cut = CancellationToken::new().drop_guard();
    let watch = Watch {
        trace: Arc::clone(trace),
        cut: cut.token().clone(),
        gone: CancellationToken::new(),
        patience: resolved.alive_interval * resolved.alive_count.max(1),
    };
    let noted: Arc<OnceLock<PublicKey>> = Arc::default();
    let examine = Examine::Note(Arc::clone(&noted));
    let ended = match &resolved.jump {
        Some(jump) => {
            let (stream, _login) = jump::through(settings, jump, resolved, access, trace).await?;
            Box::pin(connect::handshake(resolved, config, stream, examine, watch)).await
        }
        None => {
            let stream = Acknowledging::new(connect::reach(resolved, trace).await?);
            Box::pin(connect::handshake(resolved, config, stream, examine, watch)).await
        }
    };
    match (noted.get(), ended) {
        (Some(key), _) => host_key::read_key(&resolved.label(), key).map(Some),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(ConnectError::new(
            Unreachable::Protocol,
            format!("{}: it has shown no key", resolved.label()),
        )),
    }
}
