//! Many logins at a time against real sockets: hosts that say nothing, and a server that turns logins away.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use muster_model::{Endpoint, Reach, Unreachable};
use muster_runtime::{Tasks, clock};
use muster_testkit::{Sshd, require};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::Pool;
use super::starts::Starts;
use crate::adapters::ssh::Ssh;
use crate::error::ConnectError;
use crate::open::Settings;
use crate::port::Transport;
use crate::types::Access;

/// Hosts that are one sshd, and a transport to them.
struct Site {
    sshd: Sshd,
    tasks: Tasks,
    transport: Arc<Ssh>,
    access: Access,
}

impl Site {
    fn new(sshd: Sshd) -> Self {
        Self::by(sshd, Starts::new(64))
    }

    fn by(sshd: Sshd, starts: Arc<Starts>) -> Self {
        let tasks = Tasks::new();
        let settings = Settings {
            home: sshd.dir().to_owned(),
            user: sshd.user(),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            host_keys: Arc::new(crate::host_keys::InMemory::default()),
            logins: 64,
        };
        let access = Access {
            connect_timeout: Duration::from_secs(30),
            identities: vec![sshd.key().to_owned()],
            ssh_config: Some(sshd.ssh_config()),
            ..Access::default()
        };
        let transport = Arc::new(Ssh::over(Pool::with(settings, tasks.clone(), starts)));
        Self {
            sshd,
            tasks,
            transport,
            access,
        }
    }

    /// Connects to a port of so many addresses at once; returns how each went.
    async fn reach(&self, count: u8, port: u16) -> Vec<Result<(), ConnectError>> {
        let connects = (1..=count).map(|number| async move {
            let endpoint = Endpoint {
                reach: Reach::Ssh,
                host: format!("127.0.1.{number}"),
                address: None,
                user: None,
                port: Some(port),
                credential: None,
            };
            self.transport.connect(&endpoint, &self.access).await.map(drop)
        });
        join_all(connects).await
    }

    async fn ends(self) {
        self.transport.close().await;
        assert_eq!(
            self.tasks.close(Duration::from_secs(10)).await,
            0,
            "tasks are left"
        );
        assert_eq!(self.tasks.panics(), 0, "a task panicked");
    }
}

/// Listens at all loopback addresses, and takes no more connections: what comes is not even answered.
async fn without_an_answer() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("0.0.0.0:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(1).expect("listens");
    let port = listener.local_addr().expect("an address").port();
    let mut held = Vec::new();
    while let Ok(stream) = clock::deadline(
        Duration::from_millis(200),
        TcpStream::connect(("127.0.0.1", port)),
    )
    .await
    {
        held.push(stream.expect("connects"));
        assert!(held.len() < 20, "the queue of the listener has no end");
    }
    (listener, held)
}

#[tokio::test]
async fn silent_hosts_keep_nobody_waiting() {
    let site = Site::new(require!(Sshd::builder().listen_all_loopback().start().await));
    // The kernel answers for it; it never says a line.
    let mute = TcpListener::bind("0.0.0.0:0").expect("listens");
    let mute_port = mute.local_addr().expect("an address").port();
    let (absent, _held) = without_an_answer().await;
    let absent_port = absent.local_addr().expect("an address").port();
    let began = Instant::now();
    // In the order in which they come.
    let (mute_ones, absent_ones, good) =
        tokio::join!(site.reach(100, mute_port), site.reach(100, absent_port), async {
            let good = site.reach(20, site.sshd.port()).await;
            let took = began.elapsed();
            // Those that are still waited for end with the transport, and at once.
            site.transport.close().await;
            (good, took)
        });
    let (good, took) = good;
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    println!("20 good hosts behind 200 silent ones: {took:?}");
    assert!(took < site.access.connect_timeout / 2, "{took:?}");
    assert!(began.elapsed() < took + Duration::from_secs(5));
    for silent in mute_ones.iter().chain(&absent_ones) {
        let error = silent.as_ref().expect_err("it says nothing");
        assert_eq!(
            error.reason,
            Unreachable::Broken,
            "it had its time still: {error}"
        );
    }
    site.ends().await;
}

#[tokio::test]
async fn a_silent_host_has_its_whole_time() {
    let mut site = Site::new(require!(Sshd::builder().listen_all_loopback().start().await));
    // Heard only after its place has gone to others.
    site.sshd.freeze();
    let late = async {
        clock::sleep(Duration::from_millis(2500)).await;
        site.sshd.thaw();
    };
    let (reached, ()) = tokio::join!(site.reach(30, site.sshd.port()), late);
    assert!(reached.iter().all(Result::is_ok), "{reached:?}");
    site.sshd.freeze();
    site.access.connect_timeout = Duration::from_secs(8);
    let began = Instant::now();
    let other = TcpListener::bind("0.0.0.0:0").expect("listens");
    let port = other.local_addr().expect("an address").port();
    for silent in site.reach(5, port).await {
        assert_eq!(silent.expect_err("it says nothing").reason, Unreachable::TimedOut);
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(8) && took < Duration::from_secs(12),
        "{took:?}"
    );
    site.sshd.thaw();
    site.ends().await;
}

/// sshd takes ten and turns every further one away. How often it does depends on how fast the machine is just now, so
/// the same hosts are reached by sixty-four at a time as well, however many of them are turned away.
#[tokio::test]
async fn few_are_turned_away_where_a_server_takes_ten_at_a_time() {
    let window = turned_away(require!(ten_at_a_time().await), Starts::new(64)).await;
    let burst = turned_away(require!(ten_at_a_time().await), Starts::always(64)).await;
    println!("turned away of 120 logins: {window}, and {burst} with 64 at a time");
    assert!(burst > 120, "only {burst} were turned away: nothing was shown");
    assert!(
        window < burst / 2,
        "{window} were turned away, and {burst} with 64 at a time"
    );
}

async fn ten_at_a_time() -> muster_testkit::Result<Sshd> {
    let sshd = Sshd::builder().listen_all_loopback();
    sshd.max_startups("10:100:10").start().await
}

/// Reaches 120 hosts that are one sshd, and returns how often it turned one away.
async fn turned_away(sshd: Sshd, starts: Arc<Starts>) -> usize {
    let site = Site::by(sshd, starts);
    let reached = site.reach(120, site.sshd.port()).await;
    assert!(reached.iter().all(Result::is_ok), "{reached:?}");
    assert_eq!(site.sshd.logins(), 120);
    let turned_away = site.sshd.log().matches("past MaxStartups").count();
    site.ends().await;
    turned_away
}
