//! The order in which things happened to one task, kept in memory: what live followers read and resume
//! from. Entries are small (no output in them) and bounded in number; a reader that falls behind the
//! oldest one catches up from the database.

use std::collections::VecDeque;

use muster_model::RunState;
use muster_model::event::{Ending, Notice};

/// At most so many entries are kept for a task.
const MOST_ENTRIES: usize = 200_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A run changed its state.
    Run {
        index: u32,
        attempt: u32,
        state: RunState,
        ending: Option<Box<Ending>>,
    },
    /// A run's output log has grown.
    Output {
        index: u32,
        attempt: u32,
        from: u64,
        to: u64,
    },
    /// The task is done.
    Done,
}

impl From<Notice> for Entry {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Run {
                run,
                attempt,
                state,
                ending,
            } => Self::Run {
                index: run.index,
                attempt,
                state,
                ending,
            },
            Notice::Output {
                run,
                attempt,
                from,
                to,
            } => Self::Output {
                index: run.index,
                attempt,
                from,
                to,
            },
            Notice::Done { .. } => Self::Done,
        }
    }
}

/// A bounded log of entries, numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    base: u64,
    entries: VecDeque<Entry>,
}

impl Feed {
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.len() >= MOST_ENTRIES {
            self.entries.pop_front();
            self.base += 1;
        }
        self.entries.push_back(entry);
    }

    /// Returns how many entries are kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number that the next entry will have.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Returns the entry of a number; `Err` where it is no longer kept, `Ok(None)` where it is yet to come.
    pub(crate) fn at(&self, number: u64) -> Result<Option<&Entry>, Forgotten> {
        let place = number.checked_sub(self.base).ok_or(Forgotten)?;
        Ok(usize::try_from(place)
            .ok()
            .and_then(|place| self.entries.get(place)))
    }
}

/// An entry that is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_numbers_when_the_oldest_go() {
        let mut feed = Feed::default();
        for index in 0..MOST_ENTRIES as u64 + 10 {
            feed.push(Entry::Output {
                index: 0,
                attempt: 1,
                from: index,
                to: index + 1,
            });
        }
        assert_eq!(feed.end(), MOST_ENTRIES as u64 + 10);
        assert_eq!(feed.at(9), Err(Forgotten));
        assert_eq!(
            feed.at(10),
            Ok(Some(&Entry::Output {
                index: 0,
                attempt: 1,
                from: 10,
                to: 11
            }))
        );
        assert_eq!(feed.at(feed.end()), Ok(None));
    }
}
