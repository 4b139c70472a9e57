//! The lessons in `examples`, on each cache that can show them: what they print is what they teach.

#[path = "../../examples/channels.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod channels;
#[path = "../../examples/counters.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod counters;
#[path = "../../examples/pipelines.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod pipelines;
#[path = "../../examples/rate.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod rate;
#[path = "../../examples/strings.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod strings;
#[path = "../../examples/visitors.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod visitors;

use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use muster_testkit::{Memcached, Redis, require};

const STRINGS: &str = "ann: logged in\n\
    somebody else takes ann's place: false\n\
    ann, five seconds later: gone\n\
    bob, five seconds later: logged in\n";
const COUNTERS: &str = "visits: 8000\nafter 8001 have left: -1\n";
const VISITORS: &str = "visitor 7: new\nvisitor 100: new\nvisitor 7: again\nvisitor 999999: new\n\
    visitor 100: again\nvisitor 7: again\n6 visits by 3 visitors\nwas visitor 8 here? false\n\
    room for a million visitors: 125000 bytes\n";
const CHANNELS: &str = "ann hears rain\nann hears sun\nbob hears sun\n";

/// An engine, as long as a lesson takes.
#[derive(Clone, Copy, Debug)]
enum Engine {
    Memory,
    Redis,
    Memcached,
}

/// Runs a lesson on an engine and returns what it printed, or why it stopped.
fn told(engine: Engine, lesson: Lesson) -> Option<Result<String, String>> {
    let (redis, memcached);
    let url = match engine {
        Engine::Memory => "memory:".to_owned(),
        Engine::Redis => {
            redis = require!(Redis::start(), None);
            redis.url()
        }
        Engine::Memcached => {
            memcached = require!(Memcached::start(64), None);
            format!("memcached://{}", memcached.place())
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut out = Vec::new();
    let shown = runtime.block_on(async {
        match lesson {
            Lesson::Strings => strings::show(&url, &mut out).await,
            Lesson::Counters => counters::show(&url, &mut out).await,
            Lesson::Visitors => visitors::show(&url, &mut out).await,
            Lesson::Pipelines => pipelines::show(&url, &mut out).await,
            Lesson::Channels => channels::show(&url, &mut out).await,
            Lesson::Rate => rate::show(&url, Duration::from_millis(50), &mut out).await,
        }
    });
    let text = String::from_utf8(out).expect("text");
    Some(shown.map(|()| text).map_err(|error| error.to_string()))
}

#[derive(Clone, Copy, Debug)]
enum Lesson {
    Strings,
    Counters,
    Visitors,
    Pipelines,
    Channels,
    Rate,
}

fn check(engine: Engine, lesson: Lesson) -> Result<(), Failed> {
    let Some(told) = told(engine, lesson) else {
        return Ok(());
    };
    let expected = match (engine, lesson) {
        (Engine::Memcached, Lesson::Visitors) => {
            Err("this cache has no single bits: memory: and redis:// have them")
        }
        (Engine::Memcached, Lesson::Channels) => {
            Err("this cache has no channels: memory: and redis:// have them")
        }
        (_, Lesson::Strings) => Ok(STRINGS),
        (_, Lesson::Counters) => Ok(COUNTERS),
        (_, Lesson::Visitors) => Ok(VISITORS),
        (_, Lesson::Channels) => Ok(CHANNELS),
        (_, Lesson::Pipelines | Lesson::Rate) => {
            let text = told?;
            let lines: &[&str] = if matches!(lesson, Lesson::Rate) {
                &[
                    "set 200 bytes",
                    "get 100 values",
                    "append twice and delete",
                    "100 at once",
                ]
            } else {
                &[
                    "2000 values set one by one: ",
                    "2000 values set all at once: ",
                    "2000 values read with one question: ",
                ]
            };
            for line in lines {
                assert!(text.contains(line), "{text}");
            }
            return Ok(());
        }
    };
    match (told, expected) {
        (Ok(text), Ok(expected)) => assert_eq!(text, expected),
        (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
        (told, expected) => return Err(format!("it said {told:?}, not {expected:?}").into()),
    }
    Ok(())
}

pub(crate) fn trials() -> Vec<Trial> {
    use Lesson::{Channels, Counters, Pipelines, Rate, Strings, Visitors};
    let mut trials = Vec::new();
    for engine in [Engine::Memory, Engine::Redis, Engine::Memcached] {
        for lesson in [Strings, Counters, Visitors, Pipelines, Channels, Rate] {
            let name = format!("lessons::{lesson:?}_on_{engine:?}").to_lowercase();
            trials.push(Trial::test(name, move || check(engine, lesson)));
        }
    }
    trials
}
