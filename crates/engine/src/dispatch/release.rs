//! One dispatcher for each open task: waves, concurrency, failures and expiry.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use muster_model::policy::{self, Stop};
use muster_model::{Counts, Timestamp};
use muster_runtime::clock;
use tokio::sync::watch;
use tracing::Instrument;

use super::lost::Net;
use super::publish::expiry;
use crate::core::Core;
use crate::follow::{LOOK_AGAIN, LiveTask};

/// At most so many runs of a task are in the queue at a time, so that its memory does not grow with the
/// task.
const WINDOW: usize = 20_000;

/// What a dispatcher does next.
enum Next {
    Release(Vec<(u32, u32)>),
    Wait,
    Stop(Stop),
    Done,
}

/// What has been released of a task.
struct Progress {
    waves: Vec<Range<usize>>,
    wave: usize,
    /// The next host of the wave that may be released.
    next: usize,
    /// When (on the process's own clock) the database is looked at for what nobody told.
    look_at: Duration,
    /// How often the queue had gone away when this was released.
    queue_outages: u64,
    net: Net,
}

impl Progress {
    /// Begins at the beginning.
    fn of(live: &LiveTask, queue_outages: u64) -> Self {
        Self {
            queue_outages,
            waves: crate::plan::waves(&live.record.options, live.hosts.len()),
            wave: 0,
            next: 0,
            look_at: clock::monotonic() + LOOK_AGAIN,
            net: Net::default(),
        }
    }

    /// Returns the hosts that were released, those of waves that are over apart.
    fn released(&self) -> Range<usize> {
        let start = self.waves.get(self.wave).map_or(self.next, |wave| wave.start);
        start..self.next
    }

    /// Begins the wave again where the queue has been away: what was in it may be lost. What is there twice does no
    /// harm, since only one start is taken.
    fn note_outages(&mut self, queue_outages: u64) {
        if self.queue_outages != queue_outages {
            self.queue_outages = queue_outages;
            self.next = 0;
        }
    }
}

impl Core {
    /// Starts to dispatch a task in the background.
    pub(crate) fn dispatch(self: &Arc<Self>, live: Arc<LiveTask>) {
        let Some(turn) = live.take_dispatch() else {
            return;
        };
        let core = Arc::clone(self);
        self.tasks.spawn("dispatch", async move {
            let task = tracing::info_span!("task", task = %live.id());
            core.drive(live, turn).instrument(task).await;
        });
    }

    async fn drive(self: Arc<Self>, live: Arc<LiveTask>, turn: u64) {
        let mut changed = live.subscribe();
        let mut progress = Progress::of(&live, self.queue_outage.times());
        while live.is_turn(turn) {
            changed.borrow_and_update();
            if !self.queue_outage.is_on() {
                progress.note_outages(self.queue_outage.times());
            }
            match decide(&live, &mut progress, clock::now()) {
                Next::Release(runs) => {
                    // Without a lease that holds, another may be dispatching it by now.
                    if !self.lease.standing().secured(self.tasks.intake()).await {
                        break;
                    }
                    self.publish_work(&live, &runs).await;
                }
                Next::Stop(stop) => {
                    self.settle_queued(&live, stop).await;
                    if self.wait(&live, &mut changed, &mut progress).await.is_break() {
                        break;
                    }
                }
                Next::Wait => {
                    if self.wait(&live, &mut changed, &mut progress).await.is_break() {
                        break;
                    }
                }
                Next::Done => break,
            }
        }
        if live.is_turn(turn) && !live.is_done() {
            live.end_dispatch();
        }
        // This process takes no new work, but its commands may run on for long: it hears of a cancel that
        // another process took.
        while !live.is_done() && self.active.count() > 0 && !live.is_dispatched_anew(turn) {
            tokio::select! {
                () = clock::sleep(LOOK_AGAIN) => self.look(&live).await,
                () = self.tasks.work().cancelled() => break,
            }
        }
        if live.is_done() {
            self.forget_secrets(live.id());
            self.hub.retire(&live);
        }
    }

    async fn look(self: &Arc<Self>, live: &Arc<LiveTask>) {
        if let Err(problem) = self.reconcile(live).await
            && !self.met_away(&problem)
        {
            tracing::warn!(task = %live.id(), %problem, "the task could not be read");
        }
    }

