//! `muster doctor`: every back end and what this server stands on, each with how to mend it where it is broken.
//!
//! What is written for a test is written where it does no harm, and taken away again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::wire::Check;
use muster_runtime::clock;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use crate::core::{Core, WORK};
use crate::fault;

/// How long a back end has to answer one question.
const ANSWER: Duration = Duration::from_secs(10);
/// How far the clocks of two machines may be apart: what people are shown of tasks and logs is in their times.
const CLOCKS: Duration = Duration::from_secs(5);
/// Less room than this on a file system is too little, in bytes: the logs of a few large tasks.
const ROOM: u64 = 256 * 1024 * 1024;
/// A server has open, beside a file for each run: its log, its database, its clients.
const OTHER_FILES: u64 = 128;
/// How long what is written into the cache for a test would stay there.
const SHORT: Duration = Duration::from_secs(10);

/// What is wrong, and how to mend it.
struct Wrong {
    detail: String,
    hint: String,
}

type Found = Result<String, Wrong>;

fn wrong(detail: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong {
        detail: detail.into(),
        hint: hint.into(),
    }
}

fn check(name: &str, found: Found) -> Check {
    let name = name.to_owned();
    match found {
        Ok(detail) => Check {
            name,
            ok: true,
            detail,
            hint: None,
        },
        Err(Wrong { detail, hint }) => Check {
            name,
            ok: false,
            detail,
            hint: Some(hint),
        },
    }
}

