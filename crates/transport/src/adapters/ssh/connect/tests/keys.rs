//! Keys of every kind, the agent, certificates.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_model::Unreachable;
use muster_testkit::keys::{self, For, KeyKind};
use muster_testkit::{Sshd, require, wait};

use super::{Site, logins, secret};
use crate::types::Access;

/// A real ssh-agent, ended with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    async fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent");
        let agent = Self { child, socket };
        // The file is there before somebody listens.
        wait::until(Duration::from_secs(30), "the agent", || {
            UnixStream::connect(&agent.socket).is_ok()
        })
        .await
        .expect("an agent");
        agent
    }

    fn add(&self, key: &Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .output();
        let added = added.expect("ssh-add");
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with(site: &Site, key: &Path) -> Access {
    Access {
        identities: vec![key.to_owned()],
        ..site.plain()
    }
}

fn keygen(arguments: &[&str], key: &Path) {
    let done = Command::new("ssh-keygen")
        .args(arguments)
        .arg("-f")
        .arg(key)
        .output()
        .expect("ssh-keygen");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn keys_of_every_kind_log_in() {
    let site = Site::new(require!(Sshd::start().await));
    for kind in KeyKind::ALL {
        let key = keys::generate(site.dir(), kind, None).expect("a key");
        site.sshd.authorize(&key).expect("authorized");
        site.works(&with(&site, &key)).await;
    }
    logins([&site.sshd], [KeyKind::ALL.len()]).await;
}

#[tokio::test]
async fn keys_in_pem_forms_log_in() {
    let site = Site::new(require!(Sshd::start().await));
    let kinds = [KeyKind::Rsa2048, KeyKind::Ecdsa256, KeyKind::Ecdsa521];
    for (form, kind) in ["PEM", "PKCS8"]
        .into_iter()
        .flat_map(|form| kinds.map(|kind| (form, kind)))
    {
        let key = keys::generate(site.dir(), kind, None).expect("a key");
        site.sshd.authorize(&key).expect("authorized");
        keygen(&["-q", "-p", "-m", form, "-P", "", "-N", ""], &key);
        // Without the public key beside it, as such keys often are.
        std::fs::remove_file(keys::public(&key)).expect("removed");
        site.works(&with(&site, &key)).await;
    }
}

#[tokio::test]
async fn an_encrypted_key_wants_its_passphrase() {
    let site = Site::new(require!(Sshd::start().await));
    for form in ["RFC4716", "PKCS8"] {
        let key = keys::generate(site.dir(), KeyKind::Ecdsa256, Some("open sesame")).expect("a key");
        site.sshd.authorize(&key).expect("authorized");
        keygen(
            &["-q", "-p", "-m", form, "-P", "open sesame", "-N", "open sesame"],
            &key,
        );
        let name = key.display().to_string();
        let access = with(&site, &key);
        site.fails(
            &access,
            Unreachable::KeyUnusable,
            &[&name, "it is encrypted", "--ask-passphrase"],
        )
        .await;
        let wrong = Access {
            passphrase: secret("open barley"),
            ..access.clone()
        };
        let words = [name.as_str(), "the passphrase is wrong"];
        let message = site.fails(&wrong, Unreachable::KeyUnusable, &words).await;
        assert!(!message.contains("barley"));
        let right = Access {
            passphrase: secret("open sesame"),
            ..access
        };
        site.works(&right).await;
    }
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let site = Site::new(require!(Sshd::start().await));
    let key = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    site.sshd.authorize(&key).expect("authorized");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("changed");
    let access = with(&site, &key);
    site.fails(
        &access,
        Unreachable::KeyUnusable,
        &["others can read it", "0640", "chmod 600"],
    )
    .await;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("changed");
    site.works(&access).await;
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named_with_why() {
    let site = Site::new(require!(Sshd::start().await));
    let missing = site.path("none");
    site.fails(
        &with(&site, &missing),
        Unreachable::KeyUnusable,
        &["none cannot be used", "no such file"],
    )
    .await;
    let text = site.path("text");
    std::fs::write(&text, "not a key\n").expect("written");
    std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o600)).expect("changed");
    site.fails(
        &with(&site, &text),
        Unreachable::KeyUnusable,
        &["not a private key"],
    )
    .await;
}

#[tokio::test]
async fn a_key_that_the_host_does_not_know_is_refused() {
    let site = Site::new(require!(Sshd::start().await));
    let key = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    let words = [
        "took none of the keys",
        &key.display().to_string(),
        "authorized_keys",
        "--identity",
    ];
    let message = site
        .fails(&with(&site, &key), Unreachable::KeyRefused, &words)
        .await;
    let label = format!("{}@127.0.1.1:{}", site.sshd.user(), site.sshd.port());
    assert!(message.starts_with(&label), "{message}");
    assert!(
        !message.contains("--ask-password"),
        "the host takes none: {message}"
    );
}

#[tokio::test]
async fn without_any_key_the_message_says_what_the_host_accepts() {
    let site = Site::new(require!(Sshd::start().await));
    site.fails(
        &site.plain(),
        Unreachable::NoMethod,
        &[
            "no key to show",
            "accepts publickey only",
            "no SSH agent",
            "--identity",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_usual_keys_of_the_user_are_found() {
    let site = Site::new(require!(Sshd::start().await));
    let key = site.path(".ssh/id_ed25519");
    std::fs::copy(site.sshd.key(), &key).expect("copied");
    site.works(&site.plain()).await;
}

#[tokio::test]
async fn the_agent_signs_with_what_it_holds() {
    let site = Site::new(require!(Sshd::start().await));
    let agent = Agent::start(site.dir()).await;
    let access = Access {
        agent_socket: Some(agent.socket.clone()),
        ..site.plain()
    };
    site.fails(&access, Unreachable::NoMethod, &["the SSH agent holds none"])
        .await;
    for kind in [KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::Ecdsa384] {
        let key = keys::generate(site.dir(), kind, None).expect("a key");
        site.sshd.authorize(&key).expect("authorized");
        agent.add(&key);
        std::fs::remove_file(&key).expect("removed");
        std::fs::remove_file(keys::public(&key)).expect("removed");
    }
    site.works(&access).await;
    site.logged("Accepted publickey").await;
}

#[tokio::test]
async fn an_encrypted_key_in_the_agent_needs_no_passphrase() {
    let site = Site::new(require!(Sshd::start().await));
    let agent = Agent::start(site.dir()).await;
    let key = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    site.sshd.authorize(&key).expect("authorized");
    agent.add(&key);
    keygen(&["-q", "-p", "-P", "", "-N", "secret"], &key);
    let access = Access {
        agent_socket: Some(agent.socket.clone()),
        ..with(&site, &key)
    };
    site.works(&access).await;
}

#[tokio::test]
async fn identities_only_keeps_the_agents_other_keys_back() {
    let site = Site::new(require!(Sshd::start().await));
    let agent = Agent::start(site.dir()).await;
    let (named, other) = (
        keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key"),
        keys::generate(site.dir(), KeyKind::Ecdsa256, None).expect("a key"),
    );
    site.sshd.authorize(&other).expect("authorized");
    agent.add(&named);
    agent.add(&other);
    let access = Access {
        agent_socket: Some(agent.socket.clone()),
        ..site.plain()
    };
    site.config(&format!("IdentityFile {}\nIdentitiesOnly yes\n", named.display()));
    site.fails(&access, Unreachable::KeyRefused, &["took none of the keys"])
        .await;
    // The public key alone is enough to name one that the agent holds.
    site.config(&format!(
        "IdentityFile {}\nIdentitiesOnly yes\n",
        keys::public(&other).display()
    ));
    site.works(&access).await;
}

#[tokio::test]
async fn too_many_keys_end_with_advice() {
    let site = Site::new(require!(Sshd::start().await));
    let agent = Agent::start(site.dir()).await;
    for _ in 0..7 {
        agent.add(&keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key"));
    }
    let access = Access {
        agent_socket: Some(agent.socket.clone()),
        ..site.plain()
    };
    let words = ["too many authentication failures", "IdentitiesOnly", "--identity"];
    site.fails(&access, Unreachable::KeyRefused, &words).await;
    // A key that the task names goes first, before the agent has spent the tries.
    let access = Access {
        agent_socket: Some(agent.socket.clone()),
        ..site.access()
    };
    site.works(&access).await;
}

#[tokio::test]
async fn an_agent_that_is_not_there_does_not_stop_a_login() {
    let site = Site::new(require!(Sshd::start().await));
    let access = Access {
        agent_socket: Some(site.path("no-agent")),
        ..site.access()
    };
    site.works(&access).await;
    let access = Access {
        identities: Vec::new(),
        ..access
    };
    site.fails(
        &access,
        Unreachable::NoMethod,
        &["no-agent: there is no such socket"],
    )
    .await;
}

#[tokio::test]
async fn user_certificates_log_in_from_files_and_from_the_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = require!(keys::generate(folder.path(), KeyKind::Ed25519, None));
    let site = Site::new(require!(Sshd::builder().user_ca(&ca).start().await));
    let user = site.sshd.user();
    for kind in [KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::Ecdsa256] {
        // Beside its key.
        let key = keys::generate(site.dir(), kind, None).expect("a key");
        let certificate = keys::sign(&ca, &key, For::Users, &[&user], None).expect("a certificate");
        site.works(&with(&site, &key)).await;
        // Elsewhere, named by CertificateFile.
        let elsewhere = site.path("elsewhere-cert.pub");
        std::fs::rename(&certificate, &elsewhere).expect("moved");
        site.fails(&with(&site, &key), Unreachable::KeyRefused, &[]).await;
        site.config(&format!("CertificateFile {}\n", elsewhere.display()));
        site.works(&with(&site, &key)).await;
        site.config("");
        // In the agent.
        std::fs::rename(&elsewhere, &certificate).expect("moved");
        let agent = Agent::start(&tempfile::tempdir_in(site.dir()).expect("a folder").keep()).await;
        agent.add(&key);
        let access = Access {
            agent_socket: Some(agent.socket.clone()),
            ..site.plain()
        };
        site.works(&access).await;
    }
    site.logged("ED25519-CERT").await;
}

#[tokio::test]
async fn a_certificate_for_somebody_else_or_out_of_date_does_not_log_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = require!(keys::generate(folder.path(), KeyKind::Ed25519, None));
    let site = Site::new(require!(Sshd::builder().user_ca(&ca).start().await));
    let key = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    keys::sign(&ca, &key, For::Users, &["nobody-here"], None).expect("a certificate");
    site.fails(&with(&site, &key), Unreachable::KeyRefused, &["certificate of"])
        .await;
    let user = site.sshd.user();
    keys::sign(&ca, &key, For::Users, &[&user], Some("-2d:-1d")).expect("a certificate");
    site.fails(
        &with(&site, &key),
        Unreachable::KeyUnusable,
        &["its certificate has expired"],
    )
    .await;
}

#[tokio::test]
async fn two_keys_can_be_wanted_one_after_the_other() {
    let sshd = Sshd::builder()
        .config_line("AuthenticationMethods publickey,publickey")
        .start()
        .await;
    let site = Site::new(require!(sshd));
    let second = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    let words = ["one way to log in did", "publickey"];
    site.fails(&site.access(), Unreachable::NoMethod, &words).await;
    site.sshd.authorize(&second).expect("authorized");
    let access = Access {
        identities: vec![site.sshd.key().to_owned(), second],
        ..site.plain()
    };
    site.works(&access).await;
}
