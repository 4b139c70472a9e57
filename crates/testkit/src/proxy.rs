//! A stretch of network between a client and a server of this machine, which a test breaks and mends.
//!
//! One thread carries all connections in one task. What it started ends with it: a proxy that is dropped resets what it
//! carries, and nobody listens any more.

use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use nix::sys::socket::{Shutdown, shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::error::{Error, Result};
use crate::ports;

/// How much is read at a time.
const CHUNK: usize = 16 << 10;
/// How often a slow link moves something, in a second.
const BEATS: u64 = 20;
/// How long an order may take: what is ordered is done in the thread of the proxy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the client says.
    ToServer,
    /// What the server says.
    ToClient,
}

/// A proxy on a port of its own. It carries everything until it is told otherwise; an order is done when its call
/// returns.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    seen: Arc<Seen>,
    orders: Option<mpsc::Sender<(Order, SyncSender<io::Result<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
enum Order {
    Cut,
    CutAfter(Way, u64),
    Refuse,
    TurnAway,
    Stall,
    Slow(u64),
    Heal,
}

/// What has been seen.
#[derive(Debug, Default)]
struct Seen {
    arrivals: Mutex<Vec<Instant>>,
    open: AtomicUsize,
    carried: [AtomicU64; 2],
}

impl Proxy {
    /// Starts one before a port of 127.0.0.1. Nobody need listen there yet.
    ///
    /// # Errors
    ///
    /// Where it cannot listen.
    pub fn before(server: u16) -> Result<Self> {
        let failed = Error::io(Path::new("a proxy"));
        let mut last = None;
        for _ in 0..5 {
            match Self::at(ports::free()?, server) {
                Ok(proxy) => return Ok(proxy),
                Err(error) => last = Some(error),
            }
        }
        Err(failed(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())))
    }

    fn at(port: u16, server: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let seen = Arc::new(Seen::default());
        let (orders, received) = mpsc::channel(16);
        let inside = Arc::clone(&seen);
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                let all = async move {
                    // It was made a moment ago; a runtime that cannot have it carries nothing, and orders fail.
                    if let Ok(listener) = TcpListener::from_std(listener) {
                        carry_all(listener, port, server, received, &inside).await;
                    }
                };
                runtime.block_on(all);
            })?;
        Ok(Self {
            port,
            seen,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Returns the port of 127.0.0.1 at which clients are to connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets every connection, on both sides. New ones are carried.
    ///
    /// # Errors
    ///
    /// Where the proxy is no more; so for all orders.
    pub fn cut(&self) -> Result<()> {
        self.order(Order::Cut)
    }

    /// Resets every connection once so many more bytes have gone one way, and those have arrived: in the middle of what
    /// is said. New ones are carried.
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`].
    pub fn cut_after(&self, way: Way, bytes: u64) -> Result<()> {
        self.order(Order::CutAfter(way, bytes))
    }

    /// Lets nobody in: nobody listens at the port. What is connected stays so.
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`].
    pub fn refuse(&self) -> Result<()> {
        self.order(Order::Refuse)
    }

    /// Takes new connections and resets them at once, as a host does whose server has just died.
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`].
    pub fn turn_away(&self) -> Result<()> {
        self.order(Order::TurnAway)
    }

    /// Carries nothing more, either way, and takes new connections of which nothing is carried either: both sides
    /// believe in a connection that is none. What is said meanwhile is kept, and goes on at [`Proxy::heal`].
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`].
    pub fn stall(&self) -> Result<()> {
        self.order(Order::Stall)
    }

    /// Carries at most so many bytes a second, of each connection and each way.
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`].
    pub fn slow(&self, bytes_a_second: u64) -> Result<()> {
        self.order(Order::Slow(bytes_a_second))
    }

    /// Carries everything again, and lets everybody in.
    ///
    /// # Errors
    ///
    /// As [`Proxy::cut`], and where another program has taken the port meanwhile.
    pub fn heal(&self) -> Result<()> {
        self.order(Order::Heal)
    }

    /// Returns when each client has come that got as far as the door.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Instant> {
        let arrivals = self.seen.arrivals.lock();
        arrivals.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many connections there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// Returns how many bytes have gone one way, of all connections.
    #[must_use]
    pub fn carried(&self, way: Way) -> u64 {
        self.seen.carried[way as usize].load(Ordering::SeqCst)
    }

    fn order(&self, order: Order) -> Result<()> {
        let gone = || Error::failed("the proxy", "it is no more");
        let (done, when_done) = sync_channel(1);
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.try_send((order, done)).map_err(|_| gone())?;
        let outcome = when_done.recv_timeout(PATIENCE).map_err(|_| gone())?;
        outcome.map_err(Error::io(Path::new("a proxy")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How connections are carried now.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    is_stalled: bool,
    bytes_a_second: Option<u64>,
}

/// What all connections share.
struct Wire<'a> {
    rules: watch::Sender<Rules>,
    /// How much may still go each way before everything is cut.
    left: Mutex<[Option<u64>; 2]>,
    seen: &'a Seen,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Both sides have said all, or one is gone.
    Itself,
    /// So many bytes have gone.
    Limit,
}

/// The task.
async fn carry_all(
    listener: TcpListener,
    port: u16,
    server: u16,
    mut orders: mpsc::Receiver<(Order, SyncSender<io::Result<()>>)>,
    seen: &Seen,
) {
    let wire = Wire {
        rules: watch::Sender::default(),
        left: Mutex::default(),
        seen,
    };
    let mut listener = Some(listener);
    let mut turns_away = false;
    // Dropping one resets it.
    let mut links = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                let mut outcome = Ok(());
                match order {
                    Order::Cut => links.clear(),
                    Order::CutAfter(way, bytes) => wire.left()[way as usize] = Some(bytes),
                    Order::Refuse => listener = None,
                    Order::TurnAway => turns_away = true,
                    Order::Stall => wire.rules.send_modify(|rules| rules.is_stalled = true),
                    Order::Slow(bytes) => wire.rules.send_modify(|rules| rules.bytes_a_second = Some(bytes.max(1))),
                    Order::Heal => {
                        turns_away = false;
                        *wire.left() = [None; 2];
                        wire.rules.send_replace(Rules::default());
                        if listener.is_none() {
                            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                                Ok(again) => listener = Some(again),
                                Err(error) => outcome = Err(error),
                            }
                        }
                    }
                }
                let _ = done.send(outcome);
            }
            Some(over) = links.next(), if !links.is_empty() => {
                if over == Over::Limit {
                    links.clear();
                }
            }
            client = arrival(listener.as_ref()) => {
                let mut arrivals = seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                arrivals.push(Instant::now());
                let client = End::new(client);
                if !turns_away {
                    links.push(carry(client, server, &wire));
                }
            }
        }
    }
}

async fn arrival(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // Too many files, or a client that is gone already.
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// One end of a connection, which is reset where it was not closed.
struct End {
    stream: TcpStream,
    is_done: Cell<bool>,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            is_done: Cell::new(false),
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    fn finish(&self) {
        let _ = shutdown(self.stream.as_raw_fd(), Shutdown::Write);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_done.get() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Counts a connection for as long as it is carried.
struct Counted<'a>(&'a Seen);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries one connection.
async fn carry(client: End, server: u16, wire: &Wire<'_>) -> Over {
    wire.seen.open.fetch_add(1, Ordering::SeqCst);
    let _counted = Counted(wire.seen);
    wire.flows().await;
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
        return Over::Itself;
    };
    let server = End::new(server);
    let there = std::pin::pin!(pump(&client, &server, Way::ToServer, wire));
    let back = std::pin::pin!(pump(&server, &client, Way::ToClient, wire));
    // Where one side has said all, the other may go on; where one is gone, the other goes too.
    let outcome = match select(there, back).await {
        Either::Left((Ok(None), back)) => back.await,
        Either::Right((Ok(None), there)) => there.await,
        Either::Left((outcome, _)) | Either::Right((outcome, _)) => outcome,
    };
    match outcome {
        Ok(None) => {
            client.is_done.set(true);
            server.is_done.set(true);
            Over::Itself
        }
        Ok(Some(over)) => over,
        Err(_) => Over::Itself,
    }
}

/// Carries one way of a connection; returns None at its end.
async fn pump(from: &End, to: &End, way: Way, wire: &Wire<'_>) -> io::Result<Option<Over>> {
    let mut buffer = vec![0; CHUNK];
    loop {
        wire.flows().await;
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            wire.flows().await;
            to.finish();
            return Ok(None);
        }
        let mut left = &buffer[..count];
        while !left.is_empty() {
            wire.flows().await;
            let rate = wire.rules.borrow().bytes_a_second;
            let beat = rate.map_or(CHUNK as u64, |rate| (rate / BEATS).max(1));
            let most = usize::try_from(beat).unwrap_or(CHUNK).min(left.len());
            let (count, is_last) = wire.allow(way, most);
            let (piece, rest) = left.split_at(count);
            to.write(piece).await?;
            wire.seen.carried[way as usize].fetch_add(count as u64, Ordering::SeqCst);
            if is_last {
                return Ok(Some(Over::Limit));
            }
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
            }
            left = rest;
        }
    }
}

impl Wire<'_> {
    fn left(&self) -> std::sync::MutexGuard<'_, [Option<u64>; 2]> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is carried.
    async fn flows(&self) {
        let mut rules = self.rules.subscribe();
        let _ = rules.wait_for(|rules| !rules.is_stalled).await;
    }

    /// Returns how much of so many bytes may go, and whether they are the last.
    fn allow(&self, way: Way, count: usize) -> (usize, bool) {
        let mut left = self.left();
        let Some(limit) = &mut left[way as usize] else {
            return (count, false);
        };
        let allowed = usize::try_from(*limit).unwrap_or(usize::MAX).min(count);
        *limit -= allowed as u64;
        let is_last = *limit == 0;
        if is_last {
            left[way as usize] = None;
        }
        (allowed, is_last)
    }
}
