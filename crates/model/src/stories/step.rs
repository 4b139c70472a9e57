//! What may happen next.

use super::random::Random;

/// How a host answers a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The login succeeds.
    Yes,
    /// Nobody listens now; that may pass.
    NotNow,
    /// The host's key has changed; that does not pass.
    Never,
}

/// How a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is durable and the callers hear of it.
    Answered,
    /// It is durable, and the callers do not hear of it.
    AnswerLost,
    /// Nothing was written, and the callers hear that it failed.
    Failed,
}

/// How sending a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The command runs.
    Yes,
    /// The host refuses to run it.
    Refused,
    /// The command runs, and the connection broke before that was said.
    Unknown,
    /// The connection broke before the command arrived.
    UnknownAndNot,
}

/// One thing that happens. `pick` chooses among those to whom it can happen, in their order; where there is
/// nobody, nothing happens. So every part of a story is a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same few fields all over")]
pub enum Step {
    /// A process accepts a task.
    Submit {
        pick: u8,
        hosts: u8,
        retries: u8,
        timeout: bool,
        expires: bool,
        max_failures: bool,
    },
    /// A client sends the same request again, as its answer was lost.
    SubmitAgain { pick: u8 },
    /// Somebody runs a done task's failures again, as a new task.
    Retry { pick: u8 },
    /// A dispatcher does what is next: publishes a run, or settles what will not start any more.
    Dispatch { pick: u8 },
    /// The broker delivers a message twice.
    Duplicate { pick: u8 },
    /// A process takes a message.
    Take { pick: u8 },
    /// A process connects to a host.
    Reach { pick: u8, how: Reached },
    /// The database commits the calls that wait: those of one process, or everybody's at once.
    Commit { pick: u8, all: bool, how: Committed },
    /// A process sends a command whose start is durable.
    Begin { pick: u8, how: Begun },
    /// A command prints.
    Print { pick: u8 },
    /// A command ends by itself.
    Exit { pick: u8, code: u8 },
    /// A process sees that its command has ended.
    See { pick: u8 },
    /// The connection to a running command breaks.
    Break { pick: u8 },
    /// A process ends a command that was cancelled, is out of time, or is in the way of its own leaving.
    End { pick: u8, killed: bool },
    /// Somebody cancels a task.
    Cancel { pick: u8 },
    /// A process hears what the others have announced.
    Hear { pick: u8 },
    /// What the others have announced to a process is lost.
    Miss { pick: u8 },
    /// A process looks into the database for what nobody told it.
    Look { pick: u8 },
    /// A process renews its lease.
    Renew { pick: u8 },
    /// A minute passes: leases that are not renewed run out.
    Minute,
    /// A process looks for what dead ones have left.
    Sweep { pick: u8 },
    /// A process loads a task that it has taken over.
    Load { pick: u8 },
    /// Another process comes.
    Join { elsewhere: bool },
    /// A process takes no new work; one that did so before and has nothing in hand leaves.
    Drain { pick: u8 },
    /// A process dies. What it had asked of the database and not heard back is durable or lost.
    Die { pick: u8, durable: bool },
    /// Every process dies, and one is started.
    Restart { durable: bool },
}

impl Step {
    /// Draws a step: those of an ordinary life often, deaths and losses seldom.
    pub(super) fn draw(random: &mut Random) -> Self {
        let pick = random.byte();
        match random.below(400) {
            0..=5 => Self::submit(random),
            6 => Self::SubmitAgain { pick },
            7 | 8 => Self::Retry { pick },
            9..=58 => Self::Dispatch { pick },
            59..=68 => Self::Duplicate { pick },
            69..=118 => Self::Take { pick },
            119..=168 => Self::Reach {
                pick,
                how: match random.below(8) {
                    0 => Reached::NotNow,
                    1 => Reached::Never,
                    _ => Reached::Yes,
                },
            },
            169..=218 => Self::Commit {
                pick,
                all: random.once_in(3),
                how: match random.below(8) {
                    0 => Committed::AnswerLost,
                    1 => Committed::Failed,
                    _ => Committed::Answered,
                },
            },
            219..=258 => Self::Begin {
                pick,
                how: match random.below(12) {
                    0 => Begun::Refused,
                    1 => Begun::Unknown,
                    2 => Begun::UnknownAndNot,
                    _ => Begun::Yes,
                },
            },
            259..=273 => Self::Print { pick },
            274..=293 => Self::Exit {
                pick,
                code: u8::from(random.once_in(2)),
            },
            294..=323 => Self::See { pick },
            324..=326 => Self::Break { pick },
            327..=341 => Self::End {
                pick,
                killed: !random.once_in(5),
            },
            342 | 343 => Self::Cancel { pick },
            344..=368 => Self::Hear { pick },
            369 => Self::Miss { pick },
            370..=372 => Self::Look { pick },
            373..=376 => Self::Renew { pick },
            377 | 378 => Self::Minute,
            379..=383 => Self::Sweep { pick },
            384..=391 => Self::Load { pick },
            392..=394 => Self::Join {
                elsewhere: random.once_in(2),
            },
            395 => Self::Drain { pick },
            396..=398 => Self::Die {
                pick,
                durable: random.once_in(2),
            },
            _ => Self::Restart {
                durable: random.once_in(2),
            },
        }
    }

    pub(super) fn submit(random: &mut Random) -> Self {
        Self::Submit {
            pick: random.byte(),
            hosts: 1 + random.below(3) as u8,
            retries: random.below(3) as u8,
            timeout: random.once_in(2),
            expires: random.once_in(4),
            max_failures: random.once_in(4),
        }
    }

    /// Returns plainer steps that may do as well.
    pub(super) fn plainer(self) -> Vec<Self> {
        let Self::Submit {
            pick,
            hosts,
            retries,
            timeout,
            expires,
            max_failures,
        } = self
        else {
            return Vec::new();
        };
        let with = |hosts, retries, timeout, expires, max_failures| Self::Submit {
            pick,
            hosts,
            retries,
            timeout,
            expires,
            max_failures,
        };
        let all = [
            with(1, retries, timeout, expires, max_failures),
            with(hosts, 0, timeout, expires, max_failures),
            with(hosts, retries, false, expires, max_failures),
            with(hosts, retries, timeout, false, max_failures),
            with(hosts, retries, timeout, expires, false),
        ];
        all.into_iter().filter(|plainer| *plainer != self).collect()
    }
}
