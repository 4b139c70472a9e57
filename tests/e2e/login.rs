//! Each way in which a login can fail, provoked on a real sshd, each with its own message.

use muster_testkit::keys::{self, KeyKind};
use muster_testkit::sshd::Sshd;

use crate::support::{Done, World};

fn run(world: &World, host: &str, more: &[&str]) -> Done {
    let mut args = vec!["run", "echo in", "--json", "--hosts", host];
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

/// Writes an ssh_config for the sshd with other settings than its own; returns its path.
fn config(world: &World, lines: &str) -> String {
    let text = format!(
        "Host *\n{lines}\nUser {}\nPort {}\nIdentityFile {}\nUserKnownHostsFile {}\nIdentitiesOnly yes\n",
        world.sshd.user(),
        world.sshd.port(),
        world.sshd.key().display(),
        world.sshd.known_hosts().display(),
    );
    world
        .home
        .write("ssh_config", text)
        .expect("a config")
        .to_string_lossy()
        .into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let Some(world) = World::new().await else { return };
    let host = format!("127.0.0.1:{}", muster_testkit::ports::free().expect("a port"));
    unreachable(&run(&world, &host, &[]), &["refused", &host]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers() {
    let Some(world) = World::new().await else { return };
    world.sshd.freeze();
    let done = run(&world, &world.hosts(1), &["--connect-timeout", "1s"]);
    world.sshd.thaw();
    unreachable(&done, &["timed out", "1 s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_has_no_address() {
    let Some(world) = World::new().await else { return };
    unreachable(
        &run(&world, "no-such-host.invalid", &[]),
        &["no-such-host.invalid"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_key_is_unknown_and_accept_new_takes_it_once() {
    let Some(world) = World::new().await else { return };
    let empty = world
        .home
        .write("known", "")
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let config = config(&world, &format!("UserKnownHostsFile {empty}"));
    let strict = run(&world, &world.hosts(1), &["--ssh-config", &config]);
    unreachable(&strict, &[&empty, "--accept-new", "ssh-keyscan", "SHA256:"]);
    let taken = run(
        &world,
        &world.hosts(1),
        &["--ssh-config", &config, "--accept-new"],
    );
    assert_eq!(taken.code, Some(0), "{taken:#?}");
    let again = run(&world, &world.hosts(1), &["--ssh-config", &config]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    let known = std::fs::read_to_string(empty).expect("the file");
    assert_eq!(known, "", "it is pinned in the inventory");
    let pinned = world.muster(&["hosts", "keys", "--json"]).json();
    assert_eq!(pinned[0]["pinned"][0]["algorithm"], "ssh-ed25519", "{pinned:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_key_has_changed_and_accept_new_does_not_help() {
    let Some(world) = World::new().await else { return };
    let other = keys::generate(world.home.path(), KeyKind::Ed25519, None).expect("a key");
    let key = std::fs::read_to_string(keys::public(&other)).expect("the key");
    let line = format!("[{}]:{} {key}", world.sshd.host(1), world.sshd.port());
    let known = world
        .home
        .write("known", line)
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let config = config(
        &world,
        &format!("UserKnownHostsFile {known}\nHostKeyAlgorithms ssh-ed25519"),
    );
    let done = run(
        &world,
        &world.hosts(1),
        &["--ssh-config", &config, "--accept-new"],
    );
    unreachable(&done, &["changed", "ssh-keygen -R", &known]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_key_is_revoked() {
    let Some(world) = World::new().await else { return };
    let key = std::fs::read_to_string(keys::public(&world.sshd.host_key(KeyKind::Ed25519))).expect("the key");
    let line = format!("@revoked * {key}");
    let known = world
        .home
        .write("known", line)
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let config = config(
        &world,
        &format!("UserKnownHostsFile {known}\nHostKeyAlgorithms ssh-ed25519"),
    );
    unreachable(
        &run(&world, &world.hosts(1), &["--ssh-config", &config]),
        &["revoked"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_not_taken() {
    let Some(world) = World::new().await else { return };
    world.sshd.authorize_nothing().expect("no keys");
    unreachable(
        &run(&world, &world.hosts(1), &[]),
        &["took none of the keys", "authorized_keys"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_takes_no_method_that_there_is() {
    let builder = Sshd::builder()
        .config_line("AuthenticationMethods hostbased")
        .config_line("HostbasedAuthentication yes");
    let Some(world) = World::with(builder).await else {
        return;
    };
    unreachable(&run(&world, &world.hosts(1), &[]), &["hostbased"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_encrypted_and_nobody_was_asked() {
    let Some(world) = World::new().await else { return };
    let key = keys::generate(world.home.path(), KeyKind::Ed25519, Some("secret words")).expect("a key");
    world.sshd.authorize(&key).expect("it is authorized");
    let config = config(&world, &format!("IdentityFile {}", key.display()));
    let text = std::fs::read_to_string(&config).expect("the config");
    let without = text.replace(&format!("IdentityFile {}\n", world.sshd.key().display()), "");
    std::fs::write(&config, without).expect("the config");
    let done = run(&world, &world.hosts(1), &["--ssh-config", &config]);
    unreachable(&done, &["--ask-passphrase"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_too_many_sessions() {
    let Some(world) = World::with(Sshd::builder().max_sessions(0)).await else {
        return;
    };
    unreachable(&run(&world, &world.hosts(1), &[]), &["session"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jump_host_is_in_the_way() {
    let Some(world) = World::new().await else { return };
    let closed = muster_testkit::ports::free().expect("a port");
    let config = config(&world, &format!("ProxyJump 127.0.0.9:{closed}"));
    let done = run(&world, &world.hosts(1), &["--ssh-config", &config]);
    unreachable(&done, &["127.0.0.9", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_does_not_speak_ssh() {
    let Some(world) = World::new().await else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
    });
    let done = run(&world, &host, &[]);
    answering.join().expect("it answered");
    unreachable(&done, &["SSH"]);
}
