//! A server that is reached over the network by TLS: whose certificate a client takes for its server's.

use std::process::{Child, Stdio};

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Certificates, wait};

use crate::support::{Done, PATIENCE, command};

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that shows a certificate.
struct Far {
    _child: Ended,
    port: u16,
    fingerprint: String,
    token: String,
}

impl Far {
    /// Starts one that is not far at all.
    fn start_at(home: &Home, place: &str) -> Ended {
        let child = command(home, &["server", "--listen", place])
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let kept = home.runtime_dir().join("muster/token");
        let there = || kept.exists().then_some(());
        wait::blocking(PATIENCE, "a token", there).expect("it is written");
        Ended(child)
    }

    fn start(home: &Home) -> Self {
        let log = home.path().join("server.log");
        let file = std::fs::File::create(&log).expect("a log");
        let child = command(home, &["server", "--listen", "0.0.0.0:0"])
            .stderr(Stdio::from(file))
            .spawn()
            .expect("the binary starts");
        let said = || {
            let text = std::fs::read_to_string(&log).ok()?;
            let (_, rest) = text.split_once("https://0.0.0.0:")?;
            let (line, _) = rest.split_once('\n')?;
            let port = line.split([' ', '"']).next()?.parse().ok()?;
            let (_, digits) = line.split_once("sha256:")?;
            Some((port, format!("sha256:{}", digits.split([' ', '"']).next()?)))
        };
        let (port, fingerprint) =
            wait::blocking(PATIENCE, "the server's address and fingerprint", said).expect("it listens");
        let token = std::fs::read_to_string(home.state_dir().join("muster/token")).expect("the token");
        Self {
            _child: Ended(child),
            port,
            fingerprint,
            token: token.trim().to_owned(),
        }
    }

    /// A person on another machine, who knows where the server is and has its token.
    fn person(&self, host: &str) -> Home {
        let mut home = Home::new().expect("a home");
        home.set_env("MUSTER_SERVER", format!("https://{host}:{}", self.port));
        home.set_env("MUSTER_TOKEN", &self.token);
        home
    }
}

fn runs(home: &Home) -> Done {
    let done = command(home, &["run", "echo here", "--hosts", "local://h"]).output();
    done.expect("the binary starts").into()
}

#[test]
fn a_certificate_of_the_servers_own_making_is_pinned() {
    let machine = Home::new().expect("a home");
    let server = Far::start(&machine);
    let mut person = server.person("localhost");
    // Nobody vouches for it. The error says what it is, for whoever can compare.
    let refused = runs(&person);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    for said in ["is not trusted", &server.fingerprint, "MUSTER_SERVER_FINGERPRINT"] {
        assert!(refused.stderr.contains(said), "{said}: {refused:#?}");
    }
    person.set_env("MUSTER_SERVER_FINGERPRINT", &server.fingerprint);
    let done = runs(&person).succeeded();
    assert!(done.stdout.contains("here"), "{done:#?}");
    // Whoever stands in between has another.
    person.set_env("MUSTER_SERVER_FINGERPRINT", format!("sha256:{}", "0".repeat(64)));
    let refused = runs(&person);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(
        refused.stderr.contains("not the one that is pinned"),
        "{refused:#?}"
    );

    let mut stranger = server.person("localhost");
    stranger.set_env("MUSTER_SERVER_FINGERPRINT", &server.fingerprint);
    stranger.set_env("MUSTER_TOKEN", "0".repeat(64));
    let refused = runs(&stranger);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.stderr.contains("token"), "{refused:#?}");
    assert!(!refused.stderr.contains(&server.token), "{refused:#?}");

    // A token of another server, in a file of this machine, is not for this one.
    let mut forgetful = Home::new().expect("a home");
    let own = Far::start_at(&forgetful, "http://127.0.0.1:0");
    forgetful.set_env("MUSTER_SERVER", format!("https://localhost:{}", server.port));
    forgetful.set_env("MUSTER_SERVER_FINGERPRINT", &server.fingerprint);
    let refused = runs(&forgetful);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("set MUSTER_TOKEN"), "{refused:#?}");
    drop(own);

    // The same after a restart: whoever has the token and the fingerprint goes on.
    let before = (server.fingerprint.clone(), server.token.clone());
    drop(server);
    let server = Far::start(&machine);
    assert_eq!((server.fingerprint.clone(), server.token.clone()), before);
}

#[test]
fn a_certificate_of_an_authority_is_checked_by_name_and_read_again_when_it_is_renewed() {
    let Some(first) = or_ignored(Certificates::make()) else {
        return;
    };
    let mut machine = Home::new().expect("a home");
    let (chain, key) = (machine.path().join("chain.pem"), machine.path().join("key.pem"));
    let install = |made: &Certificates| {
        for (from, to) in [("server.key", &key), ("server.crt", &chain)] {
            let fresh = to.with_extension("new");
            std::fs::copy(made.path(from), &fresh).expect("a copy");
            std::fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("a mode");
            std::fs::rename(fresh, to).expect("a file");
        }
    };
    install(&first);
    machine.set_env("MUSTER_TLS_CERTIFICATE", &chain);
    machine.set_env("MUSTER_TLS_KEY", &key);
    let server = Far::start(&machine);
    for host in ["127.0.0.1", "localhost"] {
        let mut person = server.person(host);
        person.set_env("MUSTER_SERVER_CA", first.path("ca.crt"));
        runs(&person).succeeded();
        person.set_env("MUSTER_SERVER_CA", first.path("other.crt"));
        let refused = runs(&person);
        assert_eq!(refused.code, Some(3), "{refused:#?}");
        assert!(refused.stderr.contains("is not trusted"), "{refused:#?}");
    }
    // It is for other names.
    let mut person = server.person("127.0.0.2");
    person.set_env("MUSTER_SERVER_CA", first.path("ca.crt"));
    let refused = runs(&person);
    assert!(refused.stderr.contains("is not trusted"), "{refused:#?}");

    let second = Certificates::make().expect("certificates");
    install(&second);
    let mut person = server.person("localhost");
    person.set_env("MUSTER_SERVER_CA", second.path("ca.crt"));
    let shown = || (runs(&person).code == Some(0)).then_some(());
    wait::blocking(PATIENCE, "the new certificate", shown).expect("it is read again");
}

#[test]
fn what_does_not_fit_is_said() {
    let mut home = Home::new().expect("a home");
    let refused = |home: &Home, args: &[&str]| -> Done {
        let done: Done = command(home, args).output().expect("the binary starts").into();
        assert_eq!(done.code, Some(2), "{done:#?}");
        done
    };
    let done = refused(&home, &["server", "--listen", "http://0.0.0.0:0"]);
    assert!(done.stderr.contains("over TLS alone"), "{done:#?}");
    home.set_env("MUSTER_TLS_CERTIFICATE", "/nowhere/chain.pem");
    let done = refused(&home, &["server", "--listen", "127.0.0.1:0"]);
    assert!(done.stderr.contains("tls_certificate and tls_key"), "{done:#?}");
    home.set_env("MUSTER_TLS_KEY", "/nowhere/key.pem");
    let done = refused(&home, &["server", "--listen", "127.0.0.1:0"]);
    assert!(
        done.stderr.contains("/nowhere/chain.pem: No such file"),
        "{done:#?}"
    );
}
