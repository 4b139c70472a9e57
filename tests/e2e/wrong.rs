//! Bad input: a clear message, exit code 2, and nothing started.

use muster_testkit::home::Home;
use muster_testkit::require;

use crate::support::{Done, PATIENCE, command, muster};

#[track_caller]
fn refused(done: &Done, words: &[&str]) {
    assert_eq!(done.code, Some(2), "{done:#?}");
    assert_eq!(done.stdout, "", "{done:#?}");
    for word in words {
        assert!(done.stderr.contains(word), "should say '{word}': {done:#?}");
    }
    assert!(!done.stderr.contains("panicked"), "{done:#?}");
}

/// Sees that nothing was started: no task exists.
fn nothing_started(home: &Home) {
    let tasks = muster(home, &["tasks", "--json"]);
    assert_eq!(tasks.code, Some(0), "{tasks:#?}");
    assert!(!tasks.stdout.contains("\"id\""), "{tasks:#?}");
}

#[test]
fn targets_that_are_wrong_are_named() {
    let home = Home::new().expect("a home");
    let run = |hosts: &str| muster(&home, &["run", "true", "--hosts", hosts]);
    refused(&run("web[1-"), &["web[1-"]);
    refused(&run("web[5-1]"), &["5-1"]);
    refused(&run("@nowhere"), &["nowhere", "groups"]);
    refused(&run("a!a"), &["a!a", "no host"]);
    refused(&run("web[1-1000001]"), &["1,000,000"]);
    refused(&run("a[1-1000]b[1-1000]c[1-1000]"), &["1,000,000"]);
    refused(&run("web1:0"), &["port"]);
    refused(&run("ftp://web1"), &["ftp"]);
    refused(&muster(&home, &["run", "true"]), &["--hosts"]);
    nothing_started(&home);
}

#[test]
fn options_that_are_wrong_are_named() {
    let home = Home::new().expect("a home");
    let run = |more: &[&str]| {
        let mut args = vec!["run", "true", "--hosts", "localhost"];
        args.extend_from_slice(more);
        muster(&home, &args)
    };
    refused(&run(&["--timeout", "-5s"]), &["-5s", "negative"]);
    refused(&run(&["--timeout", "0"]), &["zero"]);
    refused(&run(&["--timeout", "soon"]), &["soon", "30s"]);
    refused(&run(&["--concurrency", "0"]), &["0"]);
    refused(&run(&["--batch", "0"]), &["batch"]);
    refused(&run(&["--max-failures", "120%"]), &["120%"]);
    refused(&run(&["--env", "1A=x"]), &["1A"]);
    refused(&run(&["--output", "pretty"]), &["pretty", "grouped"]);
    refused(&run(&["--stdin", "/no/such/file"]), &["/no/such/file"]);
    refused(&run(&["--no-such-option"]), &["--no-such-option"]);
    refused(&muster(&home, &["run", "", "--hosts", "localhost"]), &["empty"]);
    nothing_started(&home);
}

#[test]
fn a_script_that_does_not_exist_is_named() {
    let home = Home::new().expect("a home");
    refused(
        &muster(&home, &["script", "./no-such-script", "--hosts", "localhost"]),
        &["no-such-script"],
    );
    nothing_started(&home);
}

#[test]
fn a_task_that_does_not_exist_is_named() {
    let home = Home::new().expect("a home");
    for verb in ["check_task", "follow", "cancel", "retry"] {
        refused(&muster(&home, &[verb, "4711"]), &["4711"]);
        refused(&muster(&home, &[verb, "first"]), &["first"]);
    }
    nothing_started(&home);
}

#[test]
fn a_config_with_an_unknown_key_is_named_with_its_line() {
    let home = Home::new().expect("a home");
    home.write(".config/muster/config.toml", "slots = 5\nslotz = 3\n")
        .expect("a config");
    refused(
        &muster(&home, &["run", "true", "--hosts", "localhost"]),
        &["slotz", "config.toml", "2", "slots"],
    );
    assert!(home.servers().is_empty());
}

#[test]
fn a_database_that_is_not_one_is_named_and_left_as_it_is() {
    let mut home = Home::new().expect("a home");
    let file = home
        .write("notes.txt", "my notes, not a database\n")
        .expect("a file");
    home.set_env("MUSTER_DATABASE", format!("sqlite://{}", file.display()));
    refused(
        &muster(&home, &["run", "true", "--hosts", "localhost"]),
        &["notes.txt"],
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("the file"),
        "my notes, not a database\n"
    );
    // It has told why it cannot serve, and ends after that.
    muster_testkit::wait::blocking(PATIENCE, "the end of the server that cannot serve", || {
        home.servers().is_empty().then_some(())
    })
    .expect("no server");
}

#[test]
fn a_socket_that_belongs_to_somebody_else_is_not_used() {
    require!(require::root("give a socket to somebody else"));
    let home = Home::new().expect("a home");
    let folder = home.runtime_dir().join("muster");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
    let socket = folder.join("server.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let nobody = Some(nix::unistd::Uid::from_raw(65534));
    nix::unistd::chown(&socket, nobody, None).expect("it is somebody else's");
    let done: Done = command(&home, &["run", "true", "--hosts", "localhost"])
        .output()
        .expect("the binary starts")
        .into();
    refused(&done, &["server.sock"]);
    assert!(home.servers().is_empty());
}

#[test]
fn hosts_that_are_none_are_named() {
    let home = Home::new().expect("a home");
    refused(&muster(&home, &["hosts", "add", ""]), &["'' names no host"]);
    refused(
        &muster(&home, &["hosts", "set", "a!a", "--user", "x"]),
        &["a!a", "no host"],
    );
    let listed = muster(&home, &["hosts", "list", "--json"]);
    assert_eq!(listed.stdout.trim(), "[]", "{listed:#?}");
}
