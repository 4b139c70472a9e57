//! A database with something in every table: tasks of all kinds, runs in all states, attempts, output small and large,
//! an inventory, and sealed noise where nothing here can seal.

use bytes::Bytes;
use muster_model::facts::Facts;
use muster_model::host::HostRecord;
use muster_model::inventory::GroupName;
use muster_model::run::Change;
use muster_model::{HostName, Kind, Outcome, RunState, TaskId, Timestamp, Transition};
use sea_orm::Value;

use super::world::{HOSTILE, executor, frames, host, key, start, transition};
use crate::open::Opened;
use crate::transfer::insert;
use crate::transfer::plan::{self, Kind as ValueKind, LOGS, Table};
use crate::transfer::side::Side;
use crate::types::{Edit, HostFacts, NewTask, TaskInput};

/// The most runs of one task.
const MOST_RUNS: u32 = 50_000;
/// So many runs of each task have output that is too large to be kept with them.
const LARGE: u32 = 2;
/// Runs whose changes are applied together.
const TOGETHER: u32 = 1000;

/// Fills an empty database: `runs` runs in several tasks, and some rows in every other table.
///
/// # Panics
///
/// Where the database refuses anything.
pub async fn fill(opened: &Opened, url: &str, runs: u32) {
    inventory(opened).await;
    let mut left = runs;
    let mut number = 0;
    while left > 0 {
        // Several tasks, however few runs there are.
        let size = left.min((runs / 5).clamp(1, MOST_RUNS));
        task(opened, number, size).await;
        left -= size;
        number += 1;
    }
    opened
        .store
        .heartbeat(&executor("gone"), "a machine", 7, Timestamp(5))
        .await
        .expect("a sign of life");
    noise_where_nothing_is(url).await;
}

async fn inventory(opened: &Opened) {
    let name = |number: usize| -> HostName { format!("host{number:04}").parse().expect("a name") };
    let group = |number: usize| -> GroupName { format!("group{number}").parse().expect("a name") };
    let hosts: Vec<HostRecord> = (0..300)
        .map(|number| HostRecord {
            name: name(number),
            user: None,
            reach: None,
            credential: None,
            address: (number % 3 == 0).then(|| format!("10.0.0.{}", number % 250)),
            port: (number % 5 == 0).then_some(2222),
            labels: [("note".to_owned(), HOSTILE[number % HOSTILE.len()].to_owned())].into(),
        })
        .collect();
    let facts = (0..100).map(|number| HostFacts {
        host: name(number),
        facts: Facts {
            hostname: Some(HOSTILE[number % HOSTILE.len()].to_owned()),
            ..Facts::default()
        },
        gathered_at: Timestamp(number as i64),
    });
    let edits = vec![
        Edit::AddHosts(hosts),
        Edit::AddGroups((0..10).map(group).collect()),
        Edit::AddMembers((0..300).map(|number| (group(number % 9), name(number))).collect()),
        Edit::AddChildren((1..9).map(|number| (group(0), group(number))).collect()),
    ];
    opened.inventory.change(edits, None).await.expect("an inventory");
    opened.inventory.put_facts(facts.collect()).await.expect("facts");
}

async fn task(opened: &Opened, number: u32, runs: u32) {
    let kind = match number % 3 {
        0 => Kind::Command {
            command: HOSTILE[number as usize % HOSTILE.len()].to_owned(),
        },
        1 => Kind::Script {
            name: "naïve.sh".to_owned(),
            args: HOSTILE.iter().map(|text| (*text).to_owned()).collect(),
        },
        _ => Kind::Facts,
    };
    let input = match kind {
        Kind::Script { .. } => TaskInput {
            script: Some(Bytes::from_static(b"#!/bin/sh\nprintf '\\000\\377'\n")),
            stdin: Some((0..=255).collect::<Vec<u8>>().repeat(100).into()),
        },
        _ => TaskInput::default(),
    };
    let task = NewTask {
        request_id: format!("request {number} 漢字"),
        kind,
        options: muster_model::Options::default(),
        input,
        secrets: None,
        owner: "ada".to_owned(),
        retry_of: (number > 0).then(|| TaskId(u64::from(number))),
        created_at: Timestamp(1_000 + i64::from(number)),
        dispatcher: executor("gone"),
        hosts: (0..runs).map(|index| host(&format!("node{index:06}"))).collect(),
    };
    let id = opened.store.submit(task).await.expect("a submit").into_task().id;
    for index in 0..runs.min(LARGE) {
        large_output(opened, id, index).await;
    }
    for from in (0..runs).step_by(TOGETHER as usize) {
        let changes = (from..runs.min(from + TOGETHER)).flat_map(|index| life(id, index));
        opened.store.apply(changes.collect()).await.expect("an apply");
    }
}

