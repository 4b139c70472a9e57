//! From an endpoint to a connection that is logged in.

use std::sync::Arc;

use muster_model::Endpoint;
use russh::client::{Handle, Handler};

use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// Answers what the host asks while a connection lives.
#[derive(Debug)]
pub(crate) struct ClientHandler;

impl Handler for ClientHandler {
    type Error = russh::Error;
}

/// A connection that is logged in.
pub(crate) struct Login {
    /// The connection.
    pub handle: Handle<ClientHandler>,
    /// `user@host:port`, for messages.
    pub label: String,
    /// The jump host that carries it: it must live as long.
    pub jump: Option<Arc<Login>>,
}

/// Everything that decides a connection: two endpoints with the same one may share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resolved {
    /// The host's name.
    pub host: String,
}

/// Works out how to reach a host.
pub(crate) fn resolve(
    settings: &Settings,
    endpoint: &Endpoint,
    access: &Access,
) -> Result<Resolved, ConnectError> {
    let _ = (settings, access);
    Ok(Resolved {
        host: endpoint.host.clone(),
    })
}

/// Connects and logs in.
pub(crate) async fn login(
    settings: &Settings,
    resolved: &Resolved,
    access: &Access,
) -> Result<Login, ConnectError> {
    let _ = (settings, access);
    Err(ConnectError::new(
        muster_model::Unreachable::Unsupported,
        &resolved.host,
    ))
}