    /// Waits for a change of the task; breaks when no new work is to be handed out.
    async fn wait(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        changed: &mut watch::Receiver<u64>,
        progress: &mut Progress,
    ) -> ControlFlow<()> {
        let cancelled = async {
            if live.cancel.is_cancelled() {
                std::future::pending::<()>().await;
            }
            live.cancel.cancelled().await;
        };
        let unnoticed = clock::sleep(progress.look_at.saturating_sub(clock::monotonic()));
        tokio::select! {
            _ = changed.changed() => {}
            () = expiry(live) => {}
            () = cancelled => {}
            () = self.queue_outage.over_since(progress.queue_outages) => {}
            () = unnoticed => {
                self.look(live).await;
                let released = progress.released();
                self.publish_lost(live, released, &mut progress.net).await;
                // Only a task whose runs are partly in other hands often changes without a notice here.
                let seldom = self.lease.alone() && progress.net.is_empty();
                let pause = if seldom { LOOK_AGAIN * 5 } else { LOOK_AGAIN };
                progress.look_at = clock::monotonic() + pause;
            }
            () = self.tasks.intake().cancelled() => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

/// Decides what to do with a task as it stands.
fn decide(live: &LiveTask, progress: &mut Progress, now: Timestamp) -> Next {
    let counts = live.counts();
    if counts.open() == 0 {
        return if live.is_done() { Next::Done } else { Next::Wait };
    }
    if counts.queued == 0 {
        return Next::Wait;
    }
    if let Some(stop) = stopped(live, now) {
        return Next::Stop(stop);
    }
    let Some(mut wave) = progress.waves.get(progress.wave).cloned() else {
        return Next::Wait;
    };
    let in_hand = loop {
        // In a task that was taken over, much may be behind us: whole waves, too.
        progress.next = live.first_queued(progress.next.max(wave.start)..wave.end);
        let in_hand = in_hand(live, progress.next, wave.start, counts);
        if progress.next < wave.end || in_hand > 0 {
            break in_hand;
        }
        progress.wave += 1;
        let Some(next) = progress.waves.get(progress.wave) else {
            return Next::Wait;
        };
        wave = next.clone();
    };
    let most = live
        .record
        .options
        .concurrency
        .map_or(WINDOW, |most| most as usize)
        .min(WINDOW);
    let room = most.saturating_sub(in_hand).min(wave.end - progress.next);
    if room == 0 {
        return Next::Wait;
    }
    // A large task goes out in large steps: a step for each run that ends would be a scan for each.
    let worthwhile = room >= (most / 4).min(wave.end - progress.next).clamp(1, 1000);
    if !worthwhile && live.record.options.concurrency.is_none() {
        return Next::Wait;
    }
    let range = progress.next..progress.next + room;
    progress.next = range.end;
    Next::Release(live.queued_in(range))
}

/// Returns how many of the released runs of a wave are not terminal.
///
/// In a task that this process has seen from its beginning, everything terminal was released, and all
/// earlier waves are terminal: then a subtraction tells. Else each run is looked at.
fn in_hand(live: &LiveTask, next: usize, wave_start: usize, counts: Counts) -> usize {
    if live.is_whole() {
        next.saturating_sub((counts.total - counts.open()) as usize)
    } else {
        live.open_in(wave_start..next)
    }
}

/// Returns why a task starts no more runs, where that is so.
pub(super) fn stopped(live: &LiveTask, now: Timestamp) -> Option<Stop> {
    policy::stopped(
        &live.record.options,
        live.counts(),
        live.cancel.is_cancelled(),
        now,
    )
}

#[cfg(test)]
mod tests {
    use muster_model::quantity::Amount;
    use muster_model::{Options, RunState};

    use super::*;

    /// What a dispatcher releases of a task whose runs stand as given.
    fn released(batch: u32, runs: Vec<(RunState, u32)>) -> Option<Vec<(u32, u32)>> {
        let options = Options {
            batch: Some(Amount::Hosts(batch)),
            ..Options::default()
        };
        let live = LiveTask::standing(options, runs);
        let mut progress = Progress::of(&live, 0);
        match decide(&live, &mut progress, Timestamp(0)) {
            Next::Release(runs) => Some(runs),
            Next::Wait | Next::Stop(_) | Next::Done => None,
        }
    }

    #[test]
    fn a_task_that_is_taken_over_goes_on_at_once_with_the_first_wave_that_is_not_over() {
        let mut runs = vec![(RunState::Succeeded, 1); 100];
        runs.resize(200, (RunState::Queued, 1));
        assert_eq!(released(1, runs.clone()), Some(vec![(100, 1)]));
        assert_eq!(
            released(30, runs.clone()),
            Some((100..120).map(|run| (run, 1)).collect())
        );
        // What is in hand holds its wave.
        runs[99] = (RunState::Started, 1);
        assert_eq!(released(1, runs), None);
    }
}
