//! The tests' sshd against OpenSSH's own client, and its end.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use muster_testkit::keys::{self, For, KeyKind};
use muster_testkit::{Sshd, proc, require, wait};

const SOON: Duration = Duration::from_secs(20);

fn ssh(sshd: &Sshd, host: &str, options: &[&str], command: &str) -> Output {
    Command::new("ssh")
        .arg("-F")
        .arg(sshd.ssh_config())
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
        .args(options)
        .args([host, command])
        .stdin(Stdio::null())
        .output()
        .expect("ssh runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn lets_its_key_in_on_every_address_and_name() {
    let sshd = require!(Sshd::builder().listen_all_loopback().start().await);
    for host in [
        sshd.host(1),
        sshd.host(255),
        "web3".to_owned(),
        "127.9.8.7".to_owned(),
    ] {
        let output = ssh(&sshd, &host, &[], "echo $SSH_CONNECTION; exit 7");
        assert_eq!(output.status.code(), Some(7), "{}{}", text(&output), sshd.log());
    }
    assert_eq!(
        (sshd.host(1), sshd.host(255)),
        ("127.0.1.1".into(), "127.0.2.1".into())
    );
    assert_eq!(sshd.logins(), 4);
}

#[tokio::test]
async fn sessions_read_nothing_of_the_persons_own_home() {
    let sshd = require!(Sshd::builder().env("COLOUR", "deep red").start().await);
    std::fs::write(sshd.home().join(".bashrc"), "echo from the home of the test").expect("writes");
    let output = ssh(&sshd, "web1", &[], "echo $HOME; echo $COLOUR");
    let said = String::from_utf8_lossy(&output.stdout);
    let home = sshd.home();
    assert!(
        said.ends_with(&format!("{}\ndeep red\n", home.display())),
        "{said}"
    );
}

#[tokio::test]
async fn every_kind_of_key_is_let_in_once_it_is_authorized() {
    let sshd = require!(Sshd::start().await);
    for kind in KeyKind::ALL {
        let key = keys::generate(sshd.dir(), kind, None).expect("generates");
        let option = format!("IdentityFile={}", key.display());
        let plain = ["-F", "none", "-o", &option, "-o", "IdentitiesOnly=yes"];
        let port = sshd.port().to_string();
        let known = format!("UserKnownHostsFile={}", sshd.known_hosts().display());
        let run = || {
            Command::new("ssh")
                .args(plain)
                .args([
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    &known,
                    "-p",
                    &port,
                    "127.0.1.2",
                    "true",
                ])
                .output()
                .expect("ssh runs")
        };
        assert!(!run().status.success(), "{kind:?} was let in by itself");
        sshd.authorize(&key).expect("authorizes");
        let output = run();
        assert!(
            output.status.success(),
            "{kind:?}: {}{}",
            text(&output),
            sshd.log()
        );
    }
}

#[tokio::test]
async fn certificates_of_users_and_of_hosts_are_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let user_ca = require!(keys::generate(dir.path(), KeyKind::Ed25519, None));
    let host_ca = keys::generate(dir.path(), KeyKind::Ecdsa256, None).expect("generates");
    let sshd = require!(
        Sshd::builder()
            .user_ca(&user_ca)
            .host_certificate(&host_ca, &["127.0.1.1"])
            .start()
            .await
    );
    sshd.authorize_nothing().expect("writes");
    let key = keys::generate(dir.path(), KeyKind::Ed25519, None).expect("generates");
    keys::sign(&user_ca, &key, For::Users, &[&sshd.user()], Some("+1h")).expect("signs");
    let authority = std::fs::read_to_string(keys::public(&host_ca)).expect("reads");
    let known = dir.path().join("known");
    std::fs::write(
        &known,
        format!("@cert-authority [127.*]:{} {authority}", sshd.port()),
    )
    .expect("writes");
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .arg("-i")
        .arg(&key)
        .args(["-o", &format!("UserKnownHostsFile={}", known.display())])
        .args(["-p", &sshd.port().to_string(), "127.0.1.1", "true"])
        .output()
        .expect("ssh runs");
    assert!(output.status.success(), "{}{}", text(&output), sshd.log());
}

#[tokio::test]
async fn starts_again_at_the_same_port_and_breaks_connections_on_request() {
    let mut sshd = require!(Sshd::start().await);
    let port = sshd.port();
    let mut client = Command::new("ssh")
        .arg("-F")
        .arg(sshd.ssh_config())
        .args(["web1", "sleep 1000"])
        .stdin(Stdio::null())
        .spawn()
        .expect("ssh runs");
    wait::until(SOON, "the session", || {
        sshd.session_processes()
            .iter()
            .any(|process| process.argv.join(" ").starts_with("sleep 1000"))
    })
    .await
    .expect("a session");
    // sshd starts the processes of a connection one after the other: for a moment there is none, or one too many.
    wait::until(SOON, "one connection", || sshd.connections() == 1)
        .await
        .expect("one connection");
    sshd.break_connections().await.expect("breaks");
    assert_eq!(client.wait().expect("ends").code(), Some(255));
    assert!(
        !sshd.session_processes().is_empty(),
        "what the session started is left alone"
    );
    sshd.restart().await.expect("restarts");
    assert_eq!(sshd.port(), port);
    assert!(sshd.session_processes().is_empty());
    assert!(ssh(&sshd, "web2", &[], "true").status.success(), "{}", sshd.log());
}

