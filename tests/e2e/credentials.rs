//! Credentials: hosts are logged in to with what is kept sealed, and no secret is found anywhere afterwards.

mod search;

use muster_testkit::keys::{self, KeyKind};
use muster_testkit::require::or_ignored;
use muster_testkit::sshd::Sshd;

use crate::support::{Done, World};

/// A folder for what a person types or has in files: outside the home that is searched.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }
}

fn run(world: &World, host: &str, more: &[&str]) -> Done {
    let mut args = vec!["run", "echo in as $(id -un)", "--json", "--hosts", host];
    args.extend_from_slice(more);
    world.muster(&args)
}

#[track_caller]
fn unreachable(done: &Done, words: &[&str]) {
    assert_eq!(done.code, Some(1), "{done:#?}");
    let run = &done.json()["runs"][0];
    assert_eq!(run["state"], "unreachable", "{done:#?}");
    let error = run["error"].as_str().expect("an error");
    for word in words {
        assert!(error.contains(word), "'{error}' should say '{word}'");
    }
}

/// A host that takes passwords, and asks for another one for sudo: root alone can have that.
async fn password_world() -> Option<World> {
    let builder = Sshd::builder()
        .password_user("muster-test", search::PASSWORD)
        .password_user("muster-boss", search::SUDO_PASSWORD)
        .sudoers("Defaults targetpw")
        .sudoers("muster-test ALL=(ALL) ALL");
    World::with(builder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_key_logs_in_and_its_passphrase_is_not_needed_again() {
    let Some(world) = World::new().await else { return };
    let secrets = Secrets::new();
    let Some(key) = or_ignored(keys::generate(secrets.0.path(), KeyKind::Ed25519, Some("open"))) else {
        return;
    };
    world.sshd.authorize_nothing().expect("no keys");
    world.sshd.authorize(&key).expect("it is authorized");
    let host = world.hosts(1);
    unreachable(&run(&world, &host, &[]), &["took none of the keys"]);
    let key = key.to_string_lossy().into_owned();
    let closed = world.muster(&["credentials", "add", "web", "--key", &key]);
    assert_eq!(closed.code, Some(2), "{closed:#?}");
    assert!(closed.stderr.contains("encrypted"), "{closed:#?}");
    let passphrase = secrets.file("passphrase", "open\n");
    let add = [
        "credentials",
        "add",
        "web",
        "--key",
        &key,
        "--passphrase-file",
        &passphrase,
    ];
    world.muster(&add).succeeded();
    let shown = world
        .muster(&["credentials", "show", "web", "--json"])
        .succeeded()
        .json();
    assert_eq!(shown["holds"], serde_json::json!(["key"]));
    let public = shown["public_key"].as_str().expect("a public key");
    assert!(public.starts_with("ssh-ed25519 SHA256:"), "{public}");
    run(&world, &host, &["--credential", "web"]).succeeded();
    // A key from a file that was typed goes first, and is of no use: the kept one still is.
    let other = keys::generate(secrets.0.path(), KeyKind::Ecdsa256, None).expect("a key");
    let other = other.to_string_lossy().into_owned();
    run(&world, &host, &["--credential", "web", "--identity", &other]).succeeded();
    unreachable(&run(&world, &host, &[]), &["took none of the keys"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_password_logs_in_and_a_kept_one_for_sudo_is_told_to_sudo() {
    let Some(world) = password_world().await else {
        return;
    };
    let secrets = Secrets::new();
    world.sshd.authorize_nothing().expect("no keys");
    let password = secrets.file("password", search::PASSWORD);
    let sudo = secrets.file("sudo", search::SUDO_PASSWORD);
    let add = [
        "credentials",
        "add",
        "db",
        "--user",
        "muster-test",
        "--password-file",
        &password,
    ];
    world.muster(&add).succeeded();
    let set = ["credentials", "set", "db", "--sudo-password-file", &sudo];
    world.muster(&set).succeeded();
    let host = world.hosts(1);
    let plain = run(&world, &host, &["--credential", "db"]).succeeded();
    assert_eq!(plain.json()["runs"][0]["stdout"], "in as muster-test\n");
    let boss = run(
        &world,
        &host,
        &["--credential", "db", "--sudo-user", "muster-boss"],
    )
    .succeeded();
    assert_eq!(boss.json()["runs"][0]["stdout"], "in as muster-boss\n");
    // The warm connection is of the old password: it is not for those who come with another one.
    let wrong = secrets.file("wrong", "battery staple");
    let set = ["credentials", "set", "db", "--password-file", &wrong];
    world.muster(&set).succeeded();
    let refused = run(&world, &host, &["--credential", "db"]);
    unreachable(&refused, &["did not take the password of the credential 'db'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_its_credential_which_stays_while_hosts_use_it() {
    let Some(world) = World::new().await else { return };
    let secrets = Secrets::new();
    let Some(key) = or_ignored(keys::generate(secrets.0.path(), KeyKind::Ed25519, None)) else {
        return;
    };
    world.sshd.authorize_nothing().expect("no keys");
    world.sshd.authorize(&key).expect("it is authorized");
    let key = key.to_string_lossy().into_owned();
    world
        .muster(&["credentials", "add", "web", "--key", &key])
        .succeeded();
    let host = world.hosts(1);
    world
        .muster(&["hosts", "add", &host, "--credential", "web"])
        .succeeded();
    run(&world, &host, &[]).succeeded();
    let kept = world.muster(&["credentials", "rm", "web"]);
    assert_eq!(kept.code, Some(2), "{kept:#?}");
    assert!(kept.stderr.contains("1 host of the inventory uses"), "{kept:#?}");
    world.muster(&["credentials", "rm", "web", "--force"]).succeeded();
    unreachable(&run(&world, &host, &[]), &["no credential 'web'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_there_is_named() {
    let Some(world) = World::new().await else { return };
    let host = world.hosts(1);
    let done = run(&world, &host, &["--credential", "nobody"]);
    unreachable(
        &done,
        &["no credential 'nobody'", "muster credentials add nobody"],
    );
    for verb in ["show", "rm"] {
        let done = world.muster(&["credentials", verb, "nobody"]);
        assert_eq!(done.code, Some(2), "{done:#?}");
        assert!(done.stderr.contains("no credential 'nobody'"), "{done:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_wrong_key_does_not_start_and_says_why() {
    let Some(world) = World::new().await else { return };
    let secrets = Secrets::new();
    let password = secrets.file("password", "hunter2");
    let add = ["credentials", "add", "db", "--password-file", &password];
    world.muster(&add).succeeded();
    let path = world.home.state_dir().join("muster/vault.key");
    let right = std::fs::read_to_string(&path).expect("the key");
    stop(&world).await;
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    for (text, says) in [(Some(other), "has another key"), (None, "is not there")] {
        match text {
            Some(text) => std::fs::write(&path, text).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        let done = world.muster(&["tasks"]);
        assert_eq!(done.code, Some(3), "{done:#?}");
        assert!(
            done.stderr.contains(says) && done.stderr.contains("vault_key"),
            "{done:#?}"
        );
        assert!(!done.stderr.contains("AAECAwQF"), "{done:#?}");
    }
    let text = right;
    world
        .home
        .write(".local/state/muster/vault.key", &text)
        .expect("the key is back");
    let done = world.muster(&["tasks"]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.stderr.contains("chmod 600"), "{done:#?}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours alone");
    world.muster(&["tasks"]).succeeded();
    let doctor = world.muster(&["doctor"]).succeeded();
    assert!(doctor.stdout.contains("vault: 1 credential,"), "{doctor:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_while_the_key_changes() {
    let Some(world) = World::new().await else { return };
    let secrets = Secrets::new();
    let Some(key) = or_ignored(keys::generate(secrets.0.path(), KeyKind::Ed25519, None)) else {
        return;
    };
    world.sshd.authorize_nothing().expect("no keys");
    world.sshd.authorize(&key).expect("it is authorized");
    let key = key.to_string_lossy().into_owned();
    world
        .muster(&["credentials", "add", "web", "--key", &key])
        .succeeded();
    let hosts = world.hosts(10);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(world.detach(&["run", "true", "--credential", "web", "--hosts", &hosts]));
        world.muster(&["credentials", "rekey"]).succeeded();
    }
    for id in tasks {
        let report = world.until_done(&id).await;
        assert_eq!(report["task"]["counts"]["succeeded"], 10, "{report:#}");
    }
}

async fn stop(world: &World) {
    let pid = crate::support::server(&world.home);
    world.muster(&["server", "stop"]).succeeded();
    let gone = || !muster_testkit::proc::is_alive(pid);
    let wait = muster_testkit::wait::until(crate::support::PATIENCE, "the server's end", gone);
    wait.await.expect("it ends");
}
