//! Stories of tasks ([`muster_model::stories`]), told to the database: whatever a story asks of it, it answers as
//! the model does, and its rows stand as the model's after every step.
//!
//! The processes of a story have the database open twice. What several of them ask at the same moment is sent at
//! the same moment through both, and some order of the calls must explain the answers. A restart opens the
//! database again, with or without closing it before.

use futures_util::future::join_all;
use futures_util::poll;
use muster_model::run::PastAttempt;
use muster_model::stories::{
    Asked, Broken, Call, Committed, Failure, Hunt, NewTask, Rules, Step, Story, Task, World as Model,
};
use muster_model::{RunRecord, TaskId, Transition};

use super::World;
use super::world::{key, new_task};
use crate::error::Error;
use crate::open::Opened;
use crate::types::{RunFilter, Submitted, TaskFilter};
use muster_model::run::Applied;

/// Plays stories on a database.
///
/// # Errors
///
/// The shortest story in which the database does otherwise than the model.
pub async fn play(world: World, seed: u64, stories: u64) -> Result<(), Box<Failure>> {
    let mut hunt = Hunt::new(seed, stories);
    let mut stage = Stage::open(world).await;
    while let Some(story) = hunt.next() {
        let result = stage.play(&story).await;
        hunt.tell(result);
    }
    stage.close().await;
    hunt.end()
}

/// A database, opened twice.
struct Stage {
    world: World,
    handles: Vec<Opened>,
    plays: u64,
    reopened: u64,
}

/// What is not as the model has it.
type Differs = String;

impl Stage {
    async fn open(world: World) -> Self {
        let handles = vec![world.open().await, world.open().await];
        Self {
            world,
            handles,
            plays: 0,
            reopened: 0,
        }
    }

    async fn close(&self) {
        for handle in &self.handles {
            handle.store.close().await;
        }
    }

    /// Opens the database again, every other time as after a crash: without having closed it.
    async fn reopen(&mut self) {
        self.reopened += 1;
        if self.reopened.is_multiple_of(2) {
            self.close().await;
        }
        self.handles.clear();
        self.handles = vec![self.world.open().await, self.world.open().await];
    }

    async fn play(&mut self, story: &Story) -> Result<(), Broken> {
        self.plays += 1;
        let newest = TaskFilter {
            limit: 1,
            ..TaskFilter::default()
        };
        let newest = self.handles[0]
            .store
            .tasks(newest)
            .await
            .expect("the newest task");
        let first = newest.first().map_or(1, |task| task.id.0 + 1);
        let name = format!("{}.", self.plays);
        let mut model = Model::new(Rules::OURS, story.shape, first, &name);
        for step in &story.steps {
            self.step(&mut model, *step, &name).await?;
        }
        while let Some(step) = model.way_home() {
            self.step(&mut model, step, &name).await?;
        }
        model.end()
    }

    async fn step(&mut self, model: &mut Model, step: Step, name: &str) -> Result<(), Broken> {
        let race = matches!(step, Step::Commit { all: true, how, .. } if how != Committed::Failed);
        let raced = race && model.waiting().len() > 1;
        if raced {
            let order = self.race(model).await.map_err(|why| model.breaks(&why))?;
            model.reorder(&order);
        }
        model.step(step)?;
        let asked = model.asked().to_vec();
        let mut asked = asked.as_slice();
        if raced {
            asked = asked.get(1..).unwrap_or_default();
        }
        self.answer_all(model, asked, name)
            .await
            .map_err(|why| model.breaks(&why))?;
        for id in touched(model, step) {
            let task = &model.tasks()[&id];
            self.compare(id, task).await.map_err(|why| model.breaks(&why))?;
        }
        Ok(())
    }

    /// Sends all waiting calls at the same moment; returns the order of them that explains the answers.
    async fn race(&self, model: &Model) -> Result<Vec<usize>, Differs> {
        let calls: Vec<Call> = model.waiting().to_vec();
        let sent = calls.iter().map(|call| {
            let handle = &self.handles[call.by % self.handles.len()];
            handle.store.apply(call.changes.clone())
        });
        let mut answers = Vec::new();
        for answer in join_all(sent).await {
            answers.push(answer.map_err(failed)?);
        }
        let mut order = Vec::new();
        if explain(model, &answers, &mut order) {
            return Ok(order);
        }
        Err(format!(
            "calls at the same moment got answers that no order explains: {answers:?} to {calls:?}"
        ))
    }

    async fn answer_all(&mut self, model: &Model, mut asked: &[Asked], name: &str) -> Result<(), Differs> {
        while let Some((first, rest)) = asked.split_first() {
            asked = rest;
            match (first, rest.first()) {
                (Asked::Apply { calls, .. }, Some(Asked::Reopened)) => {
                    self.last_words(calls).await?;
                    for (id, task) in model.tasks() {
                        // Rows may have gone on by the sweep that follows: that comes as the next questions.
                        if rest.len() == 1 {
                            self.compare(*id, task).await?;
                        }
                    }
                }
                (Asked::Reopened, _) => self.reopen().await,
                (other, _) => self.answer(other, name).await?,
            }
        }
        Ok(())
    }

    /// Sends calls and goes away before they are answered: what was sent is done when the database is closed.
    async fn last_words(&mut self, calls: &[Vec<Transition>]) -> Result<(), Differs> {
        let store = &self.handles[0].store;
        let mut sent: Vec<_> = calls.iter().map(|changes| store.apply(changes.clone())).collect();
        for call in &mut sent {
            let _ = poll!(call);
        }
        drop(sent);
        self.close().await;
        Ok(())
    }

