//! Jump hosts.

use muster_model::Unreachable;
use muster_testkit::keys::{self, KeyKind};
use muster_testkit::sshd::Builder;
use muster_testkit::{Sshd, require};

use super::{Site, failed, logins};
use crate::types::Access;

/// A target behind two jump hosts, each a server of its own.
struct Chain {
    site: Site,
    first: Sshd,
    second: Sshd,
}

impl Chain {
    async fn start(first: Builder) -> muster_testkit::Result<Self> {
        let first = first.start().await?;
        let second = Sshd::start().await?;
        // A home without the person's own start-up files.
        let site = Site::new(Sshd::builder().env("HOME", "/nonexistent").start().await?);
        first.authorize(site.sshd.key())?;
        second.authorize(site.sshd.key())?;
        let mut known = site.known();
        for jump in [&first, &second] {
            known.push_str(&std::fs::read_to_string(jump.known_hosts()).unwrap_or_default());
        }
        site.known_hosts(&known);
        let config = format!(
            "Host first\n HostName 127.0.1.1\n Port {}\nHost second\n HostName 127.0.1.2\n Port {}\n ProxyJump \
             first\nHost target\n HostName 127.0.1.3\n Port {}\n ProxyJump second\n",
            first.port(),
            second.port(),
            site.sshd.port()
        );
        site.config(&config);
        Ok(Self { site, first, second })
    }

    fn target(&self) -> muster_model::Endpoint {
        muster_model::Endpoint {
            port: None,
            ..self.site.endpoint("target")
        }
    }
}

#[tokio::test]
async fn a_chain_of_two_jump_hosts_leads_to_the_target() {
    let chain = require!(Chain::start(Sshd::builder()).await);
    let login = chain
        .site
        .reach(&chain.target(), &chain.site.access())
        .await
        .expect("a login");
    assert_eq!(
        login.jump.as_ref().map(|jump| jump.label.contains("@second:")),
        Some(true)
    );
    logins([&chain.first, &chain.second, &chain.site.sshd], [1, 1, 1]).await;
    // It carries data.
    let channel = login.handle.channel_open_session().await.expect("a channel");
    channel.exec(true, "echo through").await.expect("started");
    let mut stream = channel.into_stream();
    let mut output = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut output)
        .await
        .expect("read");
    assert_eq!(output, "through\n");
}

#[tokio::test]
async fn many_who_go_through_the_same_jump_host_share_its_connection() {
    let chain = require!(Chain::start(Sshd::builder()).await);
    let (endpoint, access) = (chain.target(), chain.site.access());
    let all = (0..8).map(|_| chain.site.reach(&endpoint, &access));
    let all = futures_util::future::join_all(all).await;
    assert!(
        all.iter().all(Result::is_ok),
        "{:?}",
        all.iter().find_map(|login| login.as_ref().err())
    );
    logins([&chain.first, &chain.second, &chain.site.sshd], [1, 1, 8]).await;
    drop(all);
    let gone = || chain.first.connections() == 0 && chain.second.connections() == 0;
    muster_testkit::wait::until(
        std::time::Duration::from_secs(10),
        "the jump hosts to be left",
        gone,
    )
    .await
    .expect("nobody holds the jump hosts any more");
}

#[tokio::test]
async fn a_jump_host_that_died_is_logged_in_to_again() {
    let chain = require!(Chain::start(Sshd::builder()).await);
    let (endpoint, access) = (chain.target(), chain.site.access());
    let old = chain.site.reach(&endpoint, &access).await.expect("a login");
    chain.second.break_connections().await.expect("broken");
    let jump = old.jump.clone().expect("a jump host");
    let closed = || jump.handle.is_closed();
    muster_testkit::wait::until(std::time::Duration::from_secs(10), "the end", closed)
        .await
        .expect("ended");
    chain.site.reach(&endpoint, &access).await.expect("a new login");
    logins([&chain.second], [2]).await;
}

#[tokio::test]
async fn each_host_on_the_way_has_its_own_key_checked() {
    let chain = require!(Chain::start(Sshd::builder().fresh_host_keys()).await);
    let kept: String = chain
        .site
        .known()
        .lines()
        .filter(|line| !line.starts_with(&format!("[127.*]:{} ", chain.first.port())))
        .map(|line| format!("{line}\n"))
        .collect();
    chain.site.known_hosts(&kept);
    let result = chain.site.reach(&chain.target(), &chain.site.access()).await;
    failed(
        result,
        Unreachable::Jump,
        &[
            "@target:",
            "the jump host cannot be passed",
            "@first:",
            "neither pinned nor in",
        ],
    );
}

#[tokio::test]
async fn a_jump_host_that_fails_is_named_with_its_own_reason() {
    let mut chain = require!(Chain::start(Sshd::builder()).await);
    chain.first.authorize_nothing().expect("written");
    let (endpoint, access) = (chain.target(), chain.site.access());
    let result = chain.site.reach(&endpoint, &access).await;
    failed(result, Unreachable::Jump, &["@first:", "took none of the keys"]);
    chain.first.stop().await;
    let result = chain.site.reach(&endpoint, &access).await;
    failed(result, Unreachable::Jump, &["@first:", "connection refused"]);
}

#[tokio::test]
async fn a_target_that_the_jump_host_cannot_reach_is_named_with_it() {
    let mut chain = require!(Chain::start(Sshd::builder()).await);
    chain.site.sshd.stop().await;
    let result = chain.site.reach(&chain.target(), &chain.site.access()).await;
    failed(
        result,
        Unreachable::Jump,
        &[
            "@target:",
            "the jump host",
            "@second:",
            "could not connect to 127.0.1.3",
        ],
    );
}

#[tokio::test]
async fn a_jump_host_that_forwards_nothing_is_named() {
    let first = Sshd::builder().config_line("AllowTcpForwarding no");
    let chain = require!(Chain::start(first).await);
    let result = chain.site.reach(&chain.target(), &chain.site.access()).await;
    failed(result, Unreachable::Jump, &["@first:", "AllowTcpForwarding"]);
}

#[tokio::test]
async fn a_jump_host_that_hangs_times_out_by_name() {
    let chain = require!(Chain::start(Sshd::builder()).await);
    chain.first.freeze();
    let access = Access {
        connect_timeout: std::time::Duration::from_secs(2),
        ..chain.site.access()
    };
    let result = chain.site.reach(&chain.target(), &access).await;
    chain.first.thaw();
    failed(result, Unreachable::Jump, &["@target:", "jump host", "timed out"]);
}

#[tokio::test]
async fn another_key_for_the_jump_host_comes_from_ssh_config() {
    let chain = require!(Chain::start(Sshd::builder()).await);
    let key = keys::generate(chain.site.dir(), KeyKind::Ed25519, None).expect("a key");
    chain.first.authorize_nothing().expect("written");
    chain.first.authorize(&key).expect("authorized");
    let config = std::fs::read_to_string(chain.site.path(".ssh/config")).expect("read");
    chain.site.config(&format!(
        "{config}\nHost first\n IdentityFile {}\n",
        key.display()
    ));
    chain
        .site
        .reach(&chain.target(), &chain.site.access())
        .await
        .expect("a login");
}
