//! Answers what a host asks while a connection lives: above all, whether its key is trusted.

use std::sync::{Arc, OnceLock};

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure};

use super::host_key::HostKeyCheck;
use super::trace::{Ended, Trace};
use crate::error::ConnectError;

/// What ends a connection from this side.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The protocol, or the connection below it.
    Ssh(russh::Error),
    /// The host's key.
    HostKey(ConnectError),
}

impl From<russh::Error> for Ending {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// What is done with the key that a host shows.
pub(crate) enum Examine {
    /// It decides whether the connection goes on.
    Judge(Box<HostKeyCheck>),
    /// It is noted, and the connection ends there.
    Note(Arc<OnceLock<PublicKey>>),
}

/// The client's side of a connection. Whatever a host tries to open here is refused; russh would open it.
pub(crate) struct ClientHandler {
    trace: Arc<Trace>,
    examine: Examine,
}

impl ClientHandler {
    /// Returns a handler.
    pub(crate) fn new(trace: Arc<Trace>, examine: Examine) -> Self {
        Self { trace, examine }
    }
}

impl Handler for ClientHandler {
    type Error = Ending;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Ending> {
        match &self.examine {
            Examine::Judge(check) => match check.check(presented).await {
                Ok(()) => Ok(true),
                Err(error) => Err(Ending::HostKey(error)),
            },
            Examine::Note(noted) => {
                let _ = noted.set(presented.public_key());
                Ok(false)
            }
        }
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ending> {
        refuse(reply).await
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Ending>) -> Result<(), Ending> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.trace.end(Ended::Said(harmless(&info.message)));
                Ok(())
            }
            DisconnectReason::Error(ending) => {
                let why = match &ending {
                    Ending::Ssh(error) => broken(error),
                    Ending::HostKey(error) => error.message.clone(),
                };
                self.trace.end(Ended::Broke(why));
                Err(ending)
            }
        }
    }
}

async fn refuse(reply: ChannelOpenHandle) -> Result<(), Ending> {
    reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}

/// Returns a host's words as a part of one line: short, and nothing in them that a terminal obeys.
pub(crate) fn harmless(words: &str) -> String {
    let letter = |c: char| if is_obeyed(c) { '\u{fffd}' } else { c };
    words.trim().chars().map(letter).take(300).collect()
}

/// Whether a terminal does something at this character, instead of showing it: controls, and those that turn the
/// direction of what follows.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Says why a connection broke, for people.
pub(crate) fn broken(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError | russh::Error::RecvError => {
            "the host closed the connection".to_owned()
        }
        russh::Error::KeepaliveTimeout => "the host does not answer any more".to_owned(),
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the host closed the connection".to_owned()
        }
        russh::Error::IO(error) => error.to_string(),
        other => other.to_string(),
    }
}

impl std::fmt::Debug for ClientHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandler")
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}
