//! The listening side of a hostile host, and whether its visitors have left.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use ring::signature::Ed25519KeyPair;

use super::cases::Conduct;
use super::exchange;
use super::peer::Peer;
use crate::error::{Error, Result};

/// A host that treats every visitor as its case says. It ends when it is dropped.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    blob: Vec<u8>,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    visits: AtomicUsize,
    open: AtomicUsize,
    streams: Mutex<HashMap<usize, TcpStream>>,
}

impl Host {
    /// Starts a host on a loopback address, such as `127.0.0.1`.
    ///
    /// # Errors
    ///
    /// Where it cannot listen, or there is no randomness.
    pub fn start(address: &str, conduct: Conduct) -> Result<Self> {
        let failed = |error: io::Error| Error::io(Path::new("a hostile host"))(error);
        let random = |error: &dyn std::fmt::Display| failed(io::Error::other(error.to_string()));
        let listener = TcpListener::bind((address, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| random(&error))?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| random(&error))?;
        let blob = exchange::blob(&key);
        let shared = Arc::new(Shared::default());
        let (key, inside) = (Arc::new(key), Arc::clone(&shared));
        let listening = thread(move || inside.listen(&listener, &key, &conduct));
        Ok(Self {
            address,
            blob,
            shared,
            listening: Some(listening),
        })
    }

    /// Returns its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns its line for `known_hosts`.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let (address, port) = (self.address.ip(), self.address.port());
        format!("[{address}]:{port} ssh-ed25519 {}\n", STANDARD.encode(&self.blob))
    }

    /// Returns how many connections it has had.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.shared.visits.load(Ordering::Acquire)
    }

    /// Returns how many connections the other side has not closed yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the listener; where it does not come through, the listener has ended.
        let _ = TcpStream::connect(self.address);
        self.shared.cut();
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        for stream in self.streams().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener, key: &Arc<Ed25519KeyPair>, conduct: &Conduct) {
        let mut visitors = Vec::new();
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if self.stop.load(Ordering::Acquire) {
                break;
            }
            let number = self.visits.fetch_add(1, Ordering::AcqRel);
            self.open.fetch_add(1, Ordering::AcqRel);
            if let Ok(stream) = stream.try_clone() {
                self.streams().insert(number, stream);
            }
            let (shared, key, conduct) = (Arc::clone(self), Arc::clone(key), Arc::clone(conduct));
            visitors.push(thread(move || shared.receive(number, stream, key, &conduct)));
        }
        self.cut();
        for visitor in visitors {
            let _ = visitor.join();
        }
    }

    fn receive(&self, number: usize, stream: TcpStream, key: Arc<Ed25519KeyPair>, conduct: &Conduct) {
        let _ = stream.set_nodelay(true);
        // What waits in buffers is to be little: the next message is behind it.
        let _ = setsockopt(&stream, sockopt::SndBuf, &(64 * 1024));
        let mut resets = false;
        if let Ok(mut peer) = stream.try_clone().map(|stream| Peer::new(stream, key)) {
            // What the visitor does not put up with ends the conduct, which is what is asked for.
            let _ = conduct(&mut peer);
            resets = peer.resets();
        }
        // A connection counts until the other side has let go of it.
        if !resets {
            let _ = until_hung_up(&stream, true);
        }
        self.streams().remove(&number);
        // The last one to close it: after this, where it is reset, the other side hears of it.
        drop(stream);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until the other side has closed the connection; what it sends meanwhile is read where `reads`.
pub(super) fn until_hung_up(stream: &TcpStream, reads: bool) -> io::Result<()> {
    let hung_up = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
    let mut wanted = hung_up;
    if reads {
        wanted |= PollFlags::POLLIN;
    }
    let gone = hung_up | PollFlags::POLLHUP | PollFlags::POLLERR;
    let mut waste = [0; 4096];
    loop {
        let mut fds = [PollFd::new(stream.as_fd(), wanted)];
        poll(&mut fds, PollTimeout::NONE).map_err(io::Error::from)?;
        // None stands for a flag that nix does not know: hung up.
        if fds[0].revents().is_none_or(|seen| seen.intersects(gone)) {
            return Ok(());
        }
        if reads && matches!((&*stream).read(&mut waste), Ok(0) | Err(_)) {
            return Ok(());
        }
    }
}

/// Whether something of the other side can be read now.
pub(super) fn readable(stream: &TcpStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a host floods and hangs apart from the runtime under test; its threads are joined"
)]
fn thread(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(work)
}
