//! Ten thousand stories of tasks on the rules of the product; and broken rules, each of which is caught.
//!
//! `MUSTER_TEST_STORIES=100000` plays more of them, `MUSTER_TEST_SEED=1` others.

#![expect(clippy::panic, reason = "tests fail by a panic")]

use std::collections::BTreeMap;

use muster_model::policy;
use muster_model::run::{Change, Refused, RunState, decide};
use muster_model::stories::{Failure, Habits, Hunt, Rules, World};
use muster_model::{Options, Outcome, Transition};

const STORIES: u64 = 10_000;
const SEED: u64 = 0;
/// A story that breaks a broken rule needs no more steps than this.
const SHORT: usize = 24;

#[expect(
    clippy::disallowed_methods,
    reason = "how many stories, and which, is asked from outside"
)]
fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}='{text}' is not a whole number")),
        Err(_) => otherwise,
    }
}

#[test]
fn no_story_breaks_a_promise() {
    let seed = number("MUSTER_TEST_SEED", SEED);
    let hunt = Hunt::new(seed, number("MUSTER_TEST_STORIES", STORIES));
    if let Err(failure) = hunt.play(|story| World::play(Rules::OURS, story)) {
        panic!("{failure}");
    }
}

/// What never happens in any story is not tested by them.
#[test]
fn the_stories_tell_of_every_end() {
    let mut ends: BTreeMap<RunState, u32> = BTreeMap::new();
    let mut tried_again: BTreeMap<RunState, u32> = BTreeMap::new();
    let hunt = Hunt::new(SEED, STORIES);
    let played = hunt.play(|story| {
        let world = World::play(Rules::OURS, story)?;
        for row in world.tasks().values().flat_map(|task| &task.runs) {
            *ends.entry(row.state).or_default() += 1;
            for (_, state) in &row.past {
                *tried_again.entry(*state).or_default() += 1;
            }
        }
        Ok(())
    });
    assert!(played.is_ok(), "see no_story_breaks_a_promise");
    for state in RunState::ALL {
        let found = ends.get(&state).copied().unwrap_or_default();
        assert_eq!(found > 300, state.is_terminal(), "{state}: {found} of {ends:?}");
    }
    for state in [
        RunState::Failed,
        RunState::TimedOut,
        RunState::Unreachable,
        RunState::Lost,
    ] {
        let found = tried_again.get(&state).copied().unwrap_or_default();
        assert!(found > 300, "{state} again: {found} of {tried_again:?}");
    }
}

