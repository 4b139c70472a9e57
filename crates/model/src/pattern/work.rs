//! How much work a pattern may cost: what keeps four megabytes of hostile text from taking hours.

use crate::limits::HOSTS_PER_TASK;

use super::error::{Error, Place};

/// The most units of work of one expansion: eight times the largest target with short names.
const UNITS: u64 = 8 * HOSTS_PER_TASK;

/// What a host of a group or of the inventory costs: its name has to be read.
pub(super) const PER_MEMBER: u64 = 2;

/// The work that an expansion has cost. A unit is a host of a part of the pattern, before operators.
#[derive(Default)]
pub(super) struct Work {
    spent: u64,
}

impl Work {
    /// Takes note of work before it is done; `place` is the part that costs it.
    pub(super) fn spend(&mut self, units: u64, place: Place<'_>) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(units);
        if self.spent > UNITS {
            return Err(place.too_much_work());
        }
        Ok(())
    }
}
