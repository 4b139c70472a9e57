//! The open tasks that this process knows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_model::TaskId;
use muster_model::event::Notice;
use tokio::sync::broadcast;

use super::live::LiveTask;

/// Done tasks whose feeds are kept, so that a follower whose connection broke can resume.
const KEPT_DONE: usize = 32;
/// And no more than they take together, in bytes, roughly.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// How long a follower or a dispatcher waits for a notice before it looks into the database itself.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many ends of tasks are kept for one who waits; who falls behind looks into the database.
const ENDS: usize = 256;

/// The open tasks of this process.
pub(crate) struct Hub {
    tasks: Mutex<HashMap<TaskId, Arc<LiveTask>>>,
    done: Mutex<VecDeque<(TaskId, usize)>>,
    ends: broadcast::Sender<TaskId>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            done: Mutex::default(),
            ends: broadcast::Sender::new(ENDS),
        }
    }
}

impl Hub {
    /// Returns a receiver of the ends of all tasks that this process hears of.
    pub(crate) fn ends(&self) -> broadcast::Receiver<TaskId> {
        self.ends.subscribe()
    }

    /// Adds a task; where it is known already, returns the known one.
    pub(crate) fn insert(&self, task: LiveTask) -> Arc<LiveTask> {
        let mut tasks = self.lock();
        Arc::clone(tasks.entry(task.id()).or_insert_with(|| Arc::new(task)))
    }

    pub(crate) fn find(&self, id: TaskId) -> Option<Arc<LiveTask>> {
        self.lock().get(&id).cloned()
    }

    /// Returns the tasks that are dispatched here and not done.
    pub(crate) fn open(&self) -> Vec<Arc<LiveTask>> {
        let tasks = self.lock();
        let open = tasks
            .values()
            .filter(|task| task.is_dispatched() && !task.is_done());
        open.cloned().collect()
    }

    /// Returns all tasks that are known here and not done: dispatched here, executed here, or watched.
    pub(crate) fn known(&self) -> Vec<Arc<LiveTask>> {
        let tasks = self.lock();
        tasks.values().filter(|task| !task.is_done()).cloned().collect()
    }

    /// Hands notices to their tasks, each with those of the same task that follow it, so that who waits is woken
    /// once. One for a task that is not known here is of no interest.
    pub(crate) fn push(&self, notices: Vec<Notice>) {
        let mut notices = notices.into_iter().peekable();
        while let Some(first) = notices.next() {
            let id = first.task();
            let following = std::iter::from_fn(|| notices.next_if(|next| next.task() == id));
            let mut ended = false;
            let of_one = std::iter::once(first)
                .chain(following)
                .inspect(|notice| ended |= matches!(notice, Notice::Done { .. }));
            match self.find(id) {
                Some(task) => {
                    task.push(of_one);
                    // Who dispatches a task lets it go itself.
                    if task.is_done() && !task.is_dispatched() {
                        self.retire(&task);
                    }
                }
                None => of_one.for_each(drop),
            }
            if ended {
                // Nobody may be waiting.
                let _ = self.ends.send(id);
            }
        }
    }

    /// Keeps a done task for followers for a while, and lets the oldest of those go.
    pub(crate) fn retire(&self, task: &LiveTask) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.iter().any(|(id, _)| *id == task.id()) {
            return;
        }
        done.push_back((task.id(), task.weight()));
        let mut weight: usize = done.iter().map(|(_, weight)| weight).sum();
        while done.len() > KEPT_DONE || weight > KEPT_BYTES {
            let Some((oldest, its)) = done.pop_front() else {
                break;
            };
            weight -= its;
            self.lock().remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Arc<LiveTask>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