type Decide = fn(RunState, u32, &Transition) -> Result<(RunState, u32), Refused>;
type Named<T> = (&'static str, T);
type Sequel = fn(&Options, u32, bool, Outcome, Option<bytes::Bytes>) -> Change;

/// Rules that allow one thing more than ours, each with what it allows.
const MORE_ALLOWED: [Named<Decide>; 7] = [
    ("a run that has started starts", |state, attempt, change| {
        let is_start = matches!(change.change, Change::Start { .. }) && attempt == change.attempt;
        match decide(state, attempt, change) {
            Err(_) if is_start && state == RunState::Started => Ok((state, attempt)),
            decided => decided,
        }
    }),
    ("a run that has ended starts", |state, attempt, change| {
        let is_start = matches!(change.change, Change::Start { .. }) && attempt == change.attempt;
        match decide(state, attempt, change) {
            Err(_) if is_start && state.is_terminal() => Ok((RunState::Started, attempt)),
            decided => decided,
        }
    }),
    (
        "a change for another attempt is taken",
        |state, attempt, change| {
            let this = Transition {
                attempt,
                ..change.clone()
            };
            decide(state, attempt, &this)
        },
    ),
    (
        "a late end overwrites an earlier one",
        |state, attempt, change| match (decide(state, attempt, change), &change.change) {
            (Err(_), Change::Settle { outcome, .. }) if state.is_terminal() => Ok((outcome.state, attempt)),
            (decided, _) => decided,
        },
    ),
    (
        "a run that has started is withdrawn",
        |state, attempt, change| match (decide(state, attempt, change), &change.change) {
            (Err(_), Change::Withdraw { outcome })
                if state == RunState::Started && attempt == change.attempt =>
            {
                Ok((outcome.state, attempt))
            }
            (decided, _) => decided,
        },
    ),
    (
        "a run waits again in the same attempt",
        |state, attempt, change| decide(state, attempt, change).map(|(state, _)| (state, attempt)),
    ),
    (
        "a run that has started is unreachable",
        |state, attempt, change| match (decide(state, attempt, change), &change.change) {
            (Err(_), Change::Settle { outcome, .. }) if !state.is_terminal() && attempt == change.attempt => {
                Ok((outcome.state, attempt))
            }
            (decided, _) => decided,
        },
    ),
];

fn tries_success_again(
    options: &Options,
    attempt: u32,
    cancelled: bool,
    outcome: Outcome,
    output: Option<bytes::Bytes>,
) -> Change {
    if outcome.state == RunState::Succeeded && attempt <= options.retries {
        return Change::Again { outcome };
    }
    policy::again_or_settle(options, attempt, cancelled, outcome, output)
}

fn tries_once_too_often(
    options: &Options,
    attempt: u32,
    cancelled: bool,
    outcome: Outcome,
    output: Option<bytes::Bytes>,
) -> Change {
    policy::again_or_settle(options, attempt.saturating_sub(1), cancelled, outcome, output)
}

fn broken_rules() -> Vec<(&'static str, Rules)> {
    let mut all: Vec<(&str, Rules)> = MORE_ALLOWED
        .into_iter()
        .map(|(name, decide)| {
            (
                name,
                Rules {
                    decide,
                    ..Rules::OURS
                },
            )
        })
        .collect();
    let sequels: [Named<Sequel>; 2] = [
        ("success is tried again", tries_success_again),
        ("a run is tried once too often", tries_once_too_often),
    ];
    for (name, again_or_settle) in sequels {
        let rules = Rules {
            again_or_settle,
            ..Rules::OURS
        };
        all.push((name, rules));
    }
    let habits: [Named<fn(&mut Habits)>; 8] = [
        ("a command is sent before its start is durable", |habits| {
            habits.waits_for_the_start = false;
        }),
        ("another's start is taken for one's own", |habits| {
            habits.reads_back = false
        }),
        ("a run is settled before its command is killed", |habits| {
            habits.kills_first = false;
        }),
        ("a broken connection counts as success", |habits| {
            habits.doubts = false
        }),
        ("the living are buried", |habits| habits.spares_the_living = false),
        ("nobody takes over", |habits| habits.takes_over = false),
        ("nobody buries", |habits| habits.buries = false),
        ("a message is acknowledged when it is taken", |habits| {
            habits.acknowledges_late = false;
        }),
    ];
    for (name, change) in habits {
        let mut rules = Rules::OURS;
        change(&mut rules.habits);
        all.push((name, rules));
    }
    all
}

fn caught(rules: Rules) -> Option<Box<Failure>> {
    Hunt::new(SEED, 3 * STORIES)
        .play(|story| World::play(rules, story))
        .err()
}

/// The test of the tests: whatever is broken on purpose is found, and told shortly.
#[test]
fn every_broken_rule_is_caught_by_a_short_story() {
    let mut missed = Vec::new();
    for (name, rules) in broken_rules() {
        let Some(failure) = caught(rules) else {
            missed.push(format!("{name}: no story breaks a promise"));
            continue;
        };
        println!("=== {name}\n{failure}\n");
        if failure.story.steps.len() > SHORT {
            missed.push(format!("{name}: {} steps", failure.story.steps.len()));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_seed_names_the_same_story_again() {
    let broken = Rules {
        decide: MORE_ALLOWED[0].1,
        ..Rules::OURS
    };
    let Some(first) = caught(broken) else {
        panic!("nothing was caught");
    };
    let again = Hunt::new(first.seed, 1).play(|story| World::play(broken, story));
    let Err(again) = again else {
        panic!("seed {} breaks nothing alone", first.seed);
    };
    assert_eq!(again.broken, first.broken);
    assert_eq!(again.story, first.story);
}
