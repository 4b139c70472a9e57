//! The crash matrix: for every point that the code names, a process dies there, the next command goes on, and what
//! was promised is compared with what the commands have written on their hosts. Each point is a test and goes
//! through ten seeds, which vary what is done (see `case`). A point that is never passed fails.
//!
//! A failure says how to run its case alone. More seeds, for example a hundred at one point:
//!
//! ```text
//! MUSTER_TEST_CRASH_SEEDS=0-99 cargo nextest run -p muster --test crash --all-features -E 'test(=StartWritten)'
//! ```

#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::disallowed_methods,
    reason = "which seeds to run is a setting of the tests alone"
)]

mod case;
mod course;
mod promises;
mod sent;
mod vault;
mod world;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use libtest_mimic::{Arguments, Failed, Trial};
use muster_runtime::crash::Point;
use muster_testkit::require::excuse;
use muster_testkit::sshd::Sshd;
use nix::sys::resource::{Resource, setrlimit};

use crate::case::Case;
use crate::world::Broken;

/// The binary under test.
const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// Cases that run at a time: they wait more than they compute.
const AT_A_TIME: usize = 4;
const SEEDS: &str = "MUSTER_TEST_CRASH_SEEDS";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = |&point: &Point| Trial::test(point.to_string(), move || check(point));
    libtest_mimic::run(&arguments, Point::ALL.iter().map(trial).collect()).exit_code()
}

fn seeds() -> Result<RangeInclusive<u32>, Broken> {
    let Ok(text) = std::env::var(SEEDS) else {
        return Ok(0..=9);
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(first..=last),
        _ => Err(format!("{SEEDS}={text} is neither a number nor two, as in 0-9")),
    }
}

/// Goes through all seeds of a point, on one sshd.
fn check(point: Point) -> Result<(), Failed> {
    let seeds = seeds()?;
    // Processes die here on purpose, by the hundred.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let sshd = match runtime.block_on(Sshd::builder().max_sessions(100).start()) {
        Ok(sshd) => sshd,
        Err(error) => match excuse(&error) {
            Some(why) => {
                eprintln!("ignored: {why}");
                return Ok(());
            }
            None => return Err(error.into()),
        },
    };
    let older = older_build(sshd.dir())?;
    let left = Mutex::new(seeds);
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(seed) = next(&left) {
                    let case = Case::new(point, seed);
                    if let Err(why) = course::go(case, &sshd, &older) {
                        lock(&broken).push(told(&case, &why));
                    }
                }
            });
        }
    });
    let broken = std::mem::take(&mut *lock(&broken));
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failed::from(broken.join("\n\n")))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn next(seeds: &Mutex<RangeInclusive<u32>>) -> Option<u32> {
    lock(seeds).next()
}

/// Says what was broken, and how to see it again.
fn told(case: &Case, why: &Broken) -> String {
    let Case { point, seed, .. } = case;
    format!(
        "at {point} on seed {seed}: {why}\n{case:?}\nto run this again: {SEEDS}={seed} cargo nextest run -p muster \
         --test crash --all-features -E 'test(={point})'"
    )
}

/// Makes a build that the binary under test takes for an older one: by the time when its file was written.
fn older_build(folder: &Path) -> std::io::Result<PathBuf> {
    let older = folder.join("older");
    std::fs::create_dir_all(&older)?;
    let older = older.join("muster");
    std::fs::copy(MUSTER, &older)?;
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options()
        .append(true)
        .open(&older)?
        .set_modified(written)?;
    Ok(older)
}