    async fn answer(&self, asked: &Asked, name: &str) -> Result<(), Differs> {
        let store = &self.handles[0].store;
        match asked {
            Asked::Submit { task, id, before } => {
                let got = store.submit(to_store(task)).await.map_err(failed)?;
                let was_before = matches!(got, Submitted::Before(_));
                same("a submit", &(got.into_task().id, was_before), &(*id, *before))
            }
            Asked::Apply { calls, answers } => {
                let sent = calls.iter().map(|changes| store.apply(changes.clone()));
                for (got, right) in join_all(sent).await.into_iter().zip(answers) {
                    same("changes", &got.map_err(failed)?, right)?;
                }
                Ok(())
            }
            Asked::Cancel { task, at, noted } => {
                let got = store.request_cancel(*task, *at).await.map_err(failed)?;
                same("a cancel", &got, noted)
            }
            Asked::Adopt { task, from, to, got } => {
                let answer = store.adopt(*task, from, to).await.map_err(failed)?;
                same("an adoption", &answer, got)
            }
            Asked::Heartbeat {
                executor,
                home,
                until,
            } => store.heartbeat(executor, home, 1, *until).await.map_err(failed),
            Asked::Forget { executor } => store.forget_executor(executor).await.map_err(failed),
            Asked::Executors(right) => {
                let mut got = store.executors().await.map_err(failed)?;
                got.retain(|executor| executor.id.0.starts_with(name));
                let mut got: Vec<_> = got.into_iter().map(|one| (one.id, one.until)).collect();
                got.sort();
                same("the executors", &got, right)
            }
            Asked::OpenTasks(right) => {
                let mut got = store.open_tasks().await.map_err(failed)?;
                got.retain(|(_, dispatcher)| dispatcher.0.starts_with(name));
                same("the open tasks", &got, right)
            }
            Asked::OpenRuns(task, right) => {
                let got = store.open_runs(*task, 0, 1000).await.map_err(failed)?;
                let got = got.into_iter();
                let got: Vec<_> = got
                    .map(|run| (run.key.index, run.state, run.attempt, run.executor))
                    .collect();
                same("the open runs", &got, right)
            }
            Asked::Reopened => Ok(()),
        }
    }

    /// Compares a task and its runs with the model's.
    async fn compare(&self, id: TaskId, right: &Task) -> Result<(), Differs> {
        // Another handle than the one that wrote.
        let store = &self.handles[1].store;
        let task = store.task(id).await.map_err(failed)?;
        let task = task.ok_or_else(|| format!("task {id} is gone"))?;
        let stands = (task.counts, task.finished_at, task.cancelled_at);
        same(
            &format!("task {id}"),
            &stands,
            &(right.counts(), right.finished_at, right.cancelled_at),
        )?;
        let runs = store.runs(id, RunFilter::default()).await.map_err(failed)?;
        same(&format!("the runs of task {id}"), &runs.len(), &right.runs.len())?;
        for ((index, row), run) in (0..).zip(&right.runs).zip(&runs) {
            let past: Vec<_> = run.history.iter().map(past).collect();
            let end = row.end.as_ref();
            let stands = (key(id, index), row.state, row.attempt, &row.executor, &row.past);
            same(
                "a run",
                &(run.key, run.state, run.attempt, &run.executor, &past),
                &stands,
            )?;
            let ended = end.map(|end| (end.exit_code, end.reason, end.stdout_bytes));
            same(&format!("the end of run {}", run.key), &ended_as(run), &ended)?;
        }
        Ok(())
    }
}

/// Returns the tasks that a step has changed; all of them where the database was opened again.
fn touched(model: &Model, step: Step) -> Vec<TaskId> {
    if matches!(step, Step::Restart { .. }) {
        return model.tasks().keys().copied().collect();
    }
    let mut all: Vec<TaskId> = Vec::new();
    for asked in model.asked() {
        match asked {
            Asked::Submit { id, .. } => all.push(*id),
            Asked::Cancel { task, .. } | Asked::Adopt { task, .. } => all.push(*task),
            Asked::Apply { calls, .. } => all.extend(calls.iter().flatten().map(|change| change.run.task)),
            _ => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Looks for an order of the waiting calls in which the model gives these answers.
fn explain(model: &Model, answers: &[Vec<Applied>], order: &mut Vec<usize>) -> bool {
    if order.len() == answers.len() {
        return true;
    }
    for place in 0..answers.len() {
        if order.contains(&place) {
            continue;
        }
        order.push(place);
        let foretold = model.foretell(order);
        if foretold.last() == Some(&answers[place]) && explain(model, answers, order) {
            return true;
        }
        order.pop();
    }
    false
}

fn to_store(task: &NewTask) -> crate::types::NewTask {
    crate::types::NewTask {
        options: task.options.clone(),
        retry_of: task.retry_of,
        dispatcher: task.dispatcher.clone(),
        created_at: task.at,
        ..new_task(&task.request, task.hosts)
    }
}

fn past(attempt: &PastAttempt) -> (u32, muster_model::RunState) {
    (attempt.attempt, attempt.state)
}

/// Returns what is kept of a run's end, where it has ended.
fn ended_as(run: &RunRecord) -> Option<(Option<i32>, Option<muster_model::Unreachable>, u64)> {
    run.finished_at
        .map(|_| (run.exit_code, run.reason, run.stdout_bytes))
}

fn failed(error: Error) -> Differs {
    format!("the database failed: {error}")
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, right: &T) -> Result<(), Differs> {
    if got == right {
        return Ok(());
    }
    Err(format!("{what}: the database says {got:?}, the model {right:?}"))
}
