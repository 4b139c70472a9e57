//! What the proxy promises to those who break a network with it.

#![expect(
    clippy::expect_used,
    reason = "these are tests, of which clippy sees only the functions that are marked"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_testkit::Proxy;
use muster_testkit::proxy::Way;
use muster_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is listened before it is believed that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

/// A server that says what it hears.
struct Echo {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_over = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&is_over);
        let listening = move || {
            let mut talking = Vec::new();
            for client in listener.incoming() {
                if inside.load(Ordering::SeqCst) {
                    break;
                }
                let mut client = client.expect("a client");
                let talk = move || drop(std::io::copy(&mut client.try_clone().expect("one"), &mut client));
                talking.push(std::thread::Builder::new().spawn(talk).expect("a thread"));
            }
            for talk in talking {
                talk.join().expect("it ends");
            }
        };
        let thread = std::thread::Builder::new().spawn(listening).expect("a thread");
        Self {
            port,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An echo and a proxy before it; in this order they end.
fn set() -> (Proxy, Echo) {
    let echo = Echo::start();
    (Proxy::before(echo.port).expect("a proxy"), echo)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it lets us in");
    client.set_read_timeout(Some(PATIENCE)).expect("patience");
    client
}

/// Says something and hears it again.
fn talk(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).expect("said");
    let mut heard = vec![0; text.len()];
    client.read_exact(&mut heard).expect("heard");
    assert_eq!(heard, text.as_bytes());
}

/// Reads until the end; returns what came, and how it ended.
fn rest(client: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut all = Vec::new();
    let end = client.read_to_end(&mut all).err().map(|error| error.kind());
    (all, end)
}

#[test]
fn it_carries_both_ways_and_an_orderly_end() {
    let (proxy, _echo) = set();
    let mut clients: Vec<TcpStream> = (0..20).map(|_| connect(&proxy)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        talk(client, &format!("hello {number}"));
    }
    assert_eq!((proxy.open(), proxy.arrivals().len()), (20, 20));
    let mut client = clients.pop().expect("one");
    let long = vec![7; 1 << 20];
    let mut other = client.try_clone().expect("the same");
    let sending = std::thread::Builder::new().spawn(move || {
        other.write_all(&long).expect("sent");
        other.shutdown(std::net::Shutdown::Write).expect("that was all");
    });
    let (heard, end) = rest(&mut client);
    sending.expect("a thread").join().expect("sent");
    assert_eq!(
        (heard.len(), end),
        (1 << 20, None),
        "half of it may be over before the other half"
    );
    assert!(proxy.carried(Way::ToServer) >= 1 << 20);
    drop(client);
    wait::blocking(PATIENCE, "it to be counted off", || {
        (proxy.open() == 19).then_some(())
    })
    .expect("counted");
}

#[test]
fn what_is_cut_is_reset_and_who_comes_again_is_carried() {
    let (proxy, _echo) = set();
    let mut clients: Vec<TcpStream> = (0..5).map(|_| connect(&proxy)).collect();
    clients.iter_mut().for_each(|client| talk(client, "hello"));
    proxy.cut().expect("cut");
    assert_eq!(proxy.open(), 0, "it is done when it says so");
    for client in &mut clients {
        assert_eq!(rest(client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    }
    talk(&mut connect(&proxy), "again");
}

#[test]
fn a_cut_after_bytes_leaves_exactly_those() {
    for way in [Way::ToServer, Way::ToClient] {
        let (proxy, _echo) = set();
        let mut client = connect(&proxy);
        talk(&mut client, "hello");
        proxy.cut_after(way, 7).expect("ordered");
        talk(&mut client, "1234");
        client.write_all(b"56789").expect("said");
        let (heard, end) = rest(&mut client);
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "{way:?}");
        match way {
            // What the server heard last it may not have said again before the cut.
            Way::ToServer => assert!(b"567".starts_with(&heard), "{heard:?}"),
            Way::ToClient => assert_eq!(heard, b"567"),
        }
        assert_eq!(proxy.carried(way), 5 + 7, "{way:?}");
        talk(&mut connect(&proxy), "a newer one is whole");
    }
}

#[test]
fn a_stalled_connection_is_silent_and_not_closed_and_loses_nothing() {
    let (proxy, _echo) = set();
    let mut old = connect(&proxy);
    talk(&mut old, "hello");
    proxy.stall().expect("stalled");
    let mut new = connect(&proxy);
    for client in [&mut old, &mut new] {
        client.write_all(b"kept").expect("it is taken");
        client.set_read_timeout(Some(QUIET)).expect("patience");
        let silence = client.read(&mut [0; 1]).expect_err("nothing comes");
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
        client.set_read_timeout(Some(PATIENCE)).expect("patience");
    }
    proxy.heal().expect("healed");
    for client in [&mut old, &mut new] {
        let mut heard = [0; 4];
        client.read_exact(&mut heard).expect("it comes after all");
        assert_eq!(&heard, b"kept");
    }
    proxy.stall().expect("stalled");
    proxy.cut().expect("a stalled one can be cut");
    assert_eq!(rest(&mut old).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_slow_link_takes_its_time() {
    let (proxy, _echo) = set();
    let mut client = connect(&proxy);
    proxy.slow(10_000).expect("slow");
    let started = Instant::now();
    talk(&mut client, &"x".repeat(5_000));
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    proxy.heal().expect("healed");
    let started = Instant::now();
    talk(&mut client, &"x".repeat(50_000));
    assert!(started.elapsed() < Duration::from_secs(4), "and no longer");
}

#[test]
fn who_is_refused_finds_nobody_and_who_is_turned_away_is_reset() {
    let (proxy, _echo) = set();
    let mut inside = connect(&proxy);
    talk(&mut inside, "hello");
    proxy.refuse().expect("refused");
    let refused = TcpStream::connect(("127.0.0.1", proxy.port())).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    talk(&mut inside, "who is inside stays");
    proxy.heal().expect("healed");
    talk(&mut connect(&proxy), "open again");

    let before = proxy.arrivals().len();
    proxy.turn_away().expect("turned away");
    for _ in 0..3 {
        let end = rest(&mut connect(&proxy)).1;
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    assert_eq!(proxy.arrivals().len(), before + 3);
    talk(&mut inside, "who is inside stays");
    proxy.heal().expect("healed");
    talk(&mut connect(&proxy), "open again");
}

#[test]
fn what_it_started_ends_with_it() {
    let (proxy, echo) = set();
    let mut client = connect(&proxy);
    talk(&mut client, "hello");
    let port = proxy.port();
    drop(proxy);
    assert_eq!(rest(&mut client).1, Some(ErrorKind::ConnectionReset));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens");
    // Its connections to the server are gone too: the server can end, which waits for its clients.
    drop(echo);
}

#[test]
fn without_a_server_a_client_is_reset() {
    let nobody = muster_testkit::ports::free().expect("a port");
    let proxy = Proxy::before(nobody).expect("a proxy");
    assert_eq!(rest(&mut connect(&proxy)).1, Some(ErrorKind::ConnectionReset));
}
