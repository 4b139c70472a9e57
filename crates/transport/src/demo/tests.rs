//! The hosts against russh's client, and against OpenSSH's where it is installed.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::Tasks;
use muster_testkit::{Sshd, proc, require, wait};
use russh::client::{self, AuthResult};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{ChannelMsg, Sig};

use super::{Host, Hosts};

const SOON: Duration = Duration::from_secs(30);

struct Client;

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

struct Demo {
    tasks: Tasks,
    hosts: Hosts,
    // After the hosts.
    _dir: tempfile::TempDir,
}

async fn demo(count: usize) -> Demo {
    let tasks = Tasks::new();
    let dir = tempfile::tempdir().expect("a folder");
    let hosts = Hosts::start(count, &tasks, dir.path()).await.expect("starts");
    Demo {
        tasks,
        hosts,
        _dir: dir,
    }
}

impl Demo {
    async fn login(&self, number: usize) -> client::Handle<Client> {
        let host: &Host = &self.hosts.hosts()[number - 1];
        let mut handle = client::connect(Arc::default(), (host.address.as_str(), host.port), Client)
            .await
            .expect("connects");
        let key = load_secret_key(self.hosts.key(), None).expect("reads the key");
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = handle
            .authenticate_publickey(self.hosts.user(), key)
            .await
            .expect("asks");
        assert!(matches!(answer, AuthResult::Success));
        handle
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    code: Option<u32>,
    signal: Option<String>,
}

/// Follows a channel to its end.
async fn follow(channel: &mut russh::Channel<client::Msg>) -> Ended {
    let mut ended = Ended::default();
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => ended.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => ended.stderr.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => ended.code = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => ended.signal = Some(format!("{signal_name:?}")),
            _ => {}
        }
    }
    ended
}

async fn run(session: &client::Handle<Client>, line: &str) -> Ended {
    let mut channel = session.channel_open_session().await.expect("a channel");
    channel.exec(true, line).await.expect("asks");
    tokio::time::timeout(SOON, follow(&mut channel))
        .await
        .expect("ends")
}

#[tokio::test]
async fn each_host_has_its_own_name_home_and_address() {
    let demo = demo(3).await;
    for (number, host) in (1..).zip(demo.hosts.hosts()) {
        let session = demo.login(number).await;
        let ended = run(
            &session,
            "hostname; pwd; echo $HOME $HOSTNAME; echo $SSH_CONNECTION | cut -d ' ' -f 3",
        )
        .await;
        let (name, home) = (format!("demo{number}"), host.home.display());
        let wanted = format!("{name}\n{home}\n{home} {name}\n{}\n", host.address);
        assert_eq!(String::from_utf8_lossy(&ended.stdout), wanted);
        assert_eq!(ended.code, Some(0));
    }
}

#[tokio::test]
async fn output_streams_exit_codes_signals_and_variables_arrive() {
    let demo = demo(1).await;
    let session = demo.login(1).await;
    let ended = run(&session, "echo out; echo err >&2; exit 7").await;
    assert_eq!(
        (ended.stdout.as_slice(), ended.stderr.as_slice(), ended.code),
        (&b"out\n"[..], &b"err\n"[..], Some(7))
    );
    let ended = run(&session, "kill -KILL $$").await;
    assert_eq!((ended.code, ended.signal.as_deref()), (None, Some("KILL")));

    let mut channel = session.channel_open_session().await.expect("a channel");
    channel.set_env(false, "MUSTER_RUN", "a b'c").await.expect("asks");
    channel
        .exec(true, "printf %s \"$MUSTER_RUN\"; cat")
        .await
        .expect("asks");
    channel.data(&b" and input"[..]).await.expect("sends");
    channel.eof().await.expect("ends the input");
    assert_eq!(follow(&mut channel).await.stdout, b"a b'c and input");

    let mut channel = session.channel_open_session().await.expect("a channel");
    channel
        .exec(
            true,
            "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
        )
        .await
        .expect("asks");
    loop {
        if let Some(ChannelMsg::Data { data }) = channel.wait().await {
            assert_eq!(&data[..], b"ready\n");
            break;
        }
    }
    channel.signal(Sig::TERM).await.expect("sends");
    let ended = follow(&mut channel).await;
    assert_eq!((ended.stdout.as_slice(), ended.code), (&b"caught\n"[..], Some(3)));
}

#[tokio::test]
async fn only_the_generated_key_and_the_own_user_are_let_in() {
    let demo = demo(2).await;
    let host = &demo.hosts.hosts()[0];
    let stranger =
        russh::keys::PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).expect("a key");
    let own = load_secret_key(demo.hosts.key(), None).expect("reads the key");
    for (user, key) in [(demo.hosts.user(), stranger), ("nobody-else", own)] {
        let mut handle = client::connect(Arc::default(), (host.address.as_str(), host.port), Client)
            .await
            .expect("connects");
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = handle.authenticate_publickey(user, key).await.expect("asks");
        assert!(!matches!(answer, AuthResult::Success), "{user} was let in");
    }
}

