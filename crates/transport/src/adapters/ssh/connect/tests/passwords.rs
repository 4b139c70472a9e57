//! Passwords and keyboard-interactive.

use muster_model::{Endpoint, Unreachable};
use muster_testkit::sshd::Builder;
use muster_testkit::{Sshd, require};

use super::{Site, failed, secret};
use crate::types::Access;

async fn site(edit: fn(Builder) -> Builder) -> muster_testkit::Result<Site> {
    let builder = edit(Sshd::builder().password_user("muster-test", "correct horse"));
    Ok(Site::new(builder.start().await?))
}

fn alice(site: &Site) -> Endpoint {
    Endpoint {
        user: Some("muster-test".into()),
        ..site.endpoint(&site.sshd.host(1))
    }
}

fn with(site: &Site, password: &str) -> Access {
    Access {
        password: secret(password),
        ..site.plain()
    }
}

async fn lets_in_with_the_right_password_only(site: &Site, method: &str) {
    let right = site.reach(&alice(site), &with(site, "correct horse")).await;
    if let Err(error) = right {
        panic!("{error}\n{}", site.sshd.log());
    }
    site.logged(&format!("Accepted {method}")).await;
    let wrong = site.reach(&alice(site), &with(site, "battery staple")).await;
    let words = [
        "did not take the password for 'muster-test'",
        "check the user and the password",
    ];
    let message = failed(wrong, Unreachable::WrongPassword, &words);
    assert!(!message.contains("battery"));
    let none = site.reach(&alice(site), &site.plain()).await;
    failed(
        none,
        Unreachable::NoMethod,
        &["no key to show and no password", "--ask-password"],
    );
}

#[tokio::test]
async fn a_password_logs_in() {
    let site = require!(site(|builder| builder).await);
    lets_in_with_the_right_password_only(&site, "password").await;
}

#[tokio::test]
async fn keyboard_interactive_logs_in_with_the_password() {
    let site = require!(site(Builder::keyboard_interactive).await);
    lets_in_with_the_right_password_only(&site, "keyboard-interactive/pam").await;
}

#[tokio::test]
async fn a_password_follows_keys_that_were_refused() {
    let site = require!(site(|builder| builder).await);
    let mut identities = Vec::new();
    for _ in 0..8 {
        let key = muster_testkit::keys::generate(site.dir(), muster_testkit::KeyKind::Ed25519, None);
        identities.push(key.expect("a key"));
    }
    // More keys than the host has patience for: the password still gets its try.
    let access = Access {
        identities,
        ..with(&site, "correct horse")
    };
    if let Err(error) = site.reach(&alice(&site), &access).await {
        panic!("{error}\n{}", site.sshd.log());
    }
    let access = Access {
        password: None,
        identities: access.identities[..2].to_vec(),
        ..access
    };
    let refused = site.reach(&alice(&site), &access).await;
    failed(
        refused,
        Unreachable::KeyRefused,
        &["took none of the keys", "run again with --ask-password"],
    );
}

#[tokio::test]
async fn a_password_and_a_key_can_both_be_wanted() {
    let site =
        require!(site(|builder| builder.config_line("AuthenticationMethods password,publickey")).await);
    let access = Access {
        password: secret("correct horse"),
        ..site.access()
    };
    if let Err(error) = site.reach(&alice(&site), &access).await {
        panic!("{error}\n{}", site.sshd.log());
    }
    let wrong = Access {
        password: secret("battery staple"),
        ..access
    };
    let refused = site.reach(&alice(&site), &wrong).await;
    failed(refused, Unreachable::WrongPassword, &[]);
    let only = site.reach(&alice(&site), &with(&site, "correct horse")).await;
    failed(
        only,
        Unreachable::NoMethod,
        &["one way to log in did", "publickey"],
    );
}

#[tokio::test]
async fn a_user_whom_the_host_does_not_know_is_like_a_wrong_password() {
    let site = require!(site(|builder| builder).await);
    let nobody = Endpoint {
        user: Some("nobody-here".into()),
        ..alice(&site)
    };
    let refused = site.reach(&nobody, &with(&site, "correct horse")).await;
    failed(refused, Unreachable::WrongPassword, &["'nobody-here'"]);
}

#[tokio::test]
async fn ssh_config_can_forbid_a_password() {
    let site = require!(site(|builder| builder).await);
    site.config("PasswordAuthentication no\nKbdInteractiveAuthentication no\n");
    let refused = site.reach(&alice(&site), &with(&site, "correct horse")).await;
    failed(refused, Unreachable::NoMethod, &["the host accepts"]);
    // A try would stand in the log before the end of the connection does.
    site.logged("authenticating user muster-test").await;
    assert!(!site.sshd.log().contains("Failed password"));
}
