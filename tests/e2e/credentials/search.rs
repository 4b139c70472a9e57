//! The search: secrets that are like nothing else are used in every way, and then looked for everywhere.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_testkit::keys::{self, KeyKind};

use super::{Secrets, password_world, run};
use crate::support::{World, server};

pub const PASSWORD: &str = "Zq7-xylophone-Vermilion-41";
pub const SUDO_PASSWORD: &str = "Kw3-quicksilver-Obelisk-96";
const PASSPHRASE: &str = "Rj5-tamarind-Cormorant-58";
/// Kept and never used.
const LONELY: &str = "Hb9-marzipan-Peninsula-27";

/// Something that must not be found.
struct Needle {
    name: &'static str,
    bytes: Vec<u8>,
}

fn needle(name: &'static str, bytes: impl AsRef<[u8]>) -> Needle {
    Needle {
        name,
        bytes: bytes.as_ref().to_vec(),
    }
}

/// A text as it is, and as base64 has it.
fn text(name: &'static str, text: &str) -> Vec<Needle> {
    let encoded = STANDARD.encode(text);
    vec![needle(name, text), needle(name, &encoded[..encoded.len() - 4])]
}

/// The private half of an ed25519 key: as bytes, and as they stand in a PEM text, wherever its lines end.
fn private_half(folder: &Path, key: &Path) -> Vec<Needle> {
    let plain = folder.join("plain");
    std::fs::copy(key, &plain).expect("a copy");
    let opened = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", PASSPHRASE, "-N", "", "-f"])
        .arg(&plain)
        .output()
        .expect("ssh-keygen");
    assert!(opened.status.success(), "{opened:?}");
    let pem = std::fs::read_to_string(&plain).expect("the key");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(body).expect("base64");
    let public = std::fs::read_to_string(keys::public(key)).expect("the public key");
    let public = public.split_whitespace().nth(1).expect("its blob");
    let public = STANDARD.decode(public).expect("base64");
    let public = &public[public.len() - 32..];
    // The private half stands before the last copy of the public one.
    let end = bytes
        .windows(32)
        .rposition(|window| window == public)
        .expect("the public half");
    let seed = &bytes[end - 32..end];
    let mut needles = vec![needle("the private key", seed)];
    for shift in 0..3 {
        let encoded = STANDARD.encode(&seed[shift..]);
        for piece in [&encoded[..16], &encoded[16..32]] {
            needles.push(needle("the private key in PEM", piece));
        }
    }
    needles
}

fn find(place: &str, bytes: &[u8], needles: &[Needle], found: &mut Vec<String>) {
    for needle in needles {
        let count = memchr::memmem::find_iter(bytes, &needle.bytes).count();
        if count > 0 {
            found.push(format!("{} ({count} times) in {place}", needle.name));
        }
    }
}

fn find_in_files(folder: &Path, needles: &[Needle], found: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = std::fs::symlink_metadata(&path).expect("it is there");
        if metadata.is_dir() {
            files += find_in_files(&path, needles, found);
        } else if metadata.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap_or_default();
            find(&path.display().to_string(), &bytes, needles, found);
        }
    }
    files
}

/// Everything that a process has in memory that it could have written.
fn find_in_memory(pid: u32, needles: &[Needle], found: &mut Vec<String>) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("root reads the maps");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root reads the memory");
    let mut searched = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').expect("a range");
        let from = u64::from_str_radix(from, 16).expect("an address");
        let to = u64::from_str_radix(to, 16).expect("an address");
        let name = words.nth(3).unwrap_or("anonymous");
        // In pieces that overlap, so that nothing is cut in two.
        const PIECE: u64 = 1 << 20;
        let mut at = from;
        while at < to {
            let end = to.min(at + PIECE);
            let mut bytes = vec![0; usize::try_from(end - at).expect("it fits")];
            if memory.read_exact_at(&mut bytes, at).is_ok() {
                searched += end - at;
                find(
                    &format!(
                        "memory, {name} {from:x} of {} KiB at {} KiB",
                        (to - from) >> 10,
                        (at - from) >> 10
                    ),
                    &bytes,
                    needles,
                    found,
                );
            }
            at = if end == to { to } else { end - 64 };
        }
    }
    searched
}