async fn large_output(opened: &Opened, task: TaskId, index: u32) {
    let line = "a line of output that is repeated \u{0}\n".repeat(1000);
    let log = frames(&[&line, &line, &line]);
    opened
        .outputs
        .append(key(task, index), 1, 0, log)
        .await
        .expect("an append");
}

/// Returns the changes of a run: every end there is, and some that are still open.
fn life(task: TaskId, index: u32) -> Vec<Transition> {
    use RunState as S;
    let run = key(task, index);
    let at = |attempt, change| transition(run, attempt, 4_000 + i64::from(index), change);
    let end = |state, code: Option<i32>, error: Option<&str>, output: Option<Bytes>| Change::Settle {
        outcome: Outcome {
            exit_code: code,
            stdout_bytes: 10,
            truncated: index.is_multiple_of(2),
            ..Outcome::plain(state, error.map(str::to_owned))
        },
        output,
    };
    let small = || Some(frames(&["small\n", HOSTILE[index as usize % HOSTILE.len()]]));
    match index % 12 {
        // The first runs of a task have a log that is too large.
        0..LARGE => vec![start(run, "gone"), at(1, end(S::Succeeded, Some(0), None, None))],
        4 => vec![],
        5 => vec![start(run, "gone")],
        6 => vec![
            start(run, "gone"),
            at(1, end(S::Failed, Some(7), Some("it said no"), small())),
        ],
        7 => vec![
            start(run, "gone"),
            at(1, end(S::TimedOut, None, Some("too slow"), small())),
        ],
        8 => vec![at(1, end(S::Unreachable, None, Some("no route"), None))],
        9 => {
            let outcome = Outcome::plain(S::Cancelled, None);
            vec![at(1, Change::Withdraw { outcome })]
        }
        10 => {
            let outcome = Outcome::plain(S::Failed, Some("the first time".to_owned()));
            vec![
                start(run, "gone"),
                at(1, Change::Again { outcome }),
                at(
                    2,
                    Change::Start {
                        executor: executor("gone"),
                    },
                ),
                at(2, end(S::Succeeded, Some(0), None, small())),
            ]
        }
        _ => vec![
            start(run, "gone"),
            at(1, end(S::Succeeded, Some(0), None, small())),
        ],
    }
}

/// Puts rows into the tables that nothing has filled.
async fn noise_where_nothing_is(url: &str) {
    let side = Side::connect(url).await.expect("a connection");
    for table in plan::plan().await.expect("the tables") {
        let sql = format!("SELECT COUNT(*) FROM {}", table.name);
        let rows = plan::number(&side.db, &sql).await.expect("a count");
        if rows == Some(0) && table.name != LOGS {
            insert::rows(&side.db, &table, noise(&table, 20))
                .await
                .expect("rows");
        }
    }
    side.close().await;
}

/// Returns rows with every kind of value. Rows of all tables have the same numbers, so that they may refer to each
/// other.
pub(crate) fn noise(table: &Table, rows: i64) -> Vec<Vec<Value>> {
    let value = |kind, row: i64| match kind {
        ValueKind::Number => Value::from(row),
        ValueKind::Text => format!("{row} é漢\"'").into(),
        ValueKind::Bytes => vec![0, 255, b'\'', b'\\', row.to_le_bytes()[0]].into(),
        ValueKind::Flag => (row % 2 == 0).into(),
    };
    (1..=rows)
        .map(|row| {
            table
                .columns
                .iter()
                .map(|column| value(column.kind, row))
                .collect()
        })
        .collect()
}
