//! The keys of hosts as they cross the HTTP API.

use serde::{Deserialize, Serialize};

use crate::host_key::SeenKey;
use crate::id::Timestamp;

/// A host's key, as people compare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    /// Its algorithm, such as `ssh-ed25519`.
    pub algorithm: String,
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// When it was first seen.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub seen_at: Timestamp,
}

impl From<SeenKey> for KeyView {
    fn from(key: SeenKey) -> Self {
        Self {
            algorithm: key.algorithm,
            fingerprint: key.fingerprint,
            seen_at: key.seen_at,
        }
    }
}

/// What is known of a host's keys under one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostKeysView {
    /// The name, as `known_hosts` writes it: `web1`, `[web1]:2222`.
    pub host: String,
    /// Whether it has shown another key than it is known by: nothing is sent to it until a person decides.
    pub quarantined: bool,
    /// The keys that it may show.
    pub pinned: Vec<KeyView>,
    /// The other keys that it has shown.
    pub offered: Vec<KeyView>,
}

/// `POST /api/v1/host-keys/scan`: ask hosts for their keys, without logging in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Scan {
    /// Host patterns; what they name is added up.
    pub hosts: Vec<String>,
    /// The `ssh_config` to use instead of the user's; an absolute path.
    pub ssh_config: Option<String>,
    /// The SSH agent's socket, for jump hosts on the way; an absolute path.
    pub agent_socket: Option<String>,
}

/// What a host has shown when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScannedHost {
    /// The host, as it was asked for.
    pub target: String,
    /// The name under which its keys would be pinned.
    pub host: String,
    /// Whether keys are pinned under that name already; then the host is not asked.
    pub known: bool,
    /// The keys that it has shown, as in a `.pub` file.
    pub keys: Vec<String>,
    /// Why there are none.
    pub error: Option<String>,
}

/// `POST /api/v1/host-keys/trust`: what a person decides about hosts' keys. All of it is done, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// One for each name.
    pub decisions: Vec<TrustHost>,
}

/// A decision about one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustHost {
    /// The name, as `GET /host-keys` has it.
    pub host: String,
    /// What is decided.
    #[serde(flatten)]
    pub decision: TrustDecision,
}

/// What is decided about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TrustDecision {
    /// The offered key of this fingerprint takes the place of those that are pinned, and the quarantine ends.
    Fingerprint(String),
    /// With `true`: the offered keys are forgotten, and the quarantine ends.
    Keep(bool),
    /// With `true`: everything is forgotten, and the host is unknown.
    Forget(bool),
    /// Keys of a host of which nothing is known, as in a `.pub` file.
    Keys(Vec<String>),
}
