//! What the pattern language promises: tables of examples, laws that hold for every pattern, and the same
//! answers as the `nodeset` command.

mod examples;
mod guide;
mod nodeset;
mod properties;
mod refusals;

use std::collections::BTreeMap;

use super::*;

/// A few groups, and the hosts that are known by them.
struct Inventory(BTreeMap<&'static str, Vec<&'static str>>);

impl Inventory {
    fn new() -> Self {
        Self(BTreeMap::from([
            ("db", vec!["db1", "db2", "web3"]),
            ("web", vec!["web1", "web2", "web3", "web10", "web11", "web01"]),
            ("rack1", vec!["r1n1", "r1n2", "r1n3"]),
            ("rack2", vec!["r2n1", "r2n2"]),
            ("edge", vec!["10.4.3.4", "2001:db8::1", "fe80::1%eth0"]),
        ]))
    }
}

impl Groups for Inventory {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        let members = self.0.get(group)?;
        Some(members.iter().map(ToString::to_string).collect())
    }

    fn all(&self) -> Vec<String> {
        self.0.values().flatten().map(ToString::to_string).collect()
    }
}

/// Expands with the groups of [`Inventory`].
fn expanded(pattern: &str) -> Result<Vec<String>, Error> {
    expand(pattern, &Inventory::new())
}

/// A small generator of numbers, the same ones for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    /// Returns a number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.roll(choices.len() as u64);
        &choices[usize::try_from(at).unwrap()]
    }
}
