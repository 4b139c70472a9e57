//! The keys of hosts: pinned at a first contact, in quarantine after a change, decided by a person.

use std::path::PathBuf;

use muster_testkit::home::Home;
use muster_testkit::keys::{self, KeyKind};
use muster_testkit::sshd::Sshd;

use crate::support::{Done, World, muster};

/// An sshd with one key, of which nobody knows anything.
struct Site {
    world: World,
    known: PathBuf,
    before: PathBuf,
    old: String,
}

impl Site {
    async fn new() -> Option<Self> {
        let builder = Sshd::builder().host_key_types(&[KeyKind::Ed25519]);
        let mut world = World::with(builder).await?;
        let known = world.home.write("known", "").expect("a file");
        let config = format!(
            "Host *\nUserKnownHostsFile {}\nUser {}\nPort {}\nIdentityFile {}\nIdentitiesOnly yes\n",
            known.display(),
            world.sshd.user(),
            world.sshd.port(),
            world.sshd.key().display(),
        );
        let config = world.home.write("ssh_config", config).expect("a config");
        world.home.set_env("MUSTER_SSH_CONFIG", config);
        let key = world.sshd.host_key(KeyKind::Ed25519);
        let before = world.home.path().join("before");
        std::fs::copy(&key, &before).expect("a copy");
        std::fs::copy(keys::public(&key), keys::public(&before)).expect("a copy");
        let old = keys::fingerprint(&key).expect("a fingerprint");
        Some(Self {
            world,
            known,
            before,
            old,
        })
    }

    /// Gives the sshd another key; returns its pair and its fingerprint.
    async fn change(&mut self) -> (PathBuf, String) {
        let folder = self.world.home.path().join("other");
        std::fs::create_dir_all(&folder).expect("a folder");
        let other = keys::generate(&folder, KeyKind::Ed25519, None).expect("a key");
        let fingerprint = keys::fingerprint(&other).expect("a fingerprint");
        self.give(&other).await;
        (other, fingerprint)
    }

    async fn give(&mut self, key: &std::path::Path) {
        let changed = self.world.sshd.change_host_key(KeyKind::Ed25519, key).await;
        changed.expect("sshd starts");
    }

    fn run(&self, more: &[&str]) -> Done {
        run(&self.world.home, &self.host(), more)
    }

    fn host(&self) -> String {
        self.world.sshd.host(1)
    }

    fn trust(&self, more: &[&str]) -> Done {
        let host = self.host();
        let mut args = vec!["hosts", "trust", host.as_str()];
        args.extend_from_slice(more);
        self.world.muster(&args)
    }
}

fn run(home: &Home, host: &str, more: &[&str]) -> Done {
    let mut args = vec!["run", "echo in", "--json", "--hosts", host];
    args.extend_from_slice(more);
    muster(home, &args)
}

#[track_caller]
fn quarantined(done: &Done, words: &[&str]) {
    assert_eq!(done.code, Some(1), "{done:#?}");
    let run = &done.json()["runs"][0];
    assert_eq!(run["state"], "unreachable", "{done:#?}");
    let error = run["error"].as_str().expect("an error");
    for word in words.iter().chain(&["quarantine", "muster hosts trust"]) {
        assert!(error.contains(word), "'{error}' should say '{word}'");
    }
}

