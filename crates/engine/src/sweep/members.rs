//! Several servers on one database: each says that it is there, looks at the others, and buries those that are not.
//!
//! One of them leads: it takes over what the dead and the leaving have left. It leads as long as its own lease holds,
//! so the lead needs no lease of its own; whoever buries the leader makes room for the next one, in a greater term.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use muster_model::{ExecutorId, Problem, Timestamp};
use muster_queue::Message;
use muster_runtime::{clock, crash_point};
use muster_store::{Beat, Member};

use super::lease::Standing;
use super::locks::Duty;
use crate::core::{CANCELS, Core};
use crate::fault;

/// The work that one server does at a time.
pub(crate) const SWEEP: &str = "sweep";
/// The leader sweeps after so long even where nobody came or went, and what is live here is compared with the database.
const AT_LEAST: Duration = Duration::from_secs(30);
/// How long those that are gone are remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What was done at earlier looks.
#[derive(Default)]
pub(crate) struct Swept {
    /// Who was not quite there then: gone, or leaving.
    left: BTreeSet<(ExecutorId, bool)>,
    /// In which term, and when.
    term: i64,
    at: Duration,
    /// When what is live here was last compared with the database.
    compared_at: Duration,
}

impl Core {
    /// Enters this server among those that share the database, and takes over what is there to be taken over.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<(), Problem> {
        if let Err(problem) = self.vault.look().await {
            tracing::warn!(%problem, "passwords of tasks cannot be shared with other servers");
        }
        self.beat().await?;
        let mut swept = Swept::default();
        self.look_at_others(&mut swept).await?;
        self.tell_others().await;
        let core = Arc::clone(self);
        self.tasks
            .spawn("say that we are here", async move { core.keep_beating().await });
        let core = Arc::clone(self);
        self.tasks.spawn("look at the others", async move {
            core.keep_looking(swept).await;
        });
        Ok(())
    }

    fn beat_now(&self, lease: Duration) -> Beat {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Beat {
            until: clock::now().after(lease),
            runs: small(self.active.count()),
            tasks: small(self.hub.open().len() as u64),
            vault_key: self.vault.key_ids().unwrap_or_default(),
            // Said with each sign of life: the others hear of it though the farewell was lost.
            leaving: self.tasks.intake().is_cancelled(),
        }
    }

    /// Renews the lease, or enters anew where this server was given up.
    pub(crate) async fn beat(self: &Arc<Self>) -> Result<(), Problem> {
        let Some(lease) = self.lease.shared() else {
            return Ok(());
        };
        let _turn = self.lease.beating.lock().await;
        let members = &self.rooms.database.members;
        let standing = self.lease.standing();
        let begun = clock::monotonic();
        if standing.entered.load(Ordering::Acquire) && !standing.fenced.is_cancelled() {
            let renewed = members.renew(&standing.id, self.beat_now(lease)).await;
            if renewed.map_err(|error| fault::of_store(&error))? {
                standing.renewed(begun, lease);
                self.lease.note_renewal(clock::now());
                return Ok(());
            }
            self.was_buried(&standing);
        }
        if self.tasks.intake().is_cancelled() {
            return Ok(());
        }
        let standing = match standing.fenced.is_cancelled() {
            true => self.lease.begin_anew()?,
            false => standing,
        };
        let member = Member {
            id: standing.id.clone(),
            home: self.lease.home().to_owned(),
            machine: self.settings.machine.clone(),
            pid: std::process::id(),
            roles: self.settings.roles.to_string(),
            version: self.settings.version.clone(),
            since: self.since,
            lease,
            slots: u32::try_from(self.settings.slots).unwrap_or(u32::MAX),
            beat: self.beat_now(lease),
            gone_at: None,
        };
        let entered = members.enter(member).await;
        match entered {
            Ok(()) => standing.entered.store(true, Ordering::Release),
            // An answer that was lost on the way: the id is this process's alone. It may have been buried since.
            Err(error) if error.kind == muster_model::ErrorKind::AlreadyExists => {
                standing.entered.store(true, Ordering::Release);
                let renewed = members.renew(&standing.id, self.beat_now(lease)).await;
                if !renewed.map_err(|error| fault::of_store(&error))? {
                    self.was_buried(&standing);
                    return Ok(());
                }
            }
            Err(error) => return Err(fault::of_store(&error)),
        }
        standing.renewed(begun, lease);
        self.lease.note_renewal(clock::now());
        crash_point!(LeaseWritten);
        Ok(())
    }

    /// Others have given this server up, and taken over what it had in hand.
    fn was_buried(&self, standing: &Standing) {
        tracing::warn!(
            server = %standing.id,
            "this server was silent for too long, and others have taken over what it had in hand: its commands are \
             ended, and it goes on under a new id"
        );
        standing.fenced.cancel();
        standing.locks.release_all();
        self.lease.leads.store(0, Ordering::Release);
        for live in self.hub.open() {
            live.end_dispatch();
        }
    }

    async fn keep_beating(self: Arc<Self>) {
        let Some(lease) = self.lease.shared() else { return };
        let mut wait = lease / 4;
        loop {
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = self.lease.over.cancelled() => return,
            }
            wait = match self.beat().await {
                Ok(()) => lease / 4,
                Err(problem) if self.met_away(&problem) => {
                    tokio::select! {
                        () = self.outage.over() => {}
                        () = self.lease.over.cancelled() => return,
                    }
                    // The first thing that is written when the database is back.
                    Duration::from_millis(10)
                }
                Err(problem) => {
                    tracing::warn!(%problem, "the lease could not be renewed");
                    lease / 8
                }
            };
        }
    }

    async fn keep_looking(self: Arc<Self>, mut swept: Swept) {
        let Some(lease) = self.lease.shared() else { return };
        loop {
            tokio::select! {
                () = clock::sleep(lease / 5) => {}
                () = self.lease.nudged.notified() => {}
                () = self.lease.over.cancelled() => return,
            }
            if let Err(problem) = self.look_at_others(&mut swept).await {
                if !self.met_away(&problem) {
                    tracing::warn!(%problem, "the other servers could not be looked at");
                }
                tokio::select! {
                    () = self.outage.over() => {}
                    () = self.lease.over.cancelled() => return,
                }
            }
        }
    }

    /// Looks who is there, buries who is not, and sweeps where this server leads.
    async fn look_at_others(self: &Arc<Self>, swept: &mut Swept) -> Result<(), Problem> {
        let Some(lease) = self.lease.shared() else {
            return Ok(());
        };
        let store = &self.rooms.database.members;
        let mut members = store.members().await.map_err(|error| fault::of_store(&error))?;
        let standing = self.lease.standing();
        self.note_silence(&members, lease);
        self.others.note(&members, &standing.id);
        self.note_whether_alone(&members, &standing.id).await;
        if self.active.count() > 0 {
            self.hear_of_cancels_by_the_database().await?;
        }
        self.compare_now_and_then(swept).await?;
        if self.tasks.intake().is_cancelled() {
            return Ok(());
        }
        let lead = store
            .leadership(SWEEP)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let mut term = lead.as_ref().map_or(0, |lead| lead.term);
        let mut leader = lead.and_then(|lead| lead.holder);
        let mut buried = false;
        for member in &mut members {
            if member.gone_at.is_some() || member.id == standing.id || !self.seems_dead(member) {
                continue;
            }
            // Whoever is not heard itself is no judge of others.
            if member.home != self.lease.home() && !standing.holds() {
                continue;
            }
            // One buries the others; whoever sees that one dead buries it.
            let is_leader = leader.as_ref() == Some(&member.id);
            let local = member.home == self.lease.home();
            if local || is_leader || leader.as_ref() == Some(&standing.id) || leader.is_none() {
                let seen = (!local).then_some(member.beat.until);
                let at = clock::now();
                let gone = store.bury(&member.id, seen, at).await;
                if gone.map_err(|error| fault::of_store(&error))? {
                    tracing::warn!(server = %member.id, machine = member.machine, "a server is dead");
                    member.gone_at = Some(at);
                    buried = true;
                }
            }
        }
        let leads_well = |member: &Member| {
            leader.as_ref() == Some(&member.id) && member.gone_at.is_none() && !member.beat.leaving
        };
        if !members.iter().any(leads_well) {
            leader = None;
            if standing.holds()
                && store
                    .lead(SWEEP, &standing.id, term)
                    .await
                    .map_err(|error| fault::of_store(&error))?
            {
                term += 1;
                tracing::info!(term, "this server takes over what others leave");
                leader = Some(standing.id.clone());
            }
        }
        let leads = leader.as_ref() == Some(&standing.id);
        self.lease
            .leads
            .store(if leads { term } else { 0 }, Ordering::Release);
        if leads && standing.holds() {
            self.sweep_where_needed(&members, swept).await?;
        }
        if buried && !leads {
            self.tell_others().await;
        }
        Ok(())
    }

    fn note_silence(&self, members: &[Member], lease: Duration) {
        let mut silence = self.lease.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic();
        for member in members.iter().filter(|member| member.gone_at.is_none()) {
            silence.look(
                &member.id,
                member.beat.until,
                self.outage.times(),
                now,
                lease * 2 / 5,
            );
        }
        let there: BTreeSet<&ExecutorId> = members.iter().map(|member| &member.id).collect();
        silence.retain(|id| there.contains(id));
    }

    /// Tells whether a server is dead, as far as can be seen from here.
    fn seems_dead(&self, member: &Member) -> bool {
        if member.home == self.lease.home() {
            return self.lease.standing().locks.is_dead(&member.id, Duty::Execute);
        }
        let silence = self.lease.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.of(&member.id).is_some_and(|silent| silent > member.lease)
    }

    async fn note_whether_alone(self: &Arc<Self>, members: &[Member], me: &ExecutorId) {
        let alone = !members
            .iter()
            .any(|other| other.gone_at.is_none() && other.id != *me);
        if alone && !self.lease.alone() {
            // What the others did last is read before nobody looks for it any more.
            self.reconcile_all().await;
        }
        self.lease.set_alone(alone);
    }

    /// A task of others that is live here goes when its end is heard: an end that was missed is found here. Those that
    /// are dispatched here are looked after by their dispatchers.
    async fn compare_now_and_then(self: &Arc<Self>, swept: &mut Swept) -> Result<(), Problem> {
        if self.lease.alone() || clock::monotonic() < swept.compared_at + AT_LEAST {
            return Ok(());
        }
        swept.compared_at = clock::monotonic();
        let known = self.hub.known();
        for live in known.into_iter().filter(|live| !live.is_dispatched()) {
            self.reconcile(&live).await?;
        }
        Ok(())
    }

    /// A cancel whose message was lost is found where everything is written down.
    pub(crate) async fn hear_of_cancels_by_the_database(&self) -> Result<(), Problem> {
        let cancelled = self.rooms.database.members.cancelled().await;
        for task in cancelled.map_err(|error| fault::of_store(&error))? {
            if let Some(live) = self.hub.find(task) {
                live.cancel.cancel();
            }
        }
        Ok(())
    }

    async fn sweep_where_needed(
        self: &Arc<Self>,
        members: &[Member],
        swept: &mut Swept,
    ) -> Result<(), Problem> {
        let left: BTreeSet<(ExecutorId, bool)> = members
            .iter()
            .filter(|member| member.gone_at.is_some() || member.beat.leaving)
            .map(|member| (member.id.clone(), member.gone_at.is_some()))
            .collect();
        let term = self.lease.leads.load(Ordering::Acquire);
        let due = clock::monotonic() >= swept.at + AT_LEAST;
        let again = self.lease.must_sweep();
        if left == swept.left && term == swept.term && !due && !again {
            return Ok(());
        }
        self.sweep_members(members)
            .await
            .inspect_err(|_| self.lease.sweep_again())?;
        let remembered = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp(clock::now().0 - remembered);
        if members
            .iter()
            .any(|member| member.gone_at.is_some_and(|at| at < before))
        {
            let forgotten = self.rooms.database.members.forget_gone(before).await;
            forgotten.map_err(|error| fault::of_store(&error))?;
        }
        *swept = Swept {
            left,
            term,
            at: clock::monotonic(),
            compared_at: swept.compared_at,
        };
        Ok(())
    }

    /// Tells every server that somebody came or went, so that they look now.
    pub(crate) async fn tell_others(self: &Arc<Self>) {
        let message = Message::new("", Vec::new());
        if let Err(error) = self.rooms.queue.publish(CANCELS, vec![message]).await
            && !self.found_queue_away(&error)
        {
            tracing::debug!(%error, "the other servers were not told");
        }
    }

    /// Gives away what this server dispatches and leads: others take it up at once.
    pub(crate) async fn hand_over(self: &Arc<Self>) {
        self.lease.release_dispatch();
        if self.lease.shared().is_none() {
            return;
        }
        let id = self.lease.executor();
        let members = &self.rooms.database.members;
        let term = self.lease.leads.swap(0, Ordering::AcqRel);
        // Each sign of life says so from now on; this one says it now.
        if let Err(problem) = self.beat().await {
            tracing::debug!(%problem, "the others do not know that this server leaves");
        }
        if term > 0
            && let Err(error) = members.resign(SWEEP, &id, term).await
        {
            tracing::debug!(%error, "the others do not know that this server leads no more");
        }
        self.tell_others().await;
    }

    /// Takes this server off the record: it has nothing more in hand.
    pub(crate) async fn sign_off(self: &Arc<Self>) {
        self.lease.over.cancel();
        let id = self.lease.executor();
        let database = &self.rooms.database;
        let gone = match self.lease.shared() {
            Some(_) => database.members.bury(&id, None, clock::now()).await.map(drop),
            None => database.store.forget_executor(&id).await,
        };
        match gone {
            Ok(()) if self.lease.shared().is_some() => self.tell_others().await,
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "this executor is still on record"),
        }
    }
}