#[tokio::test]
async fn large_output_and_input_arrive_whole_on_many_channels_at_once() {
    let demo = demo(1).await;
    let session = demo.login(1).await;
    let many = (0..8).map(|_| {
        run(
            &session,
            "head -c 5000000 /dev/zero; head -c 1000000 /dev/zero >&2",
        )
    });
    for ended in futures_util::future::join_all(many).await {
        assert_eq!(
            (ended.stdout.len(), ended.stderr.len(), ended.code),
            (5_000_000, 1_000_000, Some(0))
        );
    }
    let channel = session.channel_open_session().await.expect("a channel");
    // Nothing is read before all the output is written: neither side may wait for the other.
    channel
        .exec(true, "head -c 4000000 /dev/zero; wc -c")
        .await
        .expect("asks");
    let (mut read, write) = channel.split();
    let sent = async {
        write.data_bytes(vec![7u8; 6_000_000]).await.expect("sends");
        write.eof().await.expect("ends the input");
    };
    let received = async {
        let (mut bytes, mut tail) = (0, Vec::new());
        while let Some(message) = read.wait().await {
            if let ChannelMsg::Data { data } = message {
                bytes += data.len();
                tail = data.to_vec();
            }
        }
        (
            bytes,
            String::from_utf8_lossy(&tail)
                .trim_start_matches('\0')
                .trim()
                .to_owned(),
        )
    };
    let both = async { tokio::join!(sent, received) };
    let ((), (bytes, tail)) = tokio::time::timeout(SOON, both).await.expect("ends");
    assert!(bytes > 4_000_000);
    assert_eq!(tail, "6000000");
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_its_command_alone() {
    let demo = demo(1).await;
    let session = demo.login(1).await;
    let mut channel = session.channel_open_session().await.expect("a channel");
    let word = format!("88801.{:010}", std::process::id());
    channel.exec(true, format!("yes {word}")).await.expect("asks");
    assert!(channel.wait().await.is_some());
    // The same connection serves others all the while: the client holds messages in its own queue until then.
    for _ in 0..3 {
        let other = demo.login(1).await;
        assert_eq!(run(&other, "echo here").await.stdout, b"here\n");
    }
    // Not the shell that started it.
    let mut ours = proc::with_arg(&word).into_iter();
    let writer = ours.find(|process| process.argv.first().is_some_and(|program| program == "yes"));
    let pid = writer.expect("it runs").pid;
    // Blocked in a write: its time does not move.
    let ticks = || std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let mut last = ticks();
    wait::until_some(SOON, "the writer to be held", || {
        let before = std::mem::replace(&mut last, ticks());
        let held = before == last;
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            held.then_some(())
        }
    })
    .await
    .expect("held");
    drop(channel);
}

#[tokio::test]
async fn stopping_ends_every_process_that_commands_started() {
    let demo = demo(1).await;
    let session = demo.login(1).await;
    let seconds = format!("88802.{:010}", std::process::id());
    let line = format!(
        "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; sleep {seconds} & sleep {seconds}' & sleep {seconds}"
    );
    let channel = session.channel_open_session().await.expect("a channel");
    channel.exec(true, line).await.expect("asks");
    let sleepers = || {
        let all = proc::with_arg(&seconds).into_iter();
        all.filter(|process| process.argv.first().is_some_and(|program| program == "sleep"))
            .count()
    };
    wait::until(SOON, "three sleepers", || sleepers() == 3)
        .await
        .expect("they run");
    drop(demo.hosts);
    assert_eq!(proc::with_arg(&seconds), []);
    assert_eq!(demo.tasks.close(SOON).await, 0);
    assert_eq!(demo.tasks.panics(), 0);
}

#[tokio::test]
async fn two_at_once_do_not_meet() {
    let (first, second) = (demo(5).await, demo(5).await);
    let at = |demo: &Demo| -> Vec<(String, u16)> {
        demo.hosts
            .hosts()
            .iter()
            .map(|host| (host.address.clone(), host.port))
            .collect()
    };
    assert!(at(&first).iter().all(|host| !at(&second).contains(host)));
    assert_eq!(run(&first.login(5).await, "hostname").await.stdout, b"demo5\n");
    assert_eq!(run(&second.login(5).await, "hostname").await.stdout, b"demo5\n");
}

#[tokio::test]
async fn more_hosts_than_addresses_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = Hosts::start(251, &Tasks::new(), dir.path())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, muster_model::ErrorKind::TooLarge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssh_logs_in_by_name_and_checks_the_host_key() {
    // The same package family brings the client.
    drop(require!(Sshd::start().await));
    let demo = demo(2).await;
    let config = demo.hosts.ssh_config().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("ssh")
            .arg("-F")
            .arg(config)
            .args(["-o", "BatchMode=yes", "demo2", "hostname; cat; exit 5"])
            .stdin(Stdio::null())
            .output()
    })
    .await
    .expect("joins")
    .expect("ssh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "demo2\n", "{output:?}");
    assert_eq!(output.status.code(), Some(5));
}
