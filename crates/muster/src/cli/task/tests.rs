//! Tests of what the task commands print.

use muster_model::Counts;

use super::*;

fn listing(id: u64, command: &str, retry_of: Option<u64>) -> TaskListing {
    TaskListing {
        task: TaskView {
            id: TaskId(id),
            kind: "command".into(),
            command: command.into(),
            state: TaskState::Running,
            created_at: Timestamp(1_795_262_413_000_000),
            finished_at: None,
            output_removed_at: None,
            counts: Counts {
                total: 3,
                started: 1,
                succeeded: 2,
                ..Counts::default()
            },
        },
        user: "ann".into(),
        retry_of: retry_of.map(TaskId),
        cancelled: false,
    }
}

#[test]
fn tasks_are_a_table() {
    let tasks = [
        listing(45334, "df -h", None),
        listing(45333, &"long ".repeat(30), Some(45332)),
        listing(9, "evil\x1b[2J\nline", None),
    ];
    insta::assert_snapshot!(tasks_table(&tasks, &jiff::tz::TimeZone::UTC));
}

#[test]
fn since_is_a_duration_or_a_time() {
    let now = Timestamp(1_795_262_413_000_000);
    assert_eq!(moment("1h", now).ok(), Some(Timestamp(now.0 - 3_600_000_000)));
    assert_eq!(
        moment("2026-11-21T12:00:13Z", now).ok(),
        "2026-11-21T12:00:13Z".parse().ok()
    );
    for text in ["yesterday", "-1h", ""] {
        let error = moment(text, now).expect_err(text);
        assert_eq!(error.code, Code::InvalidRequest);
        assert!(error.detail.contains(&format!("'{text}'")), "{error}");
    }
}

#[test]
fn a_plan_says_where_in_which_waves_and_what() {
    let plan = Plan {
        total: 4,
        hosts: "web[1-4]".into(),
        waves: vec!["web[1-2]".into(), "web[3-4]".into()],
        wave_count: 3,
        command: "df -h".into(),
    };
    assert_eq!(
        plan_text(&plan),
        "would run on 4 hosts: web[1-4]\nin 3 waves:\n  web[1-2]\n  web[3-4]\n  … and 1 more\ncommand: df -h\n"
    );
}