/// What programs of ours say on their command lines and in their environments.
fn find_in_processes(world: &World, needles: &[Needle], found: &mut Vec<String>) {
    for process in world.home.processes() {
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{}/{file}", process.pid);
            find(&path, &std::fs::read(&path).unwrap_or_default(), needles, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_anywhere_after_it_was_used() {
    let Some(mut world) = password_world().await else {
        return;
    };
    // Everything that can be logged is.
    world.home.set_env("MUSTER_LOG", "muster=trace,trace");
    let secrets = Secrets::new();
    let key = keys::generate(secrets.0.path(), KeyKind::Ed25519, Some(PASSPHRASE)).expect("a key");
    world.sshd.authorize(&key).expect("it is authorized");
    let needles: Vec<Needle> = [
        text("the password", PASSWORD),
        text("the password for sudo", SUDO_PASSWORD),
        text("the passphrase", PASSPHRASE),
        text("the password that is never used", LONELY),
        private_half(secrets.0.path(), &key),
    ]
    .into_iter()
    .flatten()
    .collect();
    let key = key.to_string_lossy().into_owned();
    let mut said = Vec::new();
    let mut tell = |args: &[&str]| {
        let done = world.muster(args);
        said.extend([done.stdout.clone(), done.stderr.clone()]);
        done
    };
    let file = |name: &str, text: &str| secrets.file(name, text);
    let (password, sudo) = (file("password", PASSWORD), file("sudo", SUDO_PASSWORD));
    let (passphrase, lonely) = (file("passphrase", PASSPHRASE), file("lonely", LONELY));
    tell(&[
        "credentials",
        "add",
        "db",
        "--user",
        "muster-test",
        "--password-file",
        &password,
        "--sudo-password-file",
        &sudo,
    ])
    .succeeded();
    tell(&[
        "credentials",
        "add",
        "web",
        "--key",
        &key,
        "--passphrase-file",
        &passphrase,
    ])
    .succeeded();
    tell(&["credentials", "add", "lonely", "--password-file", &lonely]).succeeded();
    tell(&["credentials", "set", "lonely", "--user", "nobody"]).succeeded();
    tell(&["credentials", "rekey"]).succeeded();
    // Refused: what was wrong is told, and nothing of what was sent.
    tell(&["credentials", "add", "db", "--password-file", &password]);
    tell(&["credentials", "add", "broken", "--key", &password]);

    let host = world.hosts(1);
    let sudo = ["--credential", "db", "--sudo-user", "muster-boss"];
    let boss = run(&world, &host, &sudo).succeeded();
    assert_eq!(boss.json()["runs"][0]["stdout"], "in as muster-boss\n");
    run(&world, &world.hosts(3), &["--credential", "web"]).succeeded();
    let id = world.detach(&[
        "run",
        "sleep 3",
        "--credential",
        "db",
        "--sudo-user",
        "muster-boss",
        "--hosts",
        &host,
    ]);
    let mut found = Vec::new();
    // While it is in use as well.
    world
        .until_counts(&id, "the command to run", |counts| counts["started"] == 1)
        .await;
    find_in_processes(&world, &needles, &mut found);
    world.until_done(&id).await;

    for args in [
        &["credentials", "list", "--json"][..],
        &["credentials", "show", "db", "--json"],
        &["credentials", "list"],
        &["doctor", "--json"],
        &["config", "--json"],
        &["server", "status", "--json"],
        &["tasks", "--json"],
        &["check_task", "1", "--json"],
        &["follow", "1", "--output", "jsonl"],
        &["check_task", &id, "--json"],
    ] {
        let done = world.muster(args);
        said.extend([done.stdout, done.stderr]);
    }
    let socket = world.home.runtime_dir().join("muster/server.sock");
    let client = muster_client::Client::new(muster_client::Address::Unix(socket), env!("CARGO_PKG_VERSION"));
    said.push(client.openapi().await.expect("the description").to_string());
    for (place, words) in said.iter().enumerate() {
        find(
            &format!("what was said, {place}"),
            words.as_bytes(),
            &needles,
            &mut found,
        );
    }
    find_in_processes(&world, &needles, &mut found);
    let files = find_in_files(world.home.path(), &needles, &mut found);
    assert!(files >= 4, "a database, its log, a key, a server's log: {files}");
    let log = std::fs::read_to_string(world.home.runtime_dir().join("muster/server.log")).expect("the log");
    assert!(log.contains("TRACE"), "everything was logged");
    assert_eq!(found, Vec::<String>::new());

    // The memory of the server, once its last login is over.
    let pid = server(&world.home);
    let memory = |needles: &[Needle]| {
        let mut found = Vec::new();
        let searched = find_in_memory(pid, needles, &mut found);
        assert!(searched > 1 << 20, "{searched} bytes were searched");
        found
    };
    // What surely is there is found: the search sees what it looks at.
    let there = needle("the vault's key", vault_key(&world));
    assert_ne!(memory(&[there]), Vec::<String>::new());
    let clean = muster_testkit::wait::until(Duration::from_secs(20), "memory without secrets", || {
        memory(&needles).is_empty()
    });
    if let Err(error) = clean.await {
        panic!("{error}: {:#?}", memory(&needles));
    }
}

/// The key that the server holds as long as it runs.
fn vault_key(world: &World) -> Vec<u8> {
    let path = world.home.state_dir().join("muster/vault.key");
    let text = std::fs::read_to_string(path).expect("the key");
    let line = text.lines().find(|line| !line.starts_with('#')).expect("a key");
    STANDARD.decode(line).expect("base64")
}
