//! The SSH agent.

use std::io;
use std::path::Path;
use std::time::Duration;

use muster_runtime::clock;
use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::adapters::ssh::handler::ClientHandler;

/// An agent's socket has room for some hundred callers who wait; more than that at once are refused.
static CALLERS: Semaphore = Semaphore::const_new(32);

/// How long the agent may take to list its keys. Signing may need a person, so it has the login's time.
const LIST_WITHIN: Duration = Duration::from_secs(5);

/// A connection to the agent, and what it holds.
pub(crate) struct Agent {
    /// The connection.
    pub(super) client: AgentClient<UnixStream>,
    /// Its keys and certificates, in its order.
    pub(super) identities: Vec<AgentIdentity>,
}

impl Agent {
    /// Connects to the agent and asks what it holds.
    ///
    /// # Errors
    ///
    /// What went wrong, for people.
    pub(crate) async fn connect(socket: &Path, handle: &Handle<ClientHandler>) -> Result<Self, String> {
        let failed = |why: &dyn std::fmt::Display| format!("the SSH agent at {}: {why}", socket.display());
        let work = async {
            let _caller = CALLERS.acquire().await.map_err(|error| failed(&error))?;
            let stream = match UnixStream::connect(socket).await {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(failed(&"there is no such socket"));
                }
                Err(error) => return Err(failed(&error)),
            };
            let mut client = AgentClient::connect(stream);
            if let Some(binding) = handle.agent_session_binding() {
                // Only an agent with keys that are bound to hosts needs it; others say no, which is fine.
                let _ = client.bind_session(binding, false).await;
            }
            let identities = client
                .request_identities()
                .await
                .map_err(|error| failed(&error))?;
            Ok(Self { client, identities })
        };
        match clock::deadline(LIST_WITHIN, work).await {
            Ok(result) => result,
            Err(clock::Elapsed) => Err(failed(&"no answer")),
        }
    }
}
