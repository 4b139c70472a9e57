//! The server's side of SSH for one host: who is let in, and what a channel may ask for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::{CancellationToken, Tasks, clock};
use russh::keys::{PrivateKey, ssh_key};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::command::{self, Process};

/// As OpenSSH's MaxSessions, but roomier.
const CHANNELS: usize = 64;
const VARIABLES: usize = 256;
/// How long a connection may take to end by itself when the host ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a host is.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) home: PathBuf,
    pub(super) bin: PathBuf,
    pub(super) mark: String,
    pub(super) client: ssh_key::PublicKey,
    pub(super) tasks: Tasks,
    pub(super) stop: CancellationToken,
}

/// Serves a host until it is stopped.
pub(super) async fn serve(listener: TcpListener, key: PrivateKey, machine: Arc<Machine>) {
    let config = Arc::new(Config {
        keys: vec![key],
        auth_rejection_time: Duration::from_millis(300),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(60)),
        // Requests for variables wait here until the command starts.
        channel_buffer_size: 2 * VARIABLES,
        ..Config::default()
    });
    loop {
        let accepted = tokio::select! {
            () = machine.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, Arc::clone(&config), Arc::clone(&machine));
                machine.tasks.spawn("demo connection", connection);
            }
            Err(error) => {
                // Out of descriptors, most likely: it passes.
                tracing::warn!(host = machine.name, %error, "a connection to a demo host was not accepted");
                clock::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, config: Arc<Config>, machine: Arc<Machine>) {
    let (peer, here) = (stream.peer_addr(), stream.local_addr());
    let (Ok(peer), Ok(here)) = (peer, here) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let stop = machine.stop.clone();
    let visitor = Visitor {
        machine,
        route: format!("{} {} {} {}", peer.ip(), peer.port(), here.ip(), here.port()),
        channels: HashMap::new(),
    };
    let hello = tokio::select! {
        () = stop.cancelled() => return,
        hello = clock::deadline(Duration::from_secs(30), russh::server::run_stream(config, stream, visitor)) => hello,
    };
    let Ok(Ok(running)) = hello else {
        return;
    };
    let handle = running.handle();
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection to a demo host ended");
            }
        }
        () = stop.cancelled() => {
            let bye = async {
                let text = "the demo has ended".to_owned();
                let _ = handle.disconnect(Disconnect::ByApplication, text, String::new()).await;
                let _ = running.await;
            };
            let _ = clock::deadline(FAREWELL, bye).await;
        }
    }
}

/// One connection.
struct Visitor {
    machine: Arc<Machine>,
    route: String,
    channels: HashMap<ChannelId, Waiting>,
}

/// A channel whose command has not started.
struct Waiting {
    env: Vec<(String, String)>,
    start: oneshot::Sender<Process>,
}

impl Visitor {
    fn lets_in(&self, user: &str, key: &ssh_key::PublicKey) -> Auth {
        if user == self.machine.user && key.key_data() == self.machine.client.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    fn start(
        &mut self,
        channel: ChannelId,
        line: Option<&[u8]>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(waiting) = self.channels.remove(&channel) else {
            return session.channel_failure(channel);
        };
        let started = command::spawn(&self.machine, &self.route, waiting.env, line);
        match started {
            // The channel's task is gone only when the connection is.
            Ok(process) => match waiting.start.send(process) {
                Ok(()) => session.channel_success(channel),
                Err(_) => session.channel_failure(channel),
            },
            Err(error) => {
                tracing::warn!(host = self.machine.name, %error, "a command did not start on a demo host");
                session.channel_failure(channel)
            }
        }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.lets_in(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.lets_in(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.retain(|_, waiting| !waiting.start.is_closed());
        if self.channels.len() >= CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (start, started) = oneshot::channel();
        let waiting = Waiting {
            env: Vec::new(),
            start,
        };
        self.channels.insert(channel.id(), waiting);
        let stop = self.machine.stop.clone();
        let work = command::serve(channel, session.handle(), started, stop);
        self.machine.tasks.spawn("demo channel", work);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
        match self.channels.get_mut(&channel) {
            Some(waiting) if is_name && !value.contains('\0') && waiting.env.len() < VARIABLES => {
                waiting.env.push((name.to_owned(), value.to_owned()));
                session.channel_success(channel)
            }
            _ => session.channel_failure(channel),
        }
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(channel, Some(line), session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(channel, None, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}
