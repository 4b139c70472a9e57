//! Scripts.

use std::time::Duration;

use bytes::Bytes;

use super::fixture::{Fixture, script, to_the_end};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case!(a_script_runs_with_its_interpreter_and_arguments),
    case!(a_script_without_an_interpreter_line_runs_with_sh),
    case!(a_script_has_its_own_standard_input),
    case!(a_large_script_arrives_whole),
    case!(an_empty_script_succeeds),
    case!(a_scripts_environment_folder_and_exit_code_are_as_asked_for),
    case!(a_scripts_file_is_private_and_gone_afterwards),
    case!(a_scripts_file_is_gone_after_a_kill),
];

async fn a_script_runs_with_its_interpreter_and_arguments(fixture: Fixture) {
    let args = ["one", "two  words", "it's", "", "line\nbreak", "-n", "$HOME \\ !"];
    let body = "#!/usr/bin/awk -f\nBEGIN { for (i = 1; i < ARGC; i++) printf \"[%s]\", ARGV[i] }\n";
    let ended = fixture.run(script(body, &args)).await;
    let expected: String = args.iter().map(|arg| format!("[{arg}]")).collect();
    assert_eq!(ended.out(), expected, "{}", ended.err());
    let ended = fixture
        .run(script(
            "#! /bin/bash -e \nprintf %s \"$BASH\"; false; echo no\n",
            &[],
        ))
        .await;
    assert_eq!(ended.out(), "/bin/bash");
    assert_eq!(ended.code(), 1);
}

async fn a_script_without_an_interpreter_line_runs_with_sh(fixture: Fixture) {
    let ended = fixture
        .run(script("printf '%s-' \"$@\"; echo $#", &["a b", "c"]))
        .await;
    assert_eq!(ended.out(), "a b-c-2\n");
}

async fn a_script_has_its_own_standard_input(fixture: Fixture) {
    let input: Vec<u8> = (0..300_000u32).map(|i| (i % 250) as u8).collect();
    let mut exec = script("#!/bin/sh\ncat\n", &[]);
    exec.stdin = Some(Bytes::from(input.clone()));
    let ended = fixture.run(exec).await;
    assert!(
        ended.stdout == input,
        "{} bytes: {}",
        ended.stdout.len(),
        ended.err()
    );
    let ended = fixture.run(script("#!/bin/sh\ncat; echo end\n", &[])).await;
    assert_eq!(ended.out(), "end\n");
}

async fn a_large_script_arrives_whole(fixture: Fixture) {
    let mut body = "#!/bin/sh\n".to_owned();
    while body.len() < 4 * 1024 * 1024 {
        body.push_str("# a line that does nothing, with a NUL behind it \0 and more\n");
    }
    body.push_str("wc -c <\"$0\"\ncat\n");
    let mut exec = script(&body, &[]);
    exec.stdin = Some("input\n".into());
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out(), format!("{}\ninput\n", body.len()), "{}", ended.err());
}

async fn an_empty_script_succeeds(fixture: Fixture) {
    assert_eq!(fixture.run(script("", &["x"])).await.code(), 0);
}

async fn a_scripts_environment_folder_and_exit_code_are_as_asked_for(fixture: Fixture) {
    let folder = fixture.scratch.canonicalize().expect("exists");
    let mut exec = script(
        "#!/bin/sh\npwd; echo \"$A\"; echo \"$MUSTER_RUN\"; exit 17\n",
        &[],
    );
    exec.cwd = Some(folder.to_str().expect("is text").to_owned());
    exec.env = vec![("A".to_owned(), "b 'c'\nd".to_owned())];
    let mark = exec.mark.clone();
    let ended = fixture.run(exec).await;
    assert_eq!(ended.out(), format!("{}\nb 'c'\nd\n{mark}\n", folder.display()));
    assert_eq!(ended.code(), 17);
}

async fn a_scripts_file_is_private_and_gone_afterwards(fixture: Fixture) {
    let ended = fixture
        .run(script("#!/bin/sh\nls -l \"$0\"; echo \"$0\"\n", &[]))
        .await;
    let out = ended.out();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("-rw-------"), "{}", lines[0]);
    assert!(!std::path::Path::new(lines[1]).exists(), "{} is left", lines[1]);
}

async fn a_scripts_file_is_gone_after_a_kill(fixture: Fixture) {
    for stubborn in [false, true] {
        let trap = if stubborn { "trap '' TERM\n" } else { "" };
        // One that ends on TERM gets all the time that it may need on a busy machine.
        let grace = if stubborn {
            Duration::from_millis(300)
        } else {
            Duration::from_secs(30)
        };
        let told = fixture.scratch.join(format!("name{stubborn}"));
        let body = format!(
            "#!/bin/sh\n{trap}echo \"$0\" >{}\nwhile :; do sleep 0.1; done\n",
            told.display()
        );
        let mut running = fixture.start(script(&body, &[])).await;
        let name = fixture.lines(&format!("name{stubborn}"), 1).await.remove(0);
        assert!(std::path::Path::new(&name).exists());
        let report = running.killer().kill(grace).await.expect("kills");
        assert!(report.terminated > 0);
        assert_eq!(report.killed > 0, stubborn, "{report:?}");
        assert!(to_the_end(running.as_mut()).await.last.is_some());
        assert!(!std::path::Path::new(&name).exists(), "{name} is left");
    }
}
