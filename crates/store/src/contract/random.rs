//! Random changes against the rule itself.

use std::collections::HashMap;

use muster_model::run::{Change, decide};
use muster_model::{Outcome, RunKey, RunState, TaskId, Transition};

use super::World;
use super::world::{all_runs, check_counts, executor, key, submit, task, transition};
use muster_model::run::Applied;

/// A small generator (splitmix64): the same seed gives the same case again.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    fn change(&mut self, tasks: &[TaskId], runs: u32, attempts: u64) -> Transition {
        let run = key(
            tasks[self.below(tasks.len() as u64) as usize],
            self.below(u64::from(runs) + 1) as u32,
        );
        let outcome = Outcome::plain(RunState::ALL[self.below(10) as usize], None);
        let change = match self.below(6) {
            0..=2 => Change::Start {
                executor: executor(&format!("executor {}", self.below(3))),
            },
            3 | 4 => Change::Again { outcome },
            _ => Change::Settle {
                outcome,
                output: None,
            },
        };
        transition(
            run,
            1 + self.below(attempts) as u32,
            self.below(1000) as i64,
            change,
        )
    }
}

/// The rule, by hand: what the database must agree with.
#[derive(Default)]
struct Expected {
    runs: HashMap<RunKey, (RunState, u32)>,
    open: HashMap<TaskId, u32>,
}

impl Expected {
    fn apply(&mut self, transition: &Transition) -> Applied {
        let Some(run) = self.runs.get_mut(&transition.run) else {
            return Applied::NoSuchRun;
        };
        match decide(run.0, run.1, transition) {
            Ok((state, attempt)) => {
                *run = (state, attempt);
                let open = self.open.get_mut(&transition.run.task).unwrap();
                *open -= u32::from(state.is_terminal());
                Applied::Yes {
                    state,
                    attempt,
                    task_done: state.is_terminal() && *open == 0,
                }
            }
            Err(refused) => Applied::No(refused),
        }
    }
}

pub(super) async fn any_changes_in_any_order_end_as_the_rule_says(world: World) {
    let opened = world.open().await;
    for seed in 0..12 {
        let mut random = Random(seed);
        let runs = 1 + random.below(6) as u32;
        let mut expected = Expected::default();
        let mut tasks = Vec::new();
        for number in 0..=random.below(2) {
            let id = submit(&opened, &format!("{seed} {number}"), runs).await;
            tasks.push(id);
            expected.open.insert(id, runs);
            for index in 0..runs {
                expected.runs.insert(key(id, index), (RunState::Queued, 1));
            }
        }
        for _ in 0..40 {
            let count = 1 + random.below(12);
            let changes: Vec<Transition> = (0..count).map(|_| random.change(&tasks, runs, 3)).collect();
            let answers = opened.store.apply(changes.clone()).await.unwrap();
            let right: Vec<Applied> = changes.iter().map(|change| expected.apply(change)).collect();
            assert_eq!(answers, right, "seed {seed}");
        }
        for id in tasks {
            check_counts(&opened, id).await;
            for run in all_runs(&opened, id).await {
                assert_eq!(expected.runs[&run.key], (run.state, run.attempt), "seed {seed}");
            }
            let open = task(&opened, id).await.counts.open();
            assert_eq!(open, expected.open[&id], "seed {seed}");
        }
    }
}

pub(super) async fn counts_are_right_whoever_changes_what_at_once(world: World) {
    let opened = world.open().await;
    let mut tasks = Vec::new();
    for number in 0..3 {
        tasks.push(submit(&opened, &format!("task {number}"), 40).await);
    }
    let callers = (0..16).map(|seed| {
        let (opened, tasks) = (opened.clone(), tasks.clone());
        async move {
            let mut random = Random(1000 + seed);
            let mut ends = 0;
            for _ in 0..60 {
                let count = 1 + random.below(5);
                let changes = (0..count).map(|_| random.change(&tasks, 40, 3)).collect();
                let answers = opened.store.apply(changes).await.unwrap();
                ends += answers
                    .iter()
                    .filter(|answer| matches!(answer, Applied::Yes { task_done: true, .. }))
                    .count();
            }
            ends
        }
    });
    let ends: usize = world.at_once(callers).await.into_iter().sum();
    let mut finished = 0;
    for id in tasks {
        check_counts(&opened, id).await;
        finished += usize::from(task(&opened, id).await.finished_at.is_some());
    }
    assert_eq!(ends, finished, "each end was told once");
}
