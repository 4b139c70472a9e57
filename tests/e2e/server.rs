//! The server's life: started once, found by all, and gone when there is nothing to do.

use muster_testkit::home::Home;
use muster_testkit::{proc, wait};

use crate::support::{Done, PATIENCE, World, kill, muster, server};

#[tokio::test(flavor = "multi_thread")]
async fn ten_commands_in_the_same_instant_start_one_server() {
    let Some(world) = World::new().await else { return };
    let host = world.hosts(1);
    let mut children: Vec<_> = (0..10)
        .map(|_| {
            let mut command = world.command(&["run", "echo hi", "--hosts", &host]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().expect("the binary starts")
        })
        .collect();
    for child in children.drain(..) {
        let done: Done = child.wait_with_output().expect("it ends").into();
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "hi\n"), "{done:#?}");
    }
    server(&world.home);
    let listed = world.muster(&["tasks"]).succeeded();
    assert_eq!(
        listed
            .stdout
            .lines()
            .filter(|line| line.contains("echo hi"))
            .count(),
        10,
        "{listed:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_shell_that_started_it() {
    let Some(world) = World::new().await else { return };
    let id = world.detach(&["run", "sleep 0.5; echo late", "--hosts", &world.hosts(2)]);
    let report = world.until_done(&id).await;
    assert_eq!(report["runs"][1]["stdout"], "late\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_work_leaves_and_the_next_command_starts_another() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.home.set_env("MUSTER_IDLE_EXIT", "2s");
    world
        .muster(&["run", "true", "--hosts", &world.hosts(1)])
        .succeeded();
    // The file of its lock stays when it has left, which may be now.
    let signed = || {
        let lock = world.home.runtime_dir().join("muster/server.lock");
        let text = std::fs::read_to_string(lock).expect("the lock");
        text.trim().parse::<u32>().expect("the number of a process")
    };
    let first = signed();
    wait::until(PATIENCE, "the server to leave", || {
        world.home.servers().is_empty() && !proc::is_alive(first)
    })
    .await
    .expect("it leaves");
    world.muster(&["check_task", "1"]).succeeded();
    assert_ne!(signed(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_for_the_same_user_says_who_is_there() {
    let Some(world) = World::new().await else { return };
    world
        .muster(&["run", "true", "--hosts", &world.hosts(1)])
        .succeeded();
    let first = server(&world.home).to_string();
    let done = world.muster(&["server"]);
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains(&first), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_a_terminated_command_leaves_nothing_behind() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.home.set_env("MUSTER_NO_DAEMON", "1");
    let tag = format!("stay-{}-terminated", std::process::id());
    let command = format!("bash -c 'exec -a {tag} sleep 600'");
    let mut child = world.command(&["run", &command, "--hosts", &world.hosts(2)]);
    let mut child = child
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary starts");
    let running = || {
        let is_it = |process: &proc::Process| process.argv.first().is_some_and(|name| *name == tag);
        proc::with_arg(&tag).into_iter().filter(is_it).count()
    };
    wait::until(PATIENCE, "both to run", || running() == 2)
        .await
        .expect("they run");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("terminated");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    assert_eq!(running(), 0);
    assert_eq!(world.report("1")["task"]["counts"]["cancelled"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_command_is_its_own_server() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.home.set_env("MUSTER_NO_DAEMON", "1");
    let done = world
        .muster(&["run", "echo hi", "--hosts", &world.hosts(2)])
        .succeeded();
    assert_eq!(done.stdout.lines().count(), 2, "{done:#?}");
    assert!(world.home.servers().is_empty());
    let report = world.report("1");
    assert_eq!(report["task"]["counts"]["succeeded"], 2);
}

#[tokio::test]
async fn a_server_whose_socket_is_gone_is_told_of() {
    let home = Home::new().expect("a home");
    muster(&home, &["tasks"]).succeeded();
    let pid = server(&home).to_string();
    std::fs::remove_file(home.runtime_dir().join("muster/server.sock")).expect("the socket");
    let done = muster(&home, &["server", "status"]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.stderr.contains("nothing answers at"), "{done:#?}");
    assert!(done.stderr.contains(&format!("kill {pid}")), "{done:#?}");
    kill(server(&home));
    // Its lock is free only once the last of its threads has gone.
    let is_told = || {
        let done = muster(&home, &["server", "status"]);
        (done.code, done.stderr.as_str()) == (Some(3), "no server is running\n")
    };
    wait::until(PATIENCE, "the server to be gone", is_told)
        .await
        .expect("it is told");
}
