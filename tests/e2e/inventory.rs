//! The inventory through the built binary: imports that say what they do, facts of real hosts, targets chosen by what
//! is known of hosts, groups in groups.

use muster_testkit::Home;

use crate::support::{World, muster, states};

/// Writes an inventory of Ansible's for hosts of the world: two in `web`, one in `db`, both in `site`.
fn inventory(world: &World) -> String {
    let host = |name: &str, number: u32| {
        format!(
            "{name} ansible_host={} ansible_port={} ansible_user={}",
            world.sshd.host(number),
            world.sshd.port(),
            world.sshd.user()
        )
    };
    let text = format!(
        "[web]\n{} tier=front\n{}\n[db]\n{}\n[site:children]\nweb\ndb\n",
        host("alpha", 1),
        host("beta", 2),
        host("gamma", 3)
    );
    let file = world.home.write("site.ini", text).expect("a file");
    file.to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_inventory_is_asked_selected_and_run_on() {
    let Some(world) = World::new().await else { return };
    let file = inventory(&world);
    let planned = world.muster(&["hosts", "import", &file, "--dry-run"]).succeeded();
    assert!(planned.stdout.contains("+ host alpha"), "{planned:#?}");
    assert!(planned.stdout.contains("+ group site"), "{planned:#?}");
    assert_eq!(
        world.muster(&["hosts", "list", "--json"]).json(),
        serde_json::json!([])
    );
    world.muster(&["hosts", "import", &file]).succeeded();
    let again = world
        .muster(&["hosts", "import", &file, "--json"])
        .succeeded()
        .json();
    assert_eq!(again["hosts"]["unchanged"], 3, "{again}");
    assert_eq!(again["steps"], serde_json::json!([]));

    let key = world.sshd.key().to_string_lossy().into_owned();
    let before = world.muster(&["hosts", "expand", "--where", r#"kernel == "Linux""#]);
    assert_eq!(before.succeeded().stdout, "", "nobody was asked yet");
    let facts = world
        .muster(&["hosts", "facts", "@site", "-i", &key, "--accept-new", "--json"])
        .succeeded()
        .json();
    let facts = facts.as_array().expect("facts");
    assert_eq!(facts.len(), 3);
    for said in facts {
        assert_eq!(said["facts"]["kernel"], "Linux", "{said}");
        assert!(
            said["facts"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0),
            "{said}"
        );
    }
    let known = world
        .muster(&["hosts", "facts", "alpha", "--known", "--json"])
        .succeeded()
        .json();
    assert_eq!(known[0]["facts"], facts[0]["facts"]);

    let front = r#"kernel == "Linux" && labels.tier == "front""#;
    for targets in [
        &["--where", front][..],
        &["--where", front, "--hosts", "@site"],
        &["--hosts", "a*", "--where", front],
    ] {
        let mut args = vec!["run", "true", "-i", &key, "--json"];
        args.extend(targets);
        let report = world.muster(&args).succeeded().json();
        assert_eq!(report["runs"][0]["host"], "alpha", "{report}");
        assert_eq!(states(&report), ["succeeded"]);
    }
    let told = world
        .muster(&[
            "run",
            "true",
            "--hosts",
            "@site",
            "-x",
            "gamma",
            "--where",
            front,
            "--explain",
        ])
        .succeeded();
    for part in ["in  alpha", "out beta", "out gamma", "left out by -x gamma"] {
        assert!(told.stdout.contains(part), "{part}: {told:#?}");
    }
    let tasks = world.muster(&["tasks", "--json"]).succeeded().json();
    assert_eq!(
        tasks.as_array().map(Vec::len),
        Some(4),
        "an explanation is no task"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_hosts_is_frozen_into_the_task() {
    let Some(world) = World::new().await else { return };
    let file = inventory(&world);
    world.muster(&["hosts", "import", &file]).succeeded();
    let key = world.sshd.key().to_string_lossy().into_owned();
    let args = [
        "run",
        "false",
        "--where",
        r#""web" in groups"#,
        "-i",
        &key,
        "--accept-new",
        "--json",
    ];
    let report = world.muster(&args).json();
    assert_eq!(states(&report), ["failed", "failed"]);
    world.muster(&["groups", "rm", "web"]).succeeded();
    let id = report["task"]["id"].to_string();
    let again = world.muster(&["retry", &id, "--json"]).json();
    assert_eq!(states(&again), ["failed", "failed"], "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_inventory_makes_the_same_one_elsewhere() {
    let Some(world) = World::new().await else { return };
    let file = inventory(&world);
    world.muster(&["hosts", "import", &file]).succeeded();
    let exported = world.muster(&["hosts", "export"]).succeeded().stdout;
    for format in ["json", "ansible-yaml", "ansible-ini", "csv"] {
        let written = world.muster(&["hosts", "export", "--format", format]).succeeded();
        let other = Home::new().expect("a home");
        let copy = other.write("copy", &written.stdout).expect("a file");
        let copy = copy.to_string_lossy().into_owned();
        muster(&other, &["hosts", "import", &copy, "--format", format]).succeeded();
        let back = muster(&other, &["hosts", "export"]).succeeded().stdout;
        assert_eq!(back, exported, "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_nothing_is_imported() {
    let Some(world) = World::new().await else { return };
    let bad = world
        .home
        .write(
            "bad.ini",
            "[web]\nalpha ansible_port=http\nbeta x=\"open\n[web:vars]\nnonsense\n",
        )
        .expect("a file");
    let refused = world.muster(&["hosts", "import", &bad.to_string_lossy()]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    for place in ["bad.ini:2", "bad.ini:3", "bad.ini:5"] {
        assert!(refused.stderr.contains(place), "{place}: {refused:#?}");
    }
    assert_eq!(
        world.muster(&["hosts", "list", "--json"]).json(),
        serde_json::json!([])
    );
    for (selector, column) in [
        ("os.id = 5", "column 7"),
        ("mem_gb >", "column 9"),
        ("os.idd == \"x\"", "column 1"),
    ] {
        let refused = world.muster(&["run", "true", "--where", selector]);
        assert_eq!(refused.code, Some(2), "{refused:#?}");
        assert!(refused.stderr.contains(column), "{selector}: {refused:#?}");
    }
}
