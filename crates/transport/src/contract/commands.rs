//! Commands: how they are read, where they run, how they end.

use muster_model::ErrorKind;

use super::fixture::{Fixture, command, to_the_end};
use super::{Case, case};
use crate::types::{Exec, ExecEvent, Exit};

pub(super) const CASES: &[Case] = &[
    case!(reports_exit_codes),
    case!(reports_the_signal_that_ended_a_command),
    case!(a_command_is_read_by_the_users_shell_byte_for_byte),
    case!(a_command_may_be_as_long_as_the_limit),
    case!(environment_variables_arrive_byte_for_byte),
    case!(the_mark_is_in_the_environment),
    case!(a_command_runs_in_the_folder_asked_for),
    case!(a_missing_folder_fails_the_command_with_code_1_and_a_message),
    case!(a_command_starts_in_the_home_folder),
    case!(a_command_that_does_not_exist_exits_with_127),
    case!(a_session_takes_one_command_only),
    case!(what_cannot_be_a_command_is_refused_before_it_starts),
    case!(ends_though_something_left_behind_holds_the_output),
];

async fn reports_exit_codes(fixture: Fixture) {
    for code in [0, 1, 3, 126, 255] {
        assert_eq!(fixture.run(command(&format!("exit {code}"))).await.code(), code);
    }
}

async fn reports_the_signal_that_ended_a_command(fixture: Fixture) {
    for signal in ["TERM", "KILL"] {
        let ended = fixture.run(command(&format!("kill -s {signal} $$"))).await;
        assert_eq!(
            ended.last,
            Some(ExecEvent::Exited(Exit::Signal(signal.to_owned())))
        );
    }
}

async fn a_command_is_read_by_the_users_shell_byte_for_byte(fixture: Fixture) {
    let awkward = "a  'b' \"c\" \\d \\\\e !f $HOME `id` * ~ # % ; & | < > ( ) { } \t é \u{1f980} \u{1}";
    for text in [
        awkward.to_owned(),
        format!("{awkward}\nline two\n\n  line four\n"),
    ] {
        let quoted = text.replace('\'', "'\\''");
        let ended = fixture.run(command(&format!("printf %s '{quoted}'"))).await;
        assert_eq!(ended.out(), text, "stderr: {}", ended.err());
        assert_eq!(ended.code(), 0);
    }
}

async fn a_command_may_be_as_long_as_the_limit(fixture: Fixture) {
    // Quotes are what grows most when a line is quoted, and quoted again.
    let body = "'a'\"b\"!\\ ".repeat((muster_model::limits::COMMAND_BYTES - 30) / 9);
    let text = format!("cat <<\\END | wc -c\n{body}\nEND");
    assert!(text.len() <= muster_model::limits::COMMAND_BYTES);
    let ended = fixture.run(command(&text)).await;
    assert_eq!(
        ended.out().trim(),
        (body.len() + 1).to_string(),
        "{}",
        ended.err()
    );
    let mut exec = command(&text);
    exec.stdin = Some("the input".into());
    exec.what = crate::types::What::Command(format!("cat; {text}"));
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out().trim(), format!("the input{}", body.len() + 1));
}

async fn environment_variables_arrive_byte_for_byte(fixture: Fixture) {
    let value = "it's \"quoted\" $HOME \\ ! `x`\nline two";
    let mut exec = command("printf '%s|%s' \"$MUSTER_TEST_A\" \"$EMPTY\"");
    exec.env = vec![
        ("MUSTER_TEST_A".to_owned(), value.to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ];
    assert_eq!(fixture.run(exec).await.out(), format!("{value}|"));
}

async fn the_mark_is_in_the_environment(fixture: Fixture) {
    let exec = command("printf %s \"$MUSTER_RUN\"");
    let mark = exec.mark.clone();
    assert_eq!(fixture.run(exec).await.out(), mark);
}

async fn a_command_runs_in_the_folder_asked_for(fixture: Fixture) {
    let folder = fixture
        .scratch
        .canonicalize()
        .expect("exists")
        .join("it's a 'folder' \\ !");
    std::fs::create_dir(&folder).expect("is made");
    let folder = folder.to_str().expect("is text").to_owned();
    let mut exec = command("pwd");
    exec.cwd = Some(folder.clone());
    assert_eq!(fixture.run(exec).await.out(), format!("{folder}\n"));
}

async fn a_missing_folder_fails_the_command_with_code_1_and_a_message(fixture: Fixture) {
    let mut exec = command("echo ran");
    exec.cwd = Some("/nonexistent/muster".to_owned());
    let ended = fixture.run(exec).await;
    assert_eq!(ended.code(), 1);
    assert_eq!(ended.out(), "");
    assert!(ended.err().contains("/nonexistent/muster"), "{}", ended.err());
}

async fn a_command_starts_in_the_home_folder(fixture: Fixture) {
    let ended = fixture.run(command("pwd; eval echo ~$(id -un)")).await;
    let lines: Vec<String> = ended.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], lines[1]);
}

async fn a_command_that_does_not_exist_exits_with_127(fixture: Fixture) {
    let ended = fixture.run(command("muster-no-such-command")).await;
    assert_eq!(ended.code(), 127);
    assert!(ended.err().contains("muster-no-such-command"));
}

async fn a_session_takes_one_command_only(fixture: Fixture) {
    let mut session = fixture.session().await;
    let mut running = session.start(command("echo one")).await.expect("starts");
    let Err(error) = session.start(command("echo two")).await else {
        panic!("a second command was started");
    };
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(to_the_end(running.as_mut()).await.out(), "one\n");
}

async fn what_cannot_be_a_command_is_refused_before_it_starts(fixture: Fixture) {
    let wrong: [fn(&mut Exec); 6] = [
        |exec| exec.what = crate::types::What::Command("echo \0".to_owned()),
        |exec| exec.mark = "a b".to_owned(),
        |exec| exec.mark = String::new(),
        |exec| exec.env = vec![("1A".to_owned(), String::new())],
        |exec| exec.env = vec![("A;reboot".to_owned(), String::new())],
        |exec| exec.cwd = Some("/\0".to_owned()),
    ];
    for spoil in wrong {
        let mut exec = command("echo ran");
        spoil(&mut exec);
        let mut session = fixture.session().await;
        let Err(error) = session.start(exec.clone()).await else {
            panic!("started: {exec:?}");
        };
        assert_eq!(error.kind, ErrorKind::Invalid, "{exec:?}");
        // The session is as good as before.
        let mut running = session.start(command("echo ran")).await.expect("starts");
        assert_eq!(to_the_end(running.as_mut()).await.out(), "ran\n");
    }
}

async fn ends_though_something_left_behind_holds_the_output(fixture: Fixture) {
    let started = std::time::Instant::now();
    let exec = command("sleep 300 & echo $!; exit 4");
    let mut running = fixture.start(exec).await;
    let ended = to_the_end(running.as_mut()).await;
    assert_eq!(ended.code(), 4);
    let pid: u32 = ended.out().trim().parse().expect("is a pid");
    assert!((fixture.is_alive)(pid), "what was left behind on purpose stays");
    assert!(started.elapsed().as_secs() < 20);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).expect("is a pid")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("is ended");
}
