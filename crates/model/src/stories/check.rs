//! The promises, looked at after every step.

use std::collections::BTreeMap;

use super::database::{Row, Task};
use super::process::Work;
use super::world::{Deed, World};
use crate::id::{RunKey, TaskId};
use crate::run::RunState;

/// How the rows stood after the step before.
pub(super) type Seen = BTreeMap<TaskId, Vec<Row>>;

impl World {
    pub(super) fn check(&mut self) {
        if self.broken.is_none() {
            self.broken = self.first_broken().err();
        }
        for (id, task) in &self.database.tasks {
            // Most steps change no row.
            if self.seen.get(id) != Some(&task.runs) {
                self.seen.insert(*id, task.runs.clone());
            }
        }
    }

    fn first_broken(&self) -> Result<(), String> {
        for (id, before) in &self.seen {
            let Some(task) = self.database.tasks.get(id) else {
                return Err(format!("task {id} was accepted and is gone"));
            };
            for (index, (before, now)) in (0..).zip(before.iter().zip(&task.runs)) {
                unchanged(RunKey { task: *id, index }, before, now)?;
            }
        }
        for (id, task) in &self.database.tasks {
            self.check_task(*id, task)?;
        }
        Ok(())
    }

    fn check_task(&self, id: TaskId, task: &Task) -> Result<(), String> {
        for (index, row) in (0..).zip(&task.runs) {
            let run = RunKey { task: id, index };
            self.check_run(run, row, task.new.options.retries)?;
        }
        let open = task.counts().open();
        if (open == 0) != task.finished_at.is_some() {
            return Err(format!("task {id} has {open} open runs and says otherwise"));
        }
        let said = self.database.said_done.get(&id).copied().unwrap_or(0);
        if said != u32::from(open == 0) {
            return Err(format!("task {id} was said to be done {said} times"));
        }
        Ok(())
    }

    fn check_run(&self, run: RunKey, row: &Row, retries: u32) -> Result<(), String> {
        let numbers = row.past.iter().map(|(attempt, _)| *attempt);
        if !numbers.eq(1..row.attempt) {
            return Err(format!(
                "run {run} is in attempt {}, after {:?}",
                row.attempt, row.past
            ));
        }
        let deeds = self.hosts.range((run, 0)..=(run, u32::MAX));
        let mut begun = 0;
        for (&(run, attempt), deed) in deeds {
            let work = Work { run, attempt };
            if deed.begins > 1 {
                return Err(format!("{work} began {} times", deed.begins));
            }
            if attempt > row.attempt && deed.begins > 0 {
                return Err(format!("{work} began, which there is not"));
            }
            begun += deed.begins;
        }
        if begun > retries + 1 {
            return Err(format!(
                "run {run} began in {begun} attempts, with {retries} retries"
            ));
        }
        for (attempt, state) in &row.past {
            if matches!(state, RunState::Succeeded | RunState::Cancelled) {
                return Err(format!(
                    "run {run} is tried again, and attempt {attempt} had {state}"
                ));
            }
            self.check_end_of(
                Work {
                    run,
                    attempt: *attempt,
                },
                *state,
                None,
            )?;
        }
        let attempt = row.attempt;
        self.check_end_of(Work { run, attempt }, row.state, Some(row))
    }

    /// Compares what is said of an attempt with what its host knows.
    fn check_end_of(&self, work: Work, state: RunState, row: Option<&Row>) -> Result<(), String> {
        let deed = self
            .hosts
            .get(&(work.run, work.attempt))
            .copied()
            .unwrap_or_default();
        let started = || {
            let mut starts = self.database.starts.iter();
            starts.any(|(run, attempt, _)| (*run, *attempt) == (work.run, work.attempt))
        };
        let wrong = match state {
            RunState::Queued => deed.begins > 0,
            RunState::Started => !started(),
            RunState::Succeeded => !is_whole(deed, row),
            RunState::Failed => {
                row.is_some_and(|row| row.end.as_ref().is_some_and(|end| !agrees(deed, end.exit_code)))
            }
            RunState::TimedOut | RunState::Cancelled => deed.running,
            RunState::Lost => !started(),
            RunState::Unreachable | RunState::Expired | RunState::Skipped => deed.begins > 0,
        };
        if wrong {
            return Err(format!("{work} is {state}, and its host says: {}", words(deed)));
        }
        Ok(())
    }

    pub(super) fn check_end(&mut self) {
        self.check();
        for (id, task) in &self.database.tasks {
            for (index, row) in (0..).zip(&task.runs) {
                if !row.state.is_terminal() && self.broken.is_none() {
                    let run = RunKey { task: *id, index };
                    self.broken = Some(format!("run {run} never ends: it stays {}", row.state));
                }
            }
        }
    }
}

fn unchanged(run: RunKey, before: &Row, now: &Row) -> Result<(), String> {
    if before.state.is_terminal() && before != now {
        return Err(format!("run {run} was {} and is {}", before.state, now.state));
    }
    if now.attempt < before.attempt || !now.past.starts_with(&before.past) {
        return Err(format!("run {run} forgets its history"));
    }
    if now.attempt == before.attempt && before.state == RunState::Started && now.state == RunState::Queued {
        return Err(format!(
            "run {run} had started and waits again in the same attempt"
        ));
    }
    Ok(())
}

fn is_whole(deed: Deed, row: Option<&Row>) -> bool {
    let kept = row.and_then(|row| row.end.as_ref()).map(|end| end.stdout_bytes);
    deed.begins == 1 && !deed.running && deed.ended == Some(0) && kept == Some(deed.printed)
}

fn agrees(deed: Deed, code: Option<i32>) -> bool {
    code.is_none_or(|code| deed.ended.map(i32::from) == Some(code))
}

fn words(deed: Deed) -> String {
    let now = match (deed.running, deed.ended) {
        (true, _) => "it runs".to_owned(),
        (false, Some(code)) => format!("it exited {code}"),
        (false, None) => "it does not run".to_owned(),
    };
    format!(
        "begun {} times, {now}, printed {} times",
        deed.begins, deed.printed
    )
}
