//! Choosing hosts by what is known of them, and saying why.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::host::HostRecord;
use muster_model::pattern;
use muster_model::problem::Code;
use muster_model::selector::{Gathered, Host, Selector, Subject};
use muster_model::wire::{Explained, Explanations, Targets};
use muster_model::{Problem, Target, Timestamp};
use muster_runtime::clock;

use super::copy::{Fleet, Membership, Said};
use crate::core::Core;

/// A selector with all that it may ask about hosts.
struct Choice {
    selector: Selector,
    fleet: Arc<Fleet>,
    membership: Arc<Membership>,
    now: Timestamp,
}

impl Choice {
    fn fits(&self, host: &dyn Host, said: Option<&Said>) -> bool {
        self.selector.matches(&self.subject(host, said))
    }

    fn subject<'a>(&'a self, host: &'a dyn Host, said: Option<&'a Said>) -> Subject<'a, Arc<str>> {
        Subject {
            host,
            groups: self.membership.groups_of(host.name()),
            facts: said.map(|said| Gathered {
                facts: &said.facts,
                at: said.at,
            }),
            now: self.now,
        }
    }

    /// Does `work` with what is known of a target; of a host that is not in the inventory that is its name.
    fn with<T>(&self, target: &str, work: impl FnOnce(&dyn Host, Option<&Said>) -> T) -> Option<T> {
        let name = match target.parse::<Target>() {
            Ok(target) => target.host,
            Err(_) => return None,
        };
        Some(match self.fleet.host(name.as_str()) {
            Some((host, said)) => work(host, said),
            None => work(&HostRecord::named(name), None),
        })
    }

    /// Returns every host of the inventory that fits, in the order of the pattern language.
    fn of_all(&self) -> Vec<String> {
        let fitting = self.fleet.hosts().filter(|(host, said)| self.fits(*host, *said));
        let mut names: Vec<String> = fitting.map(|(host, _)| host.name().to_owned()).collect();
        pattern::sort(&mut names);
        names
    }

    fn of(&self, hosts: Vec<String>) -> Vec<String> {
        let fits = |host: &String| self.with(host, |host, said| self.fits(host, said)) == Some(true);
        hosts.into_iter().filter(fits).collect()
    }

    /// Returns the comparisons that decided about a target.
    fn why(&self, target: &str) -> (bool, Vec<String>) {
        let told = self.with(target, |host, said| {
            let explained = self.selector.explain(&self.subject(host, said));
            let parts = explained.decisive().into_iter().map(|part| {
                let truth = if part.truth { "yes" } else { "no" };
                match &part.saw {
                    Some(saw) => format!("{truth}: {} ({saw})", part.text),
                    None => format!("{truth}: {}", part.text),
                }
            });
            (explained.truth, parts.collect())
        });
        told.unwrap_or((false, vec!["it is no name of a host".to_owned()]))
    }
}

impl Core {
    /// Returns the copy of the inventory, as the inventory is now.
    pub(super) async fn copied(&self) -> Result<(Arc<Fleet>, Arc<Membership>), Problem> {
        let inventory = self.rooms.database.inventory.as_ref();
        tokio::try_join!(
            self.copy.fleet(inventory, &self.tasks),
            self.copy.membership(inventory, &self.tasks)
        )
    }

    async fn choice(&self, selector: &str) -> Result<Choice, Problem> {
        let selector = Selector::parse(selector).map_err(|error| {
            Problem::new(Code::InvalidSelector, format!("{error}\n{}", error.pointed()))
                .hint("docs/guide/selectors.md tells the fields and the operators")
        })?;
        let (fleet, membership) = self.copied().await?;
        Ok(Choice {
            selector,
            fleet,
            membership,
            now: clock::now(),
        })
    }

    /// Returns those of `hosts` that fit; of the whole inventory without them.
    pub(crate) async fn select(
        &self,
        hosts: Option<Vec<String>>,
        selector: &str,
    ) -> Result<Vec<String>, Problem> {
        let choice = self.choice(selector).await?;
        let work = move || match hosts {
            Some(hosts) => choice.of(hosts),
            None => choice.of_all(),
        };
        // A hundred thousand hosts take their time: not on a thread that others wait for.
        self.tasks
            .blocking("select hosts", work)
            .await
            .ok_or_else(|| Problem::new(Code::Internal, "the selector could not be evaluated: see the log"))
    }

    /// Says of each host that the patterns name which part lets it in or keeps it out.
    pub(crate) async fn explain(&self, targets: &Targets) -> Result<Explanations, Problem> {
        let choice = match &targets.selector {
            Some(selector) => Some(self.choice(selector).await?),
            None => None,
        };
        let candidates = if targets.hosts.is_empty() && choice.is_some() {
            let all = self.rooms.database.inventory.host_names("", u32::MAX).await;
            all.map_err(|error| crate::fault::of_store(&error))?
        } else {
            self.expand_patterns(&targets.hosts, &[]).await?
        };
        let mut left_out = BTreeMap::new();
        for pattern in &targets.exclude {
            for host in self.expand_patterns(std::slice::from_ref(pattern), &[]).await? {
                left_out.entry(host).or_insert_with(|| pattern.clone());
            }
        }
        let work = move || {
            let mut told = Explanations::default();
            for host in candidates {
                let explained = explain_one(host, &left_out, choice.as_ref());
                if explained.chosen {
                    told.chosen += 1;
                } else {
                    told.left_out += 1;
                }
                if told.hosts.len() < Explanations::MOST {
                    told.hosts.push(explained);
                }
            }
            told
        };
        self.tasks
            .blocking("explain targets", work)
            .await
            .ok_or_else(|| Problem::new(Code::Internal, "the targets could not be explained: see the log"))
    }
}

fn explain_one(host: String, left_out: &BTreeMap<String, String>, choice: Option<&Choice>) -> Explained {
    if let Some(pattern) = left_out.get(&host) {
        return Explained {
            why: vec![format!("left out by -x {pattern}")],
            chosen: false,
            host,
        };
    }
    let (chosen, why) = match choice {
        Some(choice) => choice.why(&host),
        None => (true, vec!["a host pattern names it".to_owned()]),
    };
    Explained { host, chosen, why }
}
