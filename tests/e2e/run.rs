//! Running commands: what is printed, in each mode, and the exit codes.

use muster_testkit::wait;

use crate::support::{PATIENCE, World, states};

#[tokio::test(flavor = "multi_thread")]
async fn every_host_answers_with_its_name_before_each_line() {
    let Some(world) = World::new().await else { return };
    let done = world
        .muster(&["run", "echo hello", "--hosts", &world.hosts(3)])
        .succeeded();
    let mut lines: Vec<&str> = done.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 3, "{done:#?}");
    for (index, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&world.sshd.host(index as u32 + 1)) && line.ends_with("hello"),
            "{done:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_whether_all_succeeded() {
    let Some(world) = World::new().await else { return };
    assert_eq!(
        world.muster(&["run", "true", "--hosts", &world.hosts(2)]).code,
        Some(0)
    );
    assert_eq!(
        world.muster(&["run", "false", "--hosts", &world.hosts(2)]).code,
        Some(1)
    );
    assert_eq!(world.muster(&["run", "true", "--hosts", "web[1-"]).code, Some(2));
    assert_eq!(
        world
            .muster(&["run", "true", "--server", "http://127.0.0.1:1", "--hosts", "a"])
            .code,
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_as_the_contract_has_it() {
    let Some(world) = World::new().await else { return };
    let command = "echo out; echo err >&2; printf '\\377' ; exit 3";
    let done = world.muster(&["run", command, "--hosts", &world.hosts(2), "--json"]);
    assert_eq!(done.code, Some(1));
    let report = done.json();
    assert_eq!(
        report,
        world.report(&report["task"]["id"].to_string()),
        "check_task prints the same"
    );
    let task = report["task"].as_object().expect("a task");
    let mut fields: Vec<&str> = task.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "command",
            "counts",
            "created_at",
            "finished_at",
            "id",
            "kind",
            "state"
        ]
    );
    assert_eq!(
        (task["kind"].as_str(), task["state"].as_str()),
        (Some("command"), Some("done"))
    );
    assert_eq!(
        (
            task["counts"]["total"].as_u64(),
            task["counts"]["failed"].as_u64()
        ),
        (Some(2), Some(2))
    );
    let run = report["runs"][0].as_object().expect("a run");
    let mut fields: Vec<&str> = run.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "attempt",
            "error",
            "exit_code",
            "finished_at",
            "host",
            "queued_at",
            "signal",
            "started_at",
            "state",
            "stderr",
            "stderr_bytes",
            "stdout",
            "stdout_base64",
            "stdout_bytes",
            "truncated"
        ]
    );
    assert_eq!(run["host"], world.sshd.host(1));
    assert_eq!(
        (run["exit_code"].as_i64(), run["attempt"].as_i64()),
        (Some(3), Some(1))
    );
    assert_eq!(
        (run["stdout"].as_str(), run["stderr"].as_str()),
        (Some("out\n\u{fffd}"), Some("err\n"))
    );
    assert_eq!(run["stdout_base64"], "b3V0Cv8=");
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonl_prints_one_event_a_line() {
    let Some(world) = World::new().await else { return };
    let hosts = world.hosts(2);
    let done = world
        .muster(&["run", "echo hello", "--hosts", &hosts, "--output", "jsonl"])
        .succeeded();
    let events: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect();
    assert_eq!(events.first().expect("events")["event"], "task");
    assert_eq!(events.last().expect("events")["state"], "done");
    let said = events
        .iter()
        .filter(|event| event["event"] == "output" && event["data"] == "hello\n");
    assert_eq!(said.count(), 2, "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_outputs_are_folded_into_one_block() {
    let Some(world) = World::new().await else { return };
    let id = world.detach(&["run", "echo same", "--hosts", &world.hosts(4)]);
    world.until_done(&id).await;
    let done = world.muster(&["check_task", &id]);
    assert!(done.stdout.contains("127.0.1.[1-4]: 4 hosts"), "{done:#?}");
    assert_eq!(done.stdout.matches("same\n").count(), 1, "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_holds_results_and_nothing_else() {
    let Some(world) = World::new().await else { return };
    let done = world
        .muster(&["run", "printf 'a\\000b'", "--hosts", &world.hosts(1)])
        .succeeded();
    assert_eq!(
        done.stdout.as_bytes(),
        b"a\0b",
        "one host, not a terminal: its bytes as they are"
    );
    let quiet = world
        .muster(&["run", "echo x", "--hosts", &world.hosts(2), "--output", "quiet"])
        .succeeded();
    assert_eq!(quiet.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn surroundings_reach_the_command() {
    let Some(world) = World::new().await else { return };
    let host = world.hosts(1);
    let args = [
        "run",
        "echo \"$A|$PWD\"; cat",
        "--env",
        "A=x 'y' $z",
        "--cwd",
        "/usr/lib",
        "--stdin",
        "-",
        "--hosts",
        &host,
    ];
    let done = world.feed(&args, b"from stdin").succeeded();
    assert_eq!(done.stdout, "x 'y' $z|/usr/lib\nfrom stdin");
    let script = world
        .home
        .write("hello.sh", "#!/bin/sh\necho \"$0|$1|$#\"\n")
        .expect("a script");
    let script = script.to_string_lossy().into_owned();
    let done = world
        .muster(&["script", &script, "two words", "--hosts", &host])
        .succeeded();
    assert!(done.stdout.ends_with("|two words|1\n"), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_is_a_new_task_of_what_did_not_succeed() {
    let Some(world) = World::new().await else { return };
    let flag = world.home.path().join("flag").to_string_lossy().into_owned();
    let command = format!("test -e {flag}");
    let report = world
        .muster(&["run", &command, "--hosts", &world.hosts(3), "--json"])
        .json();
    assert_eq!(states(&report), ["failed", "failed", "failed"]);
    std::fs::write(&flag, "").expect("the flag");
    let done = world
        .muster(&["retry", &report["task"]["id"].to_string(), "--json"])
        .succeeded();
    assert_eq!(states(&done.json()), ["succeeded", "succeeded", "succeeded"]);
    let nothing = world.muster(&["retry", &done.json()["task"]["id"].to_string()]);
    assert_eq!(nothing.code, Some(2), "{nothing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_inventory_are_targets() {
    let Some(world) = World::new().await else { return };
    let port = world.sshd.port().to_string();
    let (user, key) = (world.sshd.user(), world.sshd.key().to_string_lossy().into_owned());
    for (name, host) in [("alpha", 1), ("beta", 2)] {
        let address = world.sshd.host(host);
        let add = [
            "hosts",
            "add",
            name,
            "--address",
            &address,
            "--port",
            &port,
            "--user",
            &user,
        ];
        world.muster(&add).succeeded();
    }
    world
        .muster(&["groups", "add", "both", "alpha", "beta"])
        .succeeded();
    let listed = world.muster(&["groups", "list"]).succeeded();
    assert!(
        listed.stdout.contains("both") && listed.stdout.contains('2'),
        "{listed:#?}"
    );
    let args = [
        "run",
        "echo hi",
        "--hosts",
        "@both",
        "-i",
        &key,
        "--accept-new",
        "--json",
    ];
    let done = world.muster(&args).succeeded();
    let report = done.json();
    assert_eq!(
        (
            report["runs"][0]["host"].as_str(),
            report["runs"][1]["host"].as_str()
        ),
        (Some("alpha"), Some("beta"))
    );
    assert_eq!(
        world.muster(&["hosts", "add", "alpha"]).code,
        Some(2),
        "it is there already"
    );
    assert_eq!(
        world.muster(&["hosts", "rm", "gamma"]).code,
        Some(2),
        "it is not there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_it_quietly() {
    let Some(world) = World::new().await else { return };
    let host = world.hosts(1);
    let line = format!(
        "{} run 'seq 1 200000' --hosts {host} | head -n 1",
        crate::support::MUSTER
    );
    let mut shell = world.home.command("/bin/sh");
    let done: crate::support::Done = shell.args(["-c", &line]).output().expect("a shell").into();
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("1\n", ""),
        "{done:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tasks_says_that_there_are_more() {
    let Some(world) = World::new().await else { return };
    for _ in 0..3 {
        world.detach(&["run", "true", "--hosts", "localhost"]);
    }
    let two = world.muster(&["tasks", "--limit", "2"]).succeeded();
    assert_eq!(two.stdout.lines().count(), 3, "{two:#?}");
    assert!(
        two.stderr
            .contains("the newest 2 tasks are shown, and there are more"),
        "{two:#?}"
    );
    let all = world.muster(&["tasks", "--limit", "3"]).succeeded();
    assert_eq!(
        (all.stdout.lines().count(), all.stderr.as_str()),
        (4, ""),
        "{all:#?}"
    );
}

/// A host that is away gets its run when it is back, as long as the task has not expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_gets_its_run_when_it_is_back() {
    let Some(mut world) = World::new().await else {
        return;
    };
    world.sshd.stop().await;
    let id = world.detach(&["run", "echo back", "--expires", "10m", "--hosts", &world.hosts(2)]);
    let tried = || {
        let report = world.report(&id);
        let runs = report["runs"].as_array().expect("runs");
        runs.iter().all(|run| run["attempt"].as_u64() > Some(1))
    };
    wait::until(PATIENCE, "both to be tried in vain", tried)
        .await
        .expect("they are tried");
    let waits = world.report(&id);
    assert_eq!(waits["task"]["counts"]["started"], 0, "{waits:#}");
    world.sshd.start_again().await.expect("it is back");
    let report = world.until_done(&id).await;
    assert_eq!(states(&report), ["succeeded", "succeeded"], "{report:#}");
    assert_eq!(report["runs"][1]["stdout"], "back\n");
}
