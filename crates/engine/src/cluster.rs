//! Who is there among the servers that share the database, and what each has in hand.

use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use muster_model::wire::cluster::{ClusterView, ServerState, ServerView};
use muster_model::{ExecutorId, Problem, Role, Roles};
use muster_store::Member;

use crate::core::{Core, EVENTS, WORK};
use crate::fault;
use crate::listen::own_queue;
use crate::sweep::{Duty, SWEEP, process_of};

impl Core {
    /// Returns the servers that share the database.
    pub(crate) async fn cluster(self: &Arc<Self>) -> Result<ClusterView, Problem> {
        let store = &self.rooms.database.members;
        let members = store.members().await.map_err(|error| fault::of_store(&error))?;
        let lead = match self.lease.shared() {
            Some(_) => store
                .leadership(SWEEP)
                .await
                .map_err(|error| fault::of_store(&error))?,
            None => None,
        };
        let me = self.lease.executor();
        let mut servers = vec![self.this_server(&me)];
        for member in members.into_iter().filter(|member| member.id != me) {
            servers.push(self.other_server(member));
        }
        for server in servers
            .iter_mut()
            .filter(|server| server.state != ServerState::Gone)
        {
            let process = process_of(&ExecutorId(server.id.clone()));
            server.notices = self.rooms.queue.depth(&own_queue(EVENTS, &process)).await.ok();
        }
        // Those that are there by their machines; of those that are gone, the last one first.
        servers.sort_by(|one, other| {
            let key = |server: &ServerView| {
                (
                    server.gone_at.map(|at| std::cmp::Reverse(at.0)),
                    server.machine.clone(),
                    server.id.clone(),
                )
            };
            key(one).cmp(&key(other))
        });
        let holder = lead.as_ref().and_then(|lead| lead.holder.clone());
        let there = |id: &ExecutorId| {
            let mut there = servers.iter().filter(|server| server.state != ServerState::Gone);
            there.any(|server| server.id == id.0)
        };
        Ok(ClusterView {
            leader: holder.filter(there).map(|holder| holder.0),
            term: lead.map_or(0, |lead| lead.term),
            queued: self.rooms.queue.depth(WORK).await.ok(),
            servers,
        })
    }

    /// This server says for itself what it has in hand.
    fn this_server(&self, me: &ExecutorId) -> ServerView {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        ServerView {
            id: me.0.clone(),
            machine: self.settings.machine.clone(),
            pid: std::process::id(),
            roles: self.settings.roles.iter().collect(),
            version: self.settings.version.clone(),
            state: match self.tasks.intake().is_cancelled() {
                true => ServerState::Leaving,
                false => ServerState::Here,
            },
            answers: true,
            since: Some(self.since),
            silent_ms: Some(0),
            slots: small(self.settings.slots as u64),
            active_runs: small(self.active.count()),
            open_tasks: small(self.hub.open().len() as u64),
            notices: None,
            gone_at: None,
        }
    }

    fn other_server(&self, member: Member) -> ServerView {
        let silent = {
            let silence = self.lease.silence.lock().unwrap_or_else(PoisonError::into_inner);
            silence.of(&member.id)
        };
        let local = member.home == self.lease.home();
        let is_dead = local && self.lease.standing().locks.is_dead(&member.id, Duty::Execute);
        let state = match silent {
            _ if member.gone_at.is_some() || is_dead => ServerState::Gone,
            _ if member.beat.leaving => ServerState::Leaving,
            // Locks say that it lives.
            _ if local => ServerState::Here,
            Some(silent) if silent > member.lease / 2 => ServerState::Silent,
            _ => ServerState::Here,
        };
        let roles = Roles::from_str(&member.roles).map(|roles| roles.iter().collect::<Vec<Role>>());
        ServerView {
            machine: match member.machine.is_empty() {
                true => member.home,
                false => member.machine,
            },
            id: member.id.0,
            pid: member.pid,
            roles: roles.unwrap_or_default(),
            version: member.version,
            state,
            answers: false,
            since: (member.since.0 > 0).then_some(member.since),
            silent_ms: silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
            slots: member.slots,
            active_runs: member.beat.runs,
            open_tasks: member.beat.tasks,
            notices: None,
            gone_at: member.gone_at,
        }
    }
}
