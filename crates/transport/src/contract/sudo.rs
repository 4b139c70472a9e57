//! Becoming another user.

use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_model::Secret;

use super::fixture::{Fixture, command, script, to_the_end, until_said};
use super::{Case, Need, case};
use crate::types::{Exec, Sudo};

pub(super) const CASES: &[Case] = &[
    case!(sudo_becomes_the_user_with_mark_environment_and_folder, Need::Sudo),
    case!(sudo_reads_a_command_with_sh, Need::Sudo),
    case!(sudo_passes_input_and_scripts_on, Need::Sudo),
    case!(a_kill_ends_what_sudo_started, Need::Sudo),
    case!(a_password_that_sudo_does_not_ask_for_reaches_nobody, Need::Sudo),
    case!(
        sudo_without_a_password_where_it_needs_one_fails_at_once,
        Need::SudoPassword
    ),
    case!(sudo_takes_the_password_and_then_the_input, Need::SudoPassword),
    case!(a_wrong_password_fails_with_sudos_own_words, Need::SudoPassword),
    case!(
        a_kill_goes_through_sudo_with_the_same_password,
        Need::SudoPassword
    ),
];

fn through(mut exec: Exec, user: &str, password: Option<&str>) -> Exec {
    exec.sudo = Some(Sudo {
        user: user.to_owned(),
        password: password.map(|text| Secret::new(text.to_owned())),
    });
    exec
}

async fn sudo_becomes_the_user_with_mark_environment_and_folder(fixture: Fixture) {
    for (user, uid) in [("root", "0"), ("nobody", "65534")] {
        let mut exec = through(
            command("id -u; pwd; echo \"$A\"; echo \"$MUSTER_RUN\""),
            user,
            None,
        );
        exec.env = vec![("A".to_owned(), "it's\ntwo".to_owned())];
        exec.cwd = Some("/usr/share".to_owned());
        let mark = exec.mark.clone();
        let ended = fixture.run(exec).await;
        assert_eq!(
            ended.out(),
            format!("{uid}\n/usr/share\nit's\ntwo\n{mark}\n"),
            "{}",
            ended.err()
        );
    }
}

async fn sudo_reads_a_command_with_sh(fixture: Fixture) {
    let ended = fixture
        .run(through(
            command("printf '%s' \"$0 it's\" \\\\ '!'\necho; exit 5"),
            "nobody",
            None,
        ))
        .await;
    assert_eq!(ended.out(), "/bin/sh it's\\!\n");
    assert_eq!(ended.code(), 5);
}

async fn sudo_passes_input_and_scripts_on(fixture: Fixture) {
    let mut exec = through(command("cat; id -un"), "nobody", None);
    exec.stdin = Some("input\n".into());
    assert_eq!(fixture.run(exec).await.out(), "input\nnobody\n");
    let mut exec = through(
        script("#!/bin/sh\nid -un; echo \"$1\"; cat\n", &["it's 1"]),
        "nobody",
        None,
    );
    exec.stdin = Some("input\n".into());
    assert_eq!(fixture.run(exec).await.out(), "nobody\nit's 1\ninput\n");
}

async fn a_kill_ends_what_sudo_started(fixture: Fixture) {
    let text = "trap '' TERM; env -i setsid sleep 300 & echo deaf; sleep 300; sleep 300";
    let exec = through(command(text), "nobody", None);
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    let marked = fixture.marked;
    until_said(running.as_mut(), "deaf").await;
    let report = running
        .killer()
        .kill(Duration::from_millis(300))
        .await
        .expect("kills");
    assert!(report.killed >= 2, "{report:?}");
    fixture.until("sudo to end", || marked(&mark).is_empty()).await;
    assert!(to_the_end(running.as_mut()).await.last.is_some());
}

async fn a_password_that_sudo_does_not_ask_for_reaches_nobody(fixture: Fixture) {
    let mut exec = through(command("cat"), "nobody", Some("not to be seen"));
    exec.stdin = Some("input\n".into());
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out(), "input\n");
    assert_eq!(ended.err(), "");
    let ended = fixture
        .run(through(
            script("#!/bin/sh\ncat; echo end\n", &[]),
            "root",
            Some("not to be seen"),
        ))
        .await;
    assert_eq!(ended.out(), "end\n");
}

fn password(fixture: &Fixture) -> String {
    fixture
        .password
        .clone()
        .expect("the case needs a user with a password")
}

async fn sudo_without_a_password_where_it_needs_one_fails_at_once(fixture: Fixture) {
    let ended = fixture.run(through(command("id -u"), "root", None)).await;
    assert_eq!(ended.code(), 1);
    assert!(ended.err().contains("sudo:"), "{}", ended.err());
}

async fn sudo_takes_the_password_and_then_the_input(fixture: Fixture) {
    let password = password(&fixture);
    let input: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    for user in ["root", "root", "nobody"] {
        let mut exec = through(command("id -un >&2; cat"), user, Some(&password));
        exec.stdin = Some(Bytes::from(input.clone()));
        let ended = fixture.run(exec).await;
        assert!(
            ended.stdout == input,
            "{} bytes; {}",
            ended.stdout.len(),
            ended.err()
        );
        assert!(ended.err().ends_with(&format!("{user}\n")), "{}", ended.err());
        assert!(!ended.err().contains("muster"), "{}", ended.err());
    }
    let ended = fixture
        .run(through(
            script("#!/bin/sh\nid -un; cat\n", &[]),
            "root",
            Some(&password),
        ))
        .await;
    assert_eq!(ended.out(), "root\n");
}

async fn a_wrong_password_fails_with_sudos_own_words(fixture: Fixture) {
    let started = Instant::now();
    let mut exec = through(command("echo ran"), "root", Some("wrong"));
    exec.stdin = Some("input that is no password\n".into());
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out(), "");
    assert_eq!(ended.code(), 1);
    assert!(
        ended.err().contains("1 incorrect password attempt"),
        "{}",
        ended.err()
    );
    assert!(!ended.err().contains("muster"), "{}", ended.err());
    assert!(started.elapsed() < Duration::from_secs(20));
}

async fn a_kill_goes_through_sudo_with_the_same_password(fixture: Fixture) {
    let exec = through(
        command("trap '' TERM; echo deaf; sleep 300; sleep 300"),
        "root",
        Some(&password(&fixture)),
    );
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    let marked = fixture.marked;
    until_said(running.as_mut(), "deaf").await;
    let report = running
        .killer()
        .kill(Duration::from_millis(300))
        .await
        .expect("kills");
    assert!(report.killed >= 1, "{report:?}");
    assert!(to_the_end(running.as_mut()).await.last.is_some());
    fixture.until("sudo to end", || marked(&mark).is_empty()).await;
}