/// Asks something of a back end; returns its answer and how long it took.
async fn asked<T, E: std::error::Error>(
    what: &str,
    question: impl Future<Output = Result<T, E>>,
    hint: &str,
) -> Result<(T, Duration), Wrong> {
    let since = clock::monotonic();
    match clock::deadline(ANSWER, question).await {
        Ok(Ok(answer)) => Ok((answer, clock::monotonic().saturating_sub(since))),
        Ok(Err(error)) => Err(wrong(fault::chain(&error), hint)),
        Err(clock::Elapsed) => Err(wrong(
            format!("{what} did not answer within {} s", ANSWER.as_secs()),
            hint,
        )),
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Returns a number with what it counts.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl Core {
    /// Checks every back end, and what this server stands on.
    pub(crate) async fn doctor(self: &Arc<Self>) -> Vec<Check> {
        let (database, queue, cache, vault) = tokio::join!(
            self.check_database(),
            self.check_queue(),
            self.check_cache(),
            self.check_vault(),
        );
        let mut checks = database;
        checks.push(check("queue", queue));
        checks.push(check("cache", cache));
        let connections = self.rooms.transport.connections();
        let warm = counted(connections, "warm connection", "warm connections");
        checks.push(check("transport", Ok(warm)));
        checks.push(vault);
        let folders = self.settings.executors.clone();
        let disk = self
            .tasks
            .blocking("look at the disk", move || disk(&folders))
            .await;
        let disk =
            disk.unwrap_or_else(|| Err(wrong("it could not be looked at", "the server's log says why")));
        checks.push(check("disk", disk));
        checks.push(check("open files", open_files(self.settings.slots)));
        checks
    }

    /// The database: that it answers, that it takes a write, and what time it has.
    async fn check_database(self: &Arc<Self>) -> Vec<Check> {
        let store = &self.rooms.database.store;
        let hint = "check `database` in `muster config`, the disk, and who owns the file; of a server, that it runs, and \
                    `muster db status`";
        let answer = asked("the database", store.ping(), hint).await;
        let found = answer.map(|(detail, took)| format!("{detail}, answers in {}", millis(took)));
        let answers = found.is_ok();
        let mut checks = vec![check("database", found)];
        if !answers {
            return checks;
        }
        // The sign of life of this server, as it gives it whenever it has work.
        let hint = "look at its disk and its rights: this user has to be able to write, and no other may hold it locked";
        let write = asked("the database", self.lease.sign_of_life(self), hint).await;
        let write = write.map(|((), took)| format!("a write is durable in {}", millis(took)));
        checks.push(check("database write", write));
        let begin = clock::now();
        match asked("the database", store.clock(), "see the check of the database").await {
            Ok((Some(theirs), took)) => {
                let ours = begin.after(took / 2);
                let apart = theirs.since(ours).max(ours.since(theirs));
                checks.push(check("clock", apart_by(apart, theirs > ours)));
            }
            // A file has no clock of its own.
            Ok((None, _)) => {}
            Err(wrong) => checks.push(check("clock", Err(wrong))),
        }
        checks
    }

    async fn check_queue(&self) -> Found {
        let queue = &self.rooms.queue;
        let hint = "check `queue` in `muster config`, and that its server runs, takes this user, and has memory and disk \
                    left; until then work waits, and none is lost";
        let ((), took) = asked("the queue", queue.ping(), hint).await?;
        let (depth, _) = asked("the queue", queue.depth(WORK), hint).await?;
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let waits = counted(depth, "run waits", "runs wait");
        Ok(format!("answers in {}, {waits}", millis(took)))
    }

    /// The cache: that it answers, and gives back what it was given.
    async fn check_cache(&self) -> Found {
        let cache = &self.rooms.cache;
        let hint = "check `cache` in `muster config`, and that its server runs, takes this user, and has memory left; \
                    until then work goes on more slowly, and nothing is lost";
        let ((), took) = asked("the cache", cache.ping(), hint).await?;
        let (key, value) = (format!("muster.doctor.{}", self.me), Bytes::from_static(b"well"));
        let write = async {
            cache.set(&key, value.clone(), SHORT).await?;
            let kept = cache.get(&key).await?;
            cache.delete(&key).await?;
            Ok::<_, muster_cache::Error>(kept)
        };
        let (kept, wrote) = asked("the cache", write, hint).await?;
        if kept.as_ref() != Some(&value) {
            return Err(wrong(
                "it lost a value in the moment in which it was written",
                "it has too little memory, or several servers stand behind its address: nothing is lost by that, but \
                 output is followed more slowly",
            ));
        }
        Ok(format!(
            "answers in {}, a value is written, read and deleted in {}",
            millis(took),
            millis(wrote)
        ))
    }
}

fn apart_by(apart: Duration, theirs_is_ahead: bool) -> Found {
    if apart <= CLOCKS {
        return Ok(format!("{} apart from the database server's", millis(apart)));
    }
    let way = if theirs_is_ahead { "ahead of" } else { "behind" };
    Err(wrong(
        format!(
            "the database server's clock is {:.1} s {way} this machine's",
            apart.as_secs_f64()
        ),
        "have both set by NTP: `timedatectl` shows how a machine stands",
    ))
}

/// The file system of the state folder: that it has room, and takes a file. `executors` is a folder in it.
fn disk(executors: &Path) -> Found {
    let folder: PathBuf = executors.parent().unwrap_or(executors).to_owned();
    let shown = folder.display();
    let space = statvfs(&folder).map_err(|errno| {
        wrong(
            format!("{shown} cannot be looked at: {}", errno.desc()),
            "check that the folder is there and belongs to you",
        )
    })?;
    let free = space.blocks_available() * space.fragment_size();
    let room = format!("{shown} has {} MiB free", free / 1024 / 1024);
    if free < ROOM {
        return Err(wrong(
            room,
            "make room on that file system: output and results of commands are kept there, and a task that is \
             accepted must find a place",
        ));
    }
    // Some file systems count no files.
    if space.files() > 0 && space.files_available() < 1000 {
        return Err(wrong(
            format!("{shown} has room for {} more files", space.files_available()),
            "remove files from that file system: it has no room for new ones, however many bytes are free",
        ));
    }
    tempfile_in(executors)?;
    Ok(format!("{room}, and takes a file"))
}

fn tempfile_in(folder: &Path) -> Result<(), Wrong> {
    let path = folder.join(format!("doctor.{}.new", std::process::id()));
    let written = std::fs::write(&path, b"well").and_then(|()| std::fs::remove_file(&path));
    written.map_err(|error| {
        wrong(
            format!("{} takes no file: {error}", folder.display()),
            "check that the folder belongs to you and that its file system is not mounted read-only",
        )
    })
}

/// How many files this process may have open, and has.
fn open_files(slots: usize) -> Found {
    let hint = "raise it (`LimitNOFILE=` of the unit, `ulimit -n`), or lower `slots`";
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| wrong(errno.desc(), hint))?;
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let needed = slots as u64 + OTHER_FILES;
    let detail = format!("{open} of {limit}");
    if limit < needed {
        return Err(wrong(format!("{detail}; {slots} slots may need {needed}"), hint));
    }
    Ok(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_followed_by_the_right_word() {
        let words = |count| counted(count, "credential", "credentials");
        assert_eq!(
            [0, 1, 2].map(words),
            ["0 credentials", "1 credential", "2 credentials"]
        );
    }

    #[test]
    fn each_failing_check_says_how_to_mend_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let executors = folder.path().join("executors");
        // It is not there: whatever is wrong, somebody is told what to do.
        let missing = disk(&executors).expect_err("no folder");
        assert!(missing.detail.contains("takes no file"), "{}", missing.detail);
        assert!(missing.hint.contains("belongs to you"), "{}", missing.hint);
        std::fs::create_dir(&executors).expect("a folder");
        assert!(disk(&executors).is_ok());
        assert_eq!(std::fs::read_dir(&executors).expect("a folder").count(), 0);

        let files = open_files(10_000_000).expect_err("more than there are");
        assert!(files.hint.contains("slots"), "{}", files.hint);
        assert!(open_files(1).is_ok());

        assert!(apart_by(Duration::from_millis(900), true).is_ok());
        let clock = apart_by(Duration::from_secs(90), false).expect_err("far apart");
        assert_eq!(
            clock.detail,
            "the database server's clock is 90.0 s behind this machine's"
        );
    }
}
