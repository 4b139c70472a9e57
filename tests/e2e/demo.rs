//! `muster demo`: what a person sees first, without an sshd.

use muster_testkit::home::Home;
use muster_testkit::require;

use crate::support::{Done, command};

fn check(done: &Done) {
    assert_eq!(done.code, Some(0), "{done:#?}");
    for host in ["demo1", "demo2", "demo3"] {
        assert!(done.stdout.contains(host), "{host} answers: {done:#?}");
    }
}

#[test]
fn the_demo_runs_a_command_on_its_own_hosts() {
    let home = Home::new().expect("a home");
    check(
        &command(&home, &["demo"])
            .output()
            .expect("the binary starts")
            .into(),
    );
    let state = std::fs::read_dir(home.path().join(".local/state"))
        .expect("the folder")
        .count();
    assert_eq!(state, 0, "the demo leaves the person's own inventory alone");
}

#[test]
fn two_people_can_try_it_at_the_same_time() {
    let homes = [Home::new().expect("a home"), Home::new().expect("a home")];
    let children: Vec<_> = homes
        .iter()
        .map(|home| {
            let mut command = command(home, &["demo"]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().expect("the binary starts")
        })
        .collect();
    for child in children {
        check(&child.wait_with_output().expect("it ends").into());
    }
}

/// As another user of the machine, at the same time: needs root to become one.
#[test]
fn a_second_user_can_try_it_at_the_same_time() {
    require!(require::root("become another user"));
    use std::os::unix::process::CommandExt;
    let mine = Home::new().expect("a home");
    let theirs = Home::new().expect("a home");
    let uid = 65534;
    for folder in [
        "",
        ".config",
        ".local",
        ".local/share",
        ".local/state",
        ".cache",
        "run",
        "tmp",
    ] {
        let path = theirs.path().join(folder);
        nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(uid)), None).expect("it is theirs");
    }
    // The binary may lie where the other user cannot go.
    let copy = theirs.path().join("muster");
    std::fs::copy(crate::support::MUSTER, &copy).expect("a copy");
    let mut first = command(&mine, &["demo"]);
    let mut second = theirs.command(&copy);
    second
        .arg("demo")
        .stdin(std::process::Stdio::null())
        .uid(uid)
        .gid(uid);
    let children = [&mut first, &mut second].map(|command| {
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().expect("the binary starts")
    });
    for child in children {
        check(&child.wait_with_output().expect("it ends").into());
    }
}
