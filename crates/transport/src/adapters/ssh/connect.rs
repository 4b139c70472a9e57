//! From an endpoint to a connection that is logged in: the way there, the key exchange, the host's key, and
//! the login, in one given time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::clock;
use russh::Disconnect;
use russh::client::{self, Handle};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use super::handler::{ClientHandler, Examine};
pub(crate) use super::resolve::{Resolved, resolve};

use super::config::AddressFamily;
use super::host_key::HostKeyCheck;
use super::stream::{Acknowledging, Watch, Watched};
use super::trace::{Ended, Phase, Trace};
use super::{algorithms, auth, explain, jump};
use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// A channel's window: 2 MiB keep a fast network busy over some 20 ms, and bound what a host may send
/// before anybody has read it.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The largest packet, as OpenSSH's own client has it.
const PACKET_BYTES: u32 = 32 * 1024;
/// How many packets of a channel wait for their reader: as many as fill the window.
const CHANNEL_PACKETS: usize = 64;
/// How much is read ahead: all that a host says in one turn of a login. Larger packets go past it, uncopied.
const READ_BYTES: usize = 4 * 1024;
/// Where there are several addresses, the next one is tried after so long.
const NEXT_ADDRESS: Duration = Duration::from_secs(3);

/// A connection that is logged in.
pub(crate) struct Login {
    /// The connection.
    pub(crate) handle: Handle<ClientHandler>,
    /// `user@host:port`, for messages.
    pub(crate) label: String,
    /// The jump host that carries it: it lives as long.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, not asked"))]
    pub(crate) jump: Option<Arc<Login>>,
    trace: Arc<Trace>,
    /// A first session has to be open by then too.
    pub(crate) until: Instant,
    /// Cancelled when nothing of the connection is left.
    gone: CancellationToken,
    /// Ends the connection with its login, whatever the host makes russh wait for.
    cut: DropGuard,
}

impl Login {
    /// Ends the connection: in good order where the host plays its part, and without it else.
    pub(crate) async fn hang_up(&self, limit: Duration) {
        let bye = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.gone.cancelled().await;
        };
        if clock::deadline(limit, bye).await.is_err() {
            self.cut.token().cancel();
        }
    }

    /// Says why the connection ended, for people; None while it lives.
    pub(crate) fn ended(&self) -> Option<String> {
        self.trace.ended().map(|ended| match ended {
            Ended::Said(words) => format!("the host ended the connection: {words}"),
            Ended::Broke(why) => why,
        })
    }
}

/// Connects and logs in before `until`, where `access.connect_timeout` ends; `trace` tells how far it is. A login
/// that is given up half-way leaves nothing.
pub(crate) async fn login(
    settings: &Settings,
    resolved: &Resolved,
    access: &Access,
    until: Instant,
    trace: &Arc<Trace>,
) -> Result<Login, ConnectError> {
    let work = Box::pin(attempt(settings, resolved, access, until, trace));
    match clock::deadline(until.saturating_duration_since(Instant::now()), work).await {
        Ok(result) => result,
        Err(clock::Elapsed) => Err(explain::timed_out(
            resolved,
            &trace.phase(),
            access.connect_timeout,
        )),
    }
}

