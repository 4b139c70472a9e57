//! Hosts that cannot be reached, or that are none.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use muster_model::{Endpoint, Unreachable};
use muster_testkit::{Sshd, require};

use super::{Site, failed};
use crate::types::Access;

/// Time enough to come to any phase on a busy machine, and much less than the 30 s that the site gives.
fn quick(site: &Site) -> Access {
    Access {
        connect_timeout: Duration::from_secs(3),
        ..site.access()
    }
}

fn at(site: &Site, port: u16) -> Endpoint {
    Endpoint {
        port: Some(port),
        ..site.endpoint("127.0.0.1")
    }
}

/// Answers each connection with `words` and then with nothing, or with an end.
fn answering(words: &'static [u8], and_ends: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    #[expect(
        clippy::disallowed_methods,
        reason = "a server that ends with the test's process"
    )]
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(words);
            if !and_ends {
                open.push(stream);
            }
        }
    });
    port
}

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    let site = Site::new(require!(Sshd::start().await));
    let port = muster_testkit::ports::free().expect("a port");
    let result = site.reach(&at(&site, port), &site.access()).await;
    let words = [
        format!("127.0.0.1:{port}"),
        "connection refused".into(),
        "is sshd running".into(),
    ];
    failed(
        result,
        Unreachable::Refused,
        &words.each_ref().map(String::as_str),
    );
}

#[tokio::test]
async fn a_name_without_an_address_is_not_found() {
    let site = Site::new(require!(Sshd::start().await));
    let result = site.login("no-such-host.invalid", &site.access()).await;
    failed(
        result,
        Unreachable::NameNotFound,
        &["'no-such-host.invalid' has no address", "spelling"],
    );
}

#[tokio::test]
async fn a_host_that_does_not_answer_times_out_while_connecting() {
    let site = Site::new(require!(Sshd::start().await));
    // A queue that is full lets nobody in any more.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("bound");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    loop {
        let connecting = tokio::net::TcpStream::connect(address);
        // Where there is room, the kernel answers at once, whoever else is busy.
        match tokio::time::timeout(Duration::from_secs(3), connecting).await {
            Ok(stream) => waiting.push(stream.expect("connected")),
            Err(_) => break,
        }
        assert!(waiting.len() < 100, "the queue never fills");
    }
    let started = Instant::now();
    let result = site.reach(&at(&site, address.port()), &quick(&site)).await;
    failed(
        result,
        Unreachable::TimedOut,
        &["timed out while connecting", "within 3 s", "firewall"],
    );
    assert!(started.elapsed() < site.access().connect_timeout / 2);
    // ssh_config may set a shorter time for connecting alone.
    site.config("ConnectTimeout 1\n");
    let result = site.reach(&at(&site, address.port()), &site.access()).await;
    failed(result, Unreachable::TimedOut, &["while connecting", "within 1 s"]);
}

#[tokio::test]
async fn a_host_that_says_nothing_times_out_at_its_first_line() {
    let site = Site::new(require!(Sshd::start().await));
    let port = answering(b"", false);
    let result = site.reach(&at(&site, port), &quick(&site)).await;
    failed(result, Unreachable::TimedOut, &["waiting for its first line"]);
}

#[tokio::test]
async fn a_host_that_stops_in_the_key_exchange_times_out_there_and_leaves_no_connection() {
    let site = Site::new(require!(Sshd::start().await));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let silent = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-tarpit\r\n")
            .await
            .expect("written");
        stream
    };
    let endpoint = at(&site, port);
    let access = quick(&site);
    let (mut stream, result) = tokio::join!(silent, site.reach(&endpoint, &access));
    failed(result, Unreachable::TimedOut, &["in the key exchange"]);
    // The other side sees the end: what was begun is not kept by anybody.
    let read_all = async {
        let mut buffer = [0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await {}
    };
    tokio::time::timeout(Duration::from_secs(10), read_all)
        .await
        .expect("the connection was closed");
}

#[tokio::test]
async fn what_does_not_speak_ssh_is_quoted() {
    let site = Site::new(require!(Sshd::start().await));
    let port = answering(b"HTTP/1.1 400 Bad \x1b[31mRequest\r\n\r\n", true);
    let result = site.reach(&at(&site, port), &site.access()).await;
    let message = failed(
        result,
        Unreachable::Protocol,
        &["does not speak SSH", "HTTP/1.1 400 Bad", "the right port"],
    );
    assert!(!message.contains('\x1b'));
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_broken() {
    let site = Site::new(require!(Sshd::start().await));
    let port = answering(b"", true);
    let result = site.reach(&at(&site, port), &site.access()).await;
    failed(
        result,
        Unreachable::Broken,
        &["before the host said anything", "MaxStartups"],
    );
    let port = answering(b"SSH-2.0-x\r\n", true);
    let result = site.reach(&at(&site, port), &site.access()).await;
    failed(result, Unreachable::Broken, &["broke in the key exchange"]);
    let port = answering(b"Exceeded MaxStartups\r\n", true);
    let result = site.reach(&at(&site, port), &site.access()).await;
    failed(
        result,
        Unreachable::Broken,
        &["takes no more logins at this moment"],
    );
}

#[tokio::test]
async fn without_a_common_algorithm_the_message_says_which_kind() {
    let sshd = Sshd::builder()
        .config_line("Ciphers aes256-cbc")
        .config_line("MACs hmac-sha1")
        .start()
        .await;
    let site = Site::new(require!(sshd));
    let words = ["no cipher algorithm in common", "aes256-cbc", "Ciphers +"];
    site.fails(&site.access(), Unreachable::Protocol, &words).await;
    site.config("Ciphers +aes256-cbc\nMACs +hmac-sha1\n");
    site.works(&site.access()).await;
}

#[tokio::test]
async fn a_host_that_hangs_in_the_login_times_out_there() {
    let site = Site::new(require!(Sshd::start().await));
    let login = site.works(&site.access()).await;
    drop(login);
    site.sshd.freeze();
    let result = site.login(&site.sshd.host(1), &quick(&site)).await;
    site.sshd.thaw();
    failed(result, Unreachable::TimedOut, &["waiting for its first line"]);
}

#[tokio::test]
async fn every_key_exchange_and_cipher_that_both_have_logs_in() {
    let site = Site::new(require!(Sshd::start().await));
    for kex in [
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
    ] {
        site.config(&format!("KexAlgorithms {kex}\n"));
        site.works(&site.access()).await;
    }
    for (cipher, mac) in [
        ("aes128-gcm@openssh.com", "hmac-sha2-256"),
        ("aes256-gcm@openssh.com", "hmac-sha2-256"),
        ("chacha20-poly1305@openssh.com", "hmac-sha2-256"),
        ("aes128-ctr", "hmac-sha2-256-etm@openssh.com"),
        ("aes256-ctr", "hmac-sha2-512"),
    ] {
        site.config(&format!("Ciphers {cipher}\nMACs {mac}\n"));
        site.works(&site.access()).await;
    }
}

#[tokio::test]
async fn a_connection_that_dies_says_why() {
    let site = Site::new(require!(Sshd::start().await));
    let login = site.works(&site.access()).await;
    assert_eq!(login.ended(), None);
    site.sshd.break_connections().await.expect("broken");
    muster_testkit::wait::until(Duration::from_secs(10), "the end", || login.ended().is_some())
        .await
        .expect("it ended");
    assert_eq!(login.ended().as_deref(), Some("the host closed the connection"));
}
