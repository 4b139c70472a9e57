//! Where the server listens.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use muster_model::Problem;
use muster_model::problem::Code;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, geteuid};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::tls::Certificate;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket: for this user and root.
    Unix(UnixListener),
    /// A loopback address without TLS: for whoever has the token.
    Tcp(TcpListener),
    /// Any address, by TLS: for whoever has the token.
    Tls(TcpListener, Arc<Certificate>),
}

/// An accepted connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// Nothing has been said on it yet.
    Tls(TcpStream),
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A user of this machine who may come in.
    User(Arc<str>),
    /// Another user of this machine.
    Stranger(u32),
    /// Somebody on this machine who must show the token.
    Unknown,
    /// Somebody anywhere, over TLS, who must show the token.
    Far,
}

/// The users who may come in by a Unix socket.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    us: Uid,
    our_name: Arc<str>,
}

impl Users {
    /// Looks our own name up, once: the user database may be far away.
    pub(crate) fn look_up() -> Self {
        let us = geteuid();
        let name = nix::unistd::User::from_uid(us).ok().flatten();
        Self {
            us,
            our_name: name.map_or_else(|| us.to_string(), |user| user.name).into(),
        }
    }

    /// Returns the name of the user that this process runs as.
    pub(crate) fn our_name(&self) -> Arc<str> {
        Arc::clone(&self.our_name)
    }

    pub(crate) fn peer(&self, uid: u32) -> Peer {
        if uid == self.us.as_raw() {
            Peer::User(self.our_name())
        } else if uid == 0 {
            Peer::User("root".into())
        } else {
            Peer::Stranger(uid)
        }
    }
}

impl Stream {
    pub(crate) fn peer(&self, users: &Users) -> Peer {
        match self {
            Self::Unix(stream) => match stream.peer_cred() {
                Ok(credentials) => users.peer(credentials.uid()),
                // Who cannot be told is nobody we know.
                Err(_) => Peer::Stranger(u32::MAX),
            },
            Self::Tcp(_) => Peer::Unknown,
            Self::Tls(_) => Peer::Far,
        }
    }
}

impl Listener {
    /// Refuses an address that other machines reach without TLS.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let Self::Tcp(listener) = self else {
            return Ok(());
        };
        match listener.local_addr() {
            Ok(address) if address.ip().is_loopback() => Ok(()),
            Ok(address) => Err(Problem::new(
                Code::InvalidConfig,
                format!("{address} is a network address: it is served over TLS alone"),
            )
            .hint("leave http:// out, or listen on 127.0.0.1 or [::1]")),
            Err(error) => Err(Problem::new(
                Code::Internal,
                format!("a socket without an address: {error}"),
            )),
        }
    }

    /// Waits for a connection. Cancel-safe.
    pub(crate) async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Tls(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tls(stream))
            }
        }
    }

    /// Tells whether a connection waits to be accepted, asking the kernel itself: what the runtime knows
    /// may be older.
    pub(crate) fn has_waiting(&self) -> bool {
        let mut sockets = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        poll(&mut sockets, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) | Self::Tls(listener, _) => listener.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_and_root_are_let_in_and_nobody_else() {
        let users = Users {
            us: Uid::from_raw(1000),
            our_name: "ada".into(),
        };
        assert_eq!(users.peer(1000), Peer::User("ada".into()));
        assert_eq!(users.peer(0), Peer::User("root".into()));
        assert_eq!(users.peer(1001), Peer::Stranger(1001));
    }

    #[tokio::test]
    async fn an_address_that_other_machines_reach_is_refused() {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let problem = Listener::Tcp(listener).check().expect_err("refused");
        assert_eq!(problem.code, Code::InvalidConfig);
        assert!(problem.detail.contains("network address"), "{problem}");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        assert_eq!(Listener::Tcp(listener).check(), Ok(()));
    }
}
