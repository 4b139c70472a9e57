//! Connections on real sockets: who gets in, who is waited for, and how listening ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use muster_model::Secret;
use muster_runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};

use crate::accept::{self, Accepting, Handle};
use crate::api::guarded;
use crate::guard::{Guard, Owner};
use crate::listener::{Listener, Users};

/// A server with two addresses: one answers at once, one when it is told to.
pub(super) struct Server {
    handle: Handle,
    pub(super) tasks: Tasks,
    release: Arc<Notify>,
    _wishes: mpsc::Sender<crate::Asked>,
}

pub(super) fn start(listener: Listener) -> Server {
    let tasks = Tasks::new();
    let tls = match &listener {
        Listener::Tls(_, certificate) => Some(certificate.config().expect("TLS")),
        Listener::Unix(_) | Listener::Tcp(_) => None,
    };
    let release = Arc::new(Notify::new());
    let waiting = Arc::clone(&release);
    let router = Router::new()
        .route("/whose", get(async |owner: Owner| owner.0.to_string()))
        .route(
            "/waits",
            get(async move || {
                waiting.notified().await;
                "at last"
            }),
        );
    let users = Users::look_up();
    let guard = Guard {
        token: Some(Secret::new("sesame".to_owned())),
        user: users.our_name(),
    };
    let (commands, told) = mpsc::channel(4);
    let (counter, connections) = watch::channel(0);
    let (wishes, asked) = mpsc::channel(4);
    tasks.spawn(
        "accept",
        accept::run(Accepting {
            listener,
            router: guarded(router, Arc::new(guard)),
            tls,
            users,
            commands: told,
            connections: Arc::new(counter),
            tasks: tasks.clone(),
        }),
    );
    Server {
        handle: Handle {
            commands,
            connections,
            asked,
        },
        tasks,
        release,
        _wishes: wishes,
    }
}

fn on_a_socket() -> (tempfile::TempDir, PathBuf, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    (folder, path, start(Listener::Unix(listener)))
}

impl Server {
    pub(super) async fn until_connections(&self, wanted: usize) {
        let mut connections = self.handle.connections();
        let reached = connections.wait_for(|open| *open == wanted);
        tokio::time::timeout(Duration::from_secs(10), reached)
            .await
            .expect("in time")
            .expect("a server");
    }
}

pub(super) async fn say(stream: &mut (impl AsyncWriteExt + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.expect("a connection");
}

pub(super) async fn hear(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    let heard = stream.read_to_end(&mut text);
    tokio::time::timeout(Duration::from_secs(10), heard)
        .await
        .expect("in time")
        .expect("a connection");
    String::from_utf8(text).expect("text")
}

const WHOSE: &str = "GET /whose HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_socket_knows_who_is_at_its_other_end() {
    let (_folder, path, server) = on_a_socket();
    let mut client = UnixStream::connect(&path).await.expect("a server");
    say(&mut client, WHOSE).await;
    let answer = hear(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(&*Users::look_up().our_name()), "{answer}");
    server.until_connections(0).await;
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_loopback_address_lets_in_who_has_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = start(Listener::Tcp(listener));
    for (token, expected) in [("sesame", "HTTP/1.1 200"), ("barley", "HTTP/1.1 401")] {
        let mut client = TcpStream::connect(address).await.expect("a server");
        let request = format!(
            "GET /whose HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        say(&mut client, &request).await;
        let answer = hear(&mut client).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn listening_ends_and_what_was_asked_is_still_answered() {
    let (_folder, path, server) = on_a_socket();
    let mut client = UnixStream::connect(&path).await.expect("a server");
    say(&mut client, "GET /waits HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until_connections(1).await;
    assert!(!server.handle.stop_listening_if_idle().await);
    server.handle.stop_listening().await;
    assert!(UnixStream::connect(&path).await.is_err());
    server.release.notify_one();
    let answer = hear(&mut client).await;
    assert!(answer.contains("at last"), "{answer}");
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn whoever_waits_at_the_door_is_let_in_before_it_closes() {
    let (_folder, path, server) = on_a_socket();
    // The single-threaded runtime has no chance to accept between these two: the client waits in the
    // kernel's queue, unknown to the loop.
    let client = std::os::unix::net::UnixStream::connect(&path).expect("a server");
    assert!(!server.handle.stop_listening_if_idle().await);
    client.set_nonblocking(true).expect("a socket");
    let mut client = UnixStream::from_std(client).expect("a socket");
    say(&mut client, WHOSE).await;
    assert!(hear(&mut client).await.starts_with("HTTP/1.1 200"));
    server.until_connections(0).await;
    assert!(server.handle.stop_listening_if_idle().await);
    assert!(UnixStream::connect(&path).await.is_err());
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn whoever_waits_at_the_door_is_answered_when_it_closes_for_good() {
    let (_folder, path, server) = on_a_socket();
    let client = std::os::unix::net::UnixStream::connect(&path).expect("a server");
    server.handle.stop_listening().await;
    client.set_nonblocking(true).expect("a socket");
    let mut client = UnixStream::from_std(client).expect("a socket");
    say(&mut client, WHOSE).await;
    let answer = hear(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn an_answer_in_hand_does_not_keep_the_process() {
    let (_folder, path, server) = on_a_socket();
    let mut client = UnixStream::connect(&path).await.expect("a server");
    say(&mut client, "GET /waits HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until_connections(1).await;
    assert_eq!(server.tasks.close(Duration::from_secs(10)).await, 0);
    assert_eq!(hear(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let (_folder, path, server) = on_a_socket();
    let mut client = UnixStream::connect(&path).await.expect("a server");
    say(&mut client, "GET /whose HTTP/1.1\r\nho").await;
    server.until_connections(1).await;
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.expect("an end");
    server.until_connections(0).await;
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}
