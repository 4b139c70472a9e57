//! Small pieces of work of the model: what `cargo xtask instructions` counts.
//!
//! Each case is prepared once and can then be run as often as wanted, with the same work each time.

use std::hint::black_box;

use muster_model::pattern::{NoGroups, expand, fold};
use muster_model::sanitise::Sanitiser;
use muster_model::selector::Selector;
use muster_model::task::TaskState;
use muster_model::wire::{Event, RunEvent, RunView, TaskReport, TaskView};
use muster_model::{Counts, RunState, TaskId, Timestamp};

mod selectors;

/// A piece of work.
pub struct Case {
    /// What it is called in tables and in the baseline.
    pub name: &'static str,
    /// Does it once.
    pub run: Box<dyn FnMut()>,
}

/// Makes a case of work on something that is prepared once.
fn case<T: 'static, R>(name: &'static str, on: T, work: impl Fn(&T) -> R + 'static) -> Case {
    Case {
        name,
        run: Box::new(move || {
            black_box(work(black_box(&on)));
        }),
    }
}

/// Prepares the case with this name; None where there is none.
#[must_use]
pub fn find(name: &str) -> Option<Case> {
    NAMES.contains(&name).then(|| prepare(name))
}

/// The names of all cases.
pub const NAMES: [&str; 13] = [
    "pattern: parse and evaluate, five operators",
    "pattern: refuse a wrong one",
    "pattern: expand 10,000 hosts",
    "pattern: fold 10,000 hosts",
    "pattern: fold 500 hosts, every seventh missing",
    "wire: encode a report of 500 runs",
    "wire: decode a report of 500 runs",
    "wire: encode 100 events",
    "wire: decode 100 events",
    "terminal: pass 1 MiB of plain text",
    "terminal: show 1 MiB in which every line sets a colour",
    "selector: read one of five comparisons",
    "selector: ask it for 1,000 hosts",
];

fn prepare(name: &str) -> Case {
    let index = NAMES.iter().position(|known| *known == name).unwrap_or(0);
    let name = NAMES[index];
    match index {
        0 => case(name, "web[01-20,25]!web07,db[1-4/2]&db[3-9],mail", |text| {
            expand(text, &NoGroups)
        }),
        1 => case(name, "web[01-20,25", |text| expand(text, &NoGroups)),
        2 => case(name, "rack[001-100]node[001-100]", |text| expand(text, &NoGroups)),
        3 => case(name, mixed(hosts("rack[001-100]node[001-100]")), |names| {
            fold(names)
        }),
        4 => case(name, with_gaps(hosts("web[001-500].example.net")), |names| {
            fold(names)
        }),
        5 => case(name, report(), |report| serde_json::to_vec(report).ok()),
        6 => case(name, encoded(&report()), |text| {
            serde_json::from_slice::<TaskReport>(text).ok()
        }),
        7 => case(name, events(), |events| {
            events
                .iter()
                .filter_map(|event| serde_json::to_vec(event).ok())
                .map(|text| text.len())
                .sum::<usize>()
        }),
        8 => case(name, events().iter().map(encoded).collect::<Vec<_>>(), |texts| {
            texts
                .iter()
                .filter_map(|text| serde_json::from_slice::<Event>(text).ok())
                .count()
        }),
        9 => terminal(name, "a line of a log as hosts write them, with a number 12345\n"),
        11 => case(name, selectors::TEXT, |text| Selector::parse(text).is_ok()),
        12 => case(name, selectors::inventory(), selectors::Inventory::ask),
        _ => terminal(
            name,
            "\x1b[31ma line of a log\x1b[0m as hosts write them, with \u{fc}n\u{ef}c\u{f6}d\u{e9}\r\n",
        ),
    }
}

/// A mebibyte of such lines, made harmless piece by piece as it comes from a host.
fn terminal(name: &'static str, line: &str) -> Case {
    case(name, line.repeat((1 << 20) / line.len()), |text| {
        let mut sanitiser = Sanitiser::default();
        let pieces = text.as_bytes().chunks(32 << 10);
        pieces.map(|piece| sanitiser.pass(piece).len()).sum::<usize>()
    })
}

fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn hosts(pattern: &str) -> Vec<String> {
    expand(pattern, &NoGroups).unwrap_or_default()
}

/// The same names in an order that is the same each time and no order of theirs.
fn mixed(names: Vec<String>) -> Vec<String> {
    let count = names.len();
    // A step that shares no divisor with the count comes by every place once.
    (0..count).map(|at| names[at * 7919 % count].clone()).collect()
}

fn with_gaps(names: Vec<String>) -> Vec<String> {
    let kept = names.into_iter().enumerate().filter(|(at, _)| at % 7 != 0);
    kept.map(|(_, name)| name).collect()
}

/// A report of 500 runs, each with some lines of output.
#[must_use]
pub fn report() -> TaskReport {
    let runs = hosts("web[001-500].example.net").into_iter().map(run).collect();
    let counts = Counts {
        total: 500,
        succeeded: 500,
        ..Counts::default()
    };
    TaskReport {
        task: TaskView {
            id: TaskId(45334),
            kind: "command".to_owned(),
            command: "df -h".to_owned(),
            state: TaskState::Done,
            created_at: Timestamp(1_795_000_000_000),
            finished_at: Some(Timestamp(1_795_000_009_000)),
            output_removed_at: None,
            counts,
        },
        runs,
    }
}

fn run(host: String) -> RunView {
    let stdout =
        "Filesystem      Size  Used Avail Use% Mounted on\n/dev/vda1        98G   31G   63G  33% /\n\
                  tmpfs           3.9G  1.1M  3.9G   1% /run\n"
            .repeat(4);
    RunView {
        host,
        state: RunState::Succeeded,
        attempt: 1,
        exit_code: Some(0),
        signal: None,
        error: None,
        stdout_bytes: stdout.len() as u64,
        stdout,
        stdout_base64: None,
        stderr: String::new(),
        stderr_base64: None,
        stderr_bytes: 0,
        truncated: false,
        queued_at: Timestamp(1_795_000_000_000),
        started_at: Some(Timestamp(1_795_000_004_000)),
        finished_at: Some(Timestamp(1_795_000_005_000)),
    }
}

fn events() -> Vec<Event> {
    let event = |(index, host): (u32, String)| {
        Event::Run(RunEvent {
            task: TaskId(45334),
            index,
            host,
            state: RunState::Succeeded,
            attempt: 1,
            exit_code: Some(0),
            signal: None,
            error: None,
            stdout_bytes: 812,
            stderr_bytes: 0,
            truncated: false,
        })
    };
    (0..).zip(hosts("web[001-100]")).map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_does_the_work_that_its_name_says() {
        for name in NAMES {
            let mut case = find(name).expect("is there");
            assert_eq!(case.name, name);
            (case.run)();
        }
        assert!(find("pattern").is_none());
        assert_eq!(hosts("web[01-20,25]!web07,db[1-4/2]&db[3-9],mail").len(), 2);
        assert!(expand("web[01-20,25", &NoGroups).is_err());
        let all = hosts("rack[001-100]node[001-100]");
        assert_eq!(all.len(), 10_000);
        assert_eq!(fold(&mixed(all)), "rack[001-100]node[001-100]");
        let text = encoded(&report());
        let back: TaskReport = serde_json::from_slice(&text).expect("decodes");
        assert_eq!(back, report());
        for event in events() {
            let back: Event = serde_json::from_slice(&encoded(&event)).expect("decodes");
            assert_eq!(back, event);
        }
        assert_eq!(events().len(), 100);
    }
}
