//! Cancel and timeout leave no process behind.

use muster_testkit::{proc, wait};

use crate::support::{PATIENCE, World};

/// A command that does what it can to stay: it ignores TERM, forks, leaves its session and its parent.
fn stubborn(tag: &str) -> String {
    format!(
        "trap '' TERM HUP INT; \
         (trap '' TERM; exec -a {tag}-child sleep 600) & \
         setsid bash -c \"trap '' TERM; (exec -a {tag}-grandchild sleep 600) & exec -a {tag}-session sleep 600\" & \
         (setsid setsid bash -c \"trap '' TERM; exec -a {tag}-orphan sleep 600\" &) ; \
         bash -c \"exec -a {tag}-last sleep 600\""
    )
}

fn left(tag: &str) -> Vec<Vec<String>> {
    let is_it = |process: &proc::Process| process.argv.first().is_some_and(|name| name.starts_with(tag));
    proc::with_arg(tag)
        .into_iter()
        .filter(is_it)
        .map(|process| process.argv)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_leaves_no_process_behind() {
    let Some(world) = World::new().await else { return };
    let tag = format!("stay-{}-cancel", std::process::id());
    let command = format!("bash -c {}", shlex_quote(&stubborn(&tag)));
    let id = world.detach(&[
        "run",
        &command,
        "--hosts",
        &world.hosts(3),
        "--kill-grace",
        "300ms",
    ]);
    wait::until(PATIENCE, "all are there", || left(&tag).len() == 15)
        .await
        .unwrap_or_else(|error| panic!("{error}: {:?} {:#}", left(&tag), world.report(&id)));
    world.muster(&["cancel", &id]).succeeded();
    let report = world.until_done(&id).await;
    assert_eq!(report["task"]["counts"]["cancelled"], 3, "{report:#}");
    assert_eq!(left(&tag), Vec::<Vec<String>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_leaves_no_process_behind() {
    let Some(world) = World::new().await else { return };
    let tag = format!("stay-{}-timeout", std::process::id());
    let command = format!("bash -c {}", shlex_quote(&stubborn(&tag)));
    let hosts = world.hosts(2);
    let args = [
        "run",
        &command,
        "--hosts",
        &hosts,
        "--timeout",
        "2s",
        "--kill-grace",
        "300ms",
        "--json",
    ];
    let done = world.muster(&args);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.json()["task"]["counts"]["timed_out"], 2, "{done:#?}");
    assert_eq!(left(&tag), Vec::<Vec<String>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interrupted_command_goes_on_and_names_its_task() {
    let Some(world) = World::new().await else { return };
    let flag = world.home.path().join("flag");
    let command = format!(
        "echo begun; while ! test -e {}; do sleep 0.05; done; echo ended",
        flag.display()
    );
    let mut child = world.command(&["run", &command, "--hosts", &world.hosts(1)]);
    child
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = child.spawn().expect("the binary starts");
    let mut begun = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut begun).expect("output");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("interrupted");
    let done: crate::support::Done = child.wait_with_output().expect("it ends").into();
    assert_eq!(done.code, Some(130), "{done:#?}");
    assert!(done.stderr.contains("task 1"), "{done:#?}");
    std::fs::write(&flag, "").expect("the flag");
    let report = world.until_done("1").await;
    assert_eq!(report["runs"][0]["stdout"], "begun\nended\n");
}

fn shlex_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