#[tokio::test]
async fn what_sessions_started_ends_with_the_server() {
    let sshd = require!(Sshd::start().await);
    let seconds = seconds(std::process::id());
    let output = ssh(
        &sshd,
        "web1",
        &[],
        &format!(
            "trap '' TERM; setsid sh -c 'sleep {seconds} & sleep {seconds}' >/dev/null 2>&1 </dev/null & echo $!"
        ),
    );
    assert!(output.status.success(), "{}", text(&output));
    let sleepers = || {
        let all = proc::with_arg(&seconds).into_iter();
        all.filter(|process| process.argv.first().is_some_and(|program| program == "sleep"))
            .count()
    };
    wait::until(SOON, "both sleepers", || sleepers() == 2)
        .await
        .expect("they run");
    let (pid, dir) = (sshd.pid().expect("runs"), sshd.dir().to_owned());
    drop(sshd);
    assert_eq!(proc::with_arg(&seconds), []);
    assert!(!proc::is_alive(pid));
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_setting_that_sshd_does_not_know_fails_the_start_with_its_words() {
    let result = Sshd::builder().config_line("NoSuchSetting yes").start().await;
    match result {
        Err(muster_testkit::Error::Failed { output, .. }) => {
            assert!(output.contains("NoSuchSetting"), "{output}")
        }
        other => {
            require!(other);
            panic!("sshd started with a setting that it does not know");
        }
    }
}

/// How long the sleepers of a process of this test sleep: the number is in their arguments, and in no other's.
fn seconds(process: u32) -> String {
    format!("77701.{process:010}")
}

/// Not a test of its own: `nothing_is_left_when_the_test_is_killed` runs it in a process that it kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn held_until_killed() {
    let sshd = Sshd::start().await.expect("starts");
    assert!(
        ssh(
            &sshd,
            "web1",
            &[],
            &format!(
                "setsid sleep {} >/dev/null 2>&1 </dev/null &",
                seconds(std::process::id())
            )
        )
        .status
        .success()
    );
    println!("pid={} dir={}", sshd.pid().expect("runs"), sshd.dir().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_when_the_test_is_killed() {
    use std::io::BufRead;
    drop(require!(Sshd::start().await));
    let mut test = Command::new(std::env::current_exe().expect("a path"))
        .args(["--ignored", "--exact", "--nocapture", "held_until_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs itself");
    let line = std::io::BufReader::new(test.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("pid=").map(|(_, rest)| rest.to_owned()))
        .expect("the server's pid and folder");
    let (pid, dir) = line.split_once(" dir=").expect("both");
    let pid = pid.parse().expect("a number");
    let seconds = seconds(test.id());
    assert!(proc::is_alive(pid));
    wait::until(SOON, "the session", || !proc::with_arg(&seconds).is_empty())
        .await
        .expect("it runs");
    test.kill().expect("kills");
    test.wait().expect("waits");
    wait::until(SOON, "the end of the server, its session and its folder", || {
        !proc::is_alive(pid) && proc::with_arg(&seconds).is_empty() && !std::path::Path::new(dir).exists()
    })
    .await
    .expect("nothing is left");
}

#[tokio::test]
async fn users_with_passwords_exist_for_this_server_alone() {
    let sshd = require!(
        Sshd::builder()
            .password_user("muster-test", "open sesame")
            .start()
            .await
    );
    let output = with_password(&sshd, "password", "open sesame", "id -un; pwd");
    let home = sshd.dir().join("home/muster-test");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("muster-test\n{}\n", home.display()),
        "{}{}",
        text(&output),
        sshd.log()
    );
    assert!(!with_password(&sshd, "password", "wrong", "true").status.success());
    let passwd = std::fs::read_to_string("/etc/passwd").expect("reads");
    assert!(!passwd.contains("muster-test"));
    // The test's own user and key are let in as everywhere.
    assert!(ssh(&sshd, "web1", &[], "true").status.success(), "{}", sshd.log());
}

#[tokio::test]
async fn keyboard_interactive_asks_through_pam() {
    let sshd = require!(
        Sshd::builder()
            .password_user("muster-test", "open sesame")
            .keyboard_interactive()
            .start()
            .await
    );
    let output = with_password(&sshd, "keyboard-interactive", "open sesame", "id -un");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "muster-test\n",
        "{}",
        sshd.log()
    );
    assert!(
        !with_password(&sshd, "password", "open sesame", "true")
            .status
            .success()
    );
}

#[tokio::test]
async fn sudo_rules_hold_for_the_sessions_alone() {
    let sshd = require!(
        Sshd::builder()
            .password_user("muster-test", "open sesame")
            .sudoers("muster-test ALL=(ALL:ALL) ALL")
            .start()
            .await
    );
    let sudo = "printf '%s\\n' 'open sesame' | sudo -S -p '' id -un";
    let output = with_password(&sshd, "password", "open sesame", sudo);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "root\n",
        "{}",
        text(&output)
    );
    let output = with_password(&sshd, "password", "open sesame", "sudo -n id -un");
    assert!(!output.status.success());
}

/// Logs in as `muster-test` with a password that OpenSSH's client asks a program for.
fn with_password(sshd: &Sshd, method: &str, password: &str, command: &str) -> Output {
    let ask = sshd.dir().join("askpass");
    std::fs::write(&ask, format!("#!/bin/sh\nprintf '%s\\n' '{password}'\n")).expect("writes");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&ask, mode).expect("permits");
    Command::new("ssh")
        .arg("-F")
        .arg(sshd.ssh_config())
        .args(["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"])
        .args(["-o", &format!("PreferredAuthentications={method}")])
        .args(["-l", "muster-test", "web1", command])
        .env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(Stdio::null())
        .output()
        .expect("ssh runs")
}