#[track_caller]
fn refused(done: &Done, words: &str) {
    assert_eq!(done.code, Some(2), "{done:#?}");
    assert!(done.stderr.contains(words), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_quarantines_the_host_until_a_person_decides() {
    let Some(mut site) = Site::new().await else {
        return;
    };
    site.run(&["--accept-new"]).succeeded();
    let (other, new) = site.change().await;
    let both = [site.old.clone(), new.clone()];
    let both = [both[0].as_str(), both[1].as_str()];
    quarantined(&site.run(&["--accept-new"]), &both);
    // The old key that comes back does not end it.
    site.give(&site.before.clone()).await;
    quarantined(&site.run(&[]), &both);
    let listed = site.world.muster(&["hosts", "keys", "--json"]).succeeded().json();
    assert_eq!(listed[0]["quarantined"], true, "{listed:#}");
    assert_eq!(listed[0]["pinned"][0]["fingerprint"], both[0], "{listed:#}");
    assert_eq!(listed[0]["offered"][0]["fingerprint"], both[1], "{listed:#}");
    let wrong = format!("SHA256:{}", "A".repeat(43));
    refused(&site.trust(&["--fingerprint", &wrong]), "has not offered");
    refused(&site.trust(&["--fingerprint", both[0]]), "has not offered");
    refused(&site.trust(&[]), "no terminal");
    quarantined(&site.run(&[]), &both);
    // A person finds that the old one was right.
    let kept = site.trust(&["--keep", "--yes"]).succeeded();
    assert!(
        kept.stdout.contains(both[0]) && kept.stdout.contains(both[1]),
        "{kept:#?}"
    );
    site.run(&[]).succeeded();
    // And later that the host was set up anew.
    site.give(&other).await;
    quarantined(&site.run(&[]), &both);
    site.trust(&["--fingerprint", both[1]]).succeeded();
    site.run(&[]).succeeded();
    site.give(&site.before.clone()).await;
    quarantined(&site.run(&[]), &both);
    let known = std::fs::read_to_string(&site.known).expect("the file");
    assert_eq!(known, "", "the user's known_hosts is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_new_hosts_are_fetched_shown_and_pinned_without_a_login() {
    let Some(site) = Site::new().await else { return };
    refused(&site.trust(&[]), "--scan");
    let asked = site.trust(&["--scan"]);
    refused(&asked, "no terminal");
    assert!(asked.stdout.contains(&site.old), "it is shown: {asked:#?}");
    assert_eq!(site.world.sshd.logins(), 0);
    assert_eq!(site.run(&[]).code, Some(1), "nothing was pinned");
    let wrong = format!("SHA256:{}", "A".repeat(43));
    assert_eq!(site.trust(&["--scan", "--fingerprint", &wrong]).code, Some(1));
    site.trust(&["--scan", "--fingerprint", &site.old]).succeeded();
    site.run(&[]).succeeded();
    let again = site.trust(&["--scan", "--yes"]).succeeded();
    assert!(again.stderr.contains("pinned already"), "{again:#?}");
    let name = format!("[{}]:{}", site.host(), site.world.sshd.port());
    let listed = site.world.muster(&["hosts", "keys", &name]).succeeded();
    assert!(
        listed.stdout.contains("pinned") && listed.stdout.contains(&site.old),
        "{listed:#?}"
    );
    site.world
        .muster(&["hosts", "trust", &name, "--forget", "--yes"])
        .succeeded();
    refused(&site.trust(&["--keep"]), "no key of");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_learnt_another_knows_that_shares_its_database() {
    let Some(mut site) = Site::new().await else {
        return;
    };
    let database = format!("sqlite://{}", site.world.home.path().join("shared.db").display());
    site.world.home.set_env("MUSTER_DATABASE", &database);
    let mut other = Home::new().expect("a home");
    other.set_env("MUSTER_DATABASE", &database);
    other.set_env("MUSTER_SSH_CONFIG", site.world.home.path().join("ssh_config"));
    site.run(&["--accept-new"]).succeeded();
    run(&other, &site.host(), &[]).succeeded();
    let (_, new) = site.change().await;
    quarantined(&run(&other, &site.host(), &[]), &[&site.old, &new]);
    // The first server hears of it before it has met the new key, and also where the old one is back.
    site.give(&site.before.clone()).await;
    let told = || site.run(&[]).code == Some(1);
    muster_testkit::wait::until(crate::support::PATIENCE, "the quarantine", told)
        .await
        .expect("it is heard of");
    quarantined(&site.run(&[]), &[&site.old, &new]);
    site.trust(&["--keep", "--yes"]).succeeded();
    site.run(&[]).succeeded();
    let lifted = || run(&other, &site.host(), &[]).code == Some(0);
    muster_testkit::wait::until(crate::support::PATIENCE, "the decision", lifted)
        .await
        .expect("it is heard of");
}
