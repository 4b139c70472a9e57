//! The same files, read by Muster and by OpenSSH (`ssh -G`): both have to find the same options.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_testkit::{keys, require};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::adapters::ssh::config::{Disk, Proxy, StrictHostKeyChecking};

const HOSTS: [&str; 4] = ["web1", "web2", "db.internal", "WEB1"];

/// A line of a file: any of these in any order is a file that OpenSSH takes.
fn line() -> impl Strategy<Value = String> {
    let block = select(vec![
        "Host *",
        "Host web?",
        "Host web1 db*",
        "Host * !web2",
        "Host !web1",
        "Host \"web1\" # comment",
        "host=WEB1",
        "Match all",
        "Match host web1",
        "Match host *.internal,web2",
        "Match !host web1",
        "Match originalhost web*",
        "Match user root",
        "Match user deploy originalhost web1",
        "Match localuser nobody",
        "Match localuser *",
        "Match final host 10.*",
        "Match canonical",
        "Match !final",
    ]);
    let option = select(vec![
        "HostName %h.example.com",
        "HostName 10.0.0.5",
        "  hostname = db.internal",
        "User deploy",
        "User \"root\"",
        "Port 2222",
        "PORT=22",
        "IdentityFile ~/.ssh/a",
        "IdentityFile \"/keys/with space\"",
        "IdentityFile ~/.ssh/%n",
        "IdentitiesOnly yes",
        "IdentitiesOnly no",
        "ProxyJump bastion",
        "ProxyJump me@one:22,two",
        "ProxyJump none",
        "ProxyCommand none",
        "ProxyCommand nc %h %p",
        "StrictHostKeyChecking accept-new",
        "StrictHostKeyChecking ask",
        "StrictHostKeyChecking off",
        "HostKeyAlias cluster",
        "ConnectTimeout 1m10",
        "ServerAliveInterval 30",
        "ServerAliveCountMax 5",
        "ForwardAgent yes",
        "ControlPath ~/.ssh/%C",
        "# a comment",
        "",
        "IgnoreUnknown Nonsense*",
    ]);
    prop_oneof![1 => block.prop_map(str::to_owned), 3 => option.prop_map(str::to_owned)]
}

/// What both say, as text.
#[derive(Debug, Default, PartialEq)]
struct Said {
    host_name: String,
    user: String,
    port: String,
    identities: Vec<String>,
    only: bool,
    proxy_jump: Option<String>,
    proxy_command: bool,
    strict: String,
    alias: Option<String>,
    connect_timeout: Option<u64>,
    alive: (u64, u32),
}

fn openssh(file: &Path, host: &str) -> Said {
    let output = Command::new("ssh")
        .arg("-G")
        .arg("-F")
        .arg(file)
        .arg(host)
        .output()
        .expect("ssh");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = value.to_owned();
        match key {
            "hostname" => said.host_name = value,
            "user" => said.user = value,
            "port" => said.port = value,
            "identityfile" => said.identities.push(value),
            "identitiesonly" => said.only = value == "yes",
            "proxyjump" => said.proxy_jump = Some(value),
            "proxycommand" => said.proxy_command = true,
            "stricthostkeychecking" => said.strict = value,
            "hostkeyalias" => said.alias = Some(value),
            "connecttimeout" => said.connect_timeout = value.parse().ok(),
            "serveraliveinterval" => said.alive.0 = value.parse().unwrap_or_default(),
            "serveralivecountmax" => said.alive.1 = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    said
}

fn muster(file: &Path, host: &str, local_user: &str) -> Said {
    let root = Root {
        path: file.to_owned(),
        folder: PathBuf::from("/nowhere"),
        required: true,
        private: false,
    };
    let asked = Asked {
        host,
        user: None,
        local_user,
        home: Path::new("/home"),
    };
    let options = evaluate(&Disk, &[root], asked).expect("evaluated");
    let host_name = match &options.host_name {
        Some(name) => tokens::expand(name, &tokens::Tokens::host_only(host)).expect("expanded"),
        None => host.to_owned(),
    };
    Said {
        // OpenSSH shows (and uses) the name in lower case.
        host_name: host_name.to_lowercase(),
        user: options.user.unwrap_or_else(|| local_user.to_owned()),
        port: options.port.unwrap_or(22).to_string(),
        identities: options.identity_files,
        only: options.identities_only.unwrap_or(false),
        proxy_jump: match &options.proxy {
            Some(Proxy::Jump(list)) => Some(list.clone()),
            _ => None,
        },
        proxy_command: options.proxy == Some(Proxy::Command),
        strict: match options.strict {
            Some(StrictHostKeyChecking::Yes) | None => "ask",
            Some(StrictHostKeyChecking::AcceptNew) => "accept-new",
            Some(StrictHostKeyChecking::Off) => "false",
        }
        .to_owned(),
        alias: options.host_key_alias,
        connect_timeout: options.connect_timeout.flatten().map(|limit| limit.as_secs()),
        alive: (
            options.alive_interval.unwrap_or(Duration::ZERO).as_secs(),
            options.alive_count.unwrap_or(3),
        ),
    }
}

#[test]
fn the_same_files_say_the_same_to_openssh() {
    let folder = tempfile::tempdir().expect("a folder");
    // ssh comes with ssh-keygen.
    require!(keys::generate(folder.path(), keys::KeyKind::Ed25519, None));
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .expect("a user")
        .expect("a user")
        .name;
    let file = folder.path().join("config");
    let config = Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    };
    // The same files each time: a difference is a bug and not a matter of luck.
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let files = (proptest::collection::vec(line(), 0..14), select(HOSTS.to_vec()));
    let result = runner.run(&files, |(lines, host)| {
        std::fs::write(&file, lines.join("\n")).expect("written");
        let theirs = openssh(&file, host);
        let mut ours = muster(&file, host, &user);
        if ours.identities.is_empty() {
            // Without any, OpenSSH lists its own usual ones.
            ours.identities = theirs.identities.clone();
            prop_assert!(
                theirs
                    .identities
                    .iter()
                    .all(|path| path.starts_with("~/.ssh/id_"))
            );
        }
        prop_assert_eq!(ours, theirs);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