async fn attempt(
    settings: &Settings,
    resolved: &Resolved,
    access: &Access,
    until: Instant,
    trace: &Arc<Trace>,
) -> Result<Login, ConnectError> {
    let check = HostKeyCheck::prepare(settings, resolved).await?;
    let (known, authority) = check.known_algorithms();
    let config = Arc::new(config(resolved, &known, authority)?);
    let examine = Examine::Judge(Box::new(check));
    // Whoever gives this future up cuts the stream with it.
    let cut = CancellationToken::new().drop_guard();
    let gone = CancellationToken::new();
    let watch = Watch {
        trace: Arc::clone(trace),
        cut: cut.token().clone(),
        gone: gone.clone(),
        patience: resolved.alive_interval * resolved.alive_count.max(1),
    };
    let (mut handle, jump) = match &resolved.jump {
        Some(jump) => {
            let (stream, login) = jump::through(settings, jump, resolved, access, trace).await?;
            let handle = Box::pin(handshake(resolved, config, stream, examine, watch)).await?;
            (handle, Some(login))
        }
        None => {
            let stream = Acknowledging::new(reach(resolved, trace).await?);
            let handle = Box::pin(handshake(resolved, config, stream, examine, watch)).await?;
            (handle, None)
        }
    };
    trace.enter(Phase::LoggingIn);
    Box::pin(auth::authenticate(&mut handle, resolved, trace)).await?;
    trace.enter(Phase::In);
    Ok(Login {
        handle,
        label: resolved.label(),
        jump,
        trace: Arc::clone(trace),
        until,
        gone,
        cut,
    })
}

/// Returns the settings of a connection to a host that is known by keys of the algorithms `known`.
pub(super) fn config(
    resolved: &Resolved,
    known: &[String],
    authority: bool,
) -> Result<client::Config, ConnectError> {
    let preferred = algorithms::preferred(&resolved.algorithms, known, authority)
        .map_err(|what| explain::settings(resolved, &what))?;
    Ok(client::Config {
        client_id: russh::SshId::Standard(concat!("SSH-2.0-muster_", env!("CARGO_PKG_VERSION")).into()),
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: CHANNEL_PACKETS,
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(resolved.alive_interval),
        keepalive_max: usize::try_from(resolved.alive_count).unwrap_or(3),
        nodelay: true,
        ..client::Config::default()
    })
}

pub(super) async fn handshake<S>(
    resolved: &Resolved,
    config: Arc<client::Config>,
    stream: S,
    examine: Examine,
    watch: Watch,
) -> Result<Handle<ClientHandler>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let trace = Arc::clone(&watch.trace);
    trace.enter(Phase::Greeting);
    // russh asks for a packet's length and then for the packet: one look at the socket serves both, and the
    // small packets behind it.
    let stream = BufReader::with_capacity(READ_BYTES, Watched::new(stream, watch));
    let handler = ClientHandler::new(Arc::clone(&trace), examine);
    client::connect_stream(config, stream, handler)
        .await
        .map_err(|ending| explain::handshake(resolved, &trace, &ending))
}

/// Connects to the host itself.
pub(super) async fn reach(resolved: &Resolved, trace: &Trace) -> Result<TcpStream, ConnectError> {
    let addresses = addresses(resolved).await?;
    trace.enter(Phase::Connecting);
    let work = async {
        let mut last = None;
        for (place, address) in addresses.iter().enumerate() {
            let connecting = TcpStream::connect(address);
            let result = if place + 1 == addresses.len() {
                connecting.await
            } else {
                let limited = clock::deadline(NEXT_ADDRESS, connecting).await;
                limited.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            };
            match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(explain::connecting(resolved, address, &error)),
            }
        }
        Err(last.unwrap_or_else(|| explain::no_address(resolved, "it has no address")))
    };
    let result = match resolved.connect_timeout {
        None => work.await,
        Some(limit) => match clock::deadline(limit, work).await {
            Ok(result) => result,
            Err(clock::Elapsed) => Err(explain::timed_out(resolved, &Phase::Connecting, limit)),
        },
    };
    let stream = result?;
    // Small packets go out at once. A socket that does not know the option still works.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn addresses(resolved: &Resolved) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = resolved.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, resolved.port)]);
    }
    let found = tokio::net::lookup_host((resolved.host.as_str(), resolved.port)).await;
    let found = found.map_err(|error| explain::no_address(resolved, &error.to_string()))?;
    let wanted = |address: &SocketAddr| match resolved.family {
        AddressFamily::Any => true,
        AddressFamily::Inet => address.is_ipv4(),
        AddressFamily::Inet6 => address.is_ipv6(),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.filter(wanted) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(explain::no_address(
            resolved,
            "it has no address of the wanted family",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
