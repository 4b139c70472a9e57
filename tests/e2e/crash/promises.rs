//! What was promised, compared with what the commands have written on their hosts.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use muster_model::wire::{RunEntry, TaskView};
use muster_model::{RunState, TaskId};
use muster_testkit::proc;

use crate::case::{After, Course, UNREACHED};
use crate::sent::Sent;
use crate::world::{Broken, World};

/// What a task's command has written on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Written {
    /// The process of each time that it began.
    begun: Vec<u32>,
    ended: usize,
}

/// A task as it was read, and what its commands have written, by host.
pub struct Read {
    task: TaskView,
    runs: Vec<RunEntry>,
    written: BTreeMap<String, Written>,
    sent: Sent,
}

/// Returns what a task's commands have written, by host.
fn written(world: &World<'_>, tag: &str) -> Result<BTreeMap<String, Written>, Broken> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(world.written()).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(host) = name.strip_prefix(tag).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let text = fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        let mut written = Written::default();
        for line in text.lines() {
            match line.strip_prefix("begin ").map(str::parse) {
                Some(Ok(pid)) => written.begun.push(pid),
                None if line == "end" => written.ended += 1,
                _ => return Err(format!("a command wrote '{line}'")),
            }
        }
        all.insert(host.to_owned(), written);
    }
    Ok(all)
}

/// The processes that run a task's command: told by its words, since a number may be another process's by now.
fn running(sent: &Sent) -> Vec<u32> {
    let all = proc::with_arg(&format!(": {};", sent.tag)).into_iter();
    all.map(|process| process.pid)
        .filter(|pid| proc::is_alive(*pid))
        .collect()
}

/// Returns how many processes that have begun a task's command run it now.
pub fn begun_and_running(world: &World<'_>, sent: &Sent) -> Result<usize, Broken> {
    let running = running(sent);
    let all = written(world, &sent.tag)?;
    let begun = all.values().flat_map(|written| &written.begun);
    Ok(begun.filter(|pid| running.contains(pid)).count())
}

/// Reads everything.
pub fn read_all(world: &World<'_>, tasks: &[(Sent, TaskId)]) -> Result<Vec<Read>, Broken> {
    let mut all = Vec::new();
    for (sent, id) in tasks {
        let (task, runs) = world.read(*id)?;
        all.push(Read {
            task,
            runs,
            written: written(world, &sent.tag)?,
            sent: sent.clone(),
        });
    }
    Ok(all)
}

/// Promise 5: after `cancelled` or `timed_out` no process of the command is left.
pub fn nothing_is_left(world: &World<'_>, sent: &Sent, id: TaskId) -> Result<(), Broken> {
    let (_, runs) = world.read(id)?;
    let written = written(world, &sent.tag)?;
    let running = running(sent);
    for run in runs {
        let is_over = matches!(run.run.state, RunState::Cancelled | RunState::TimedOut);
        let begun = written
            .get(&run.run.host)
            .map_or(&[][..], |written| &written.begun[..]);
        if is_over && let Some(pid) = begun.iter().find(|pid| running.contains(pid)) {
            return Err(format!("process {pid} is left of a run that is over: {run:#?}"));
        }
    }
    Ok(())
}

/// The promises about each run, and what must be so after a death at this point.
pub fn hold(world: &World<'_>, all: &[Read]) -> Result<(), Broken> {
    for read in all {
        counts_agree(read)?;
        for run in &read.runs {
            let nothing = Written::default();
            let written = read.written.get(&run.run.host).unwrap_or(&nothing);
            run_holds(world, read, run, written)
                .map_err(|broken| format!("{broken}\nwritten on the host: {written:?}\n{:#?}", brief(run)))?;
        }
    }
    after_holds(world, all)
}

fn counts_agree(read: &Read) -> Result<(), Broken> {
    let mut counted: HashMap<RunState, u32> = HashMap::new();
    for run in &read.runs {
        *counted.entry(run.run.state).or_default() += 1;
    }
    let counts = &read.task.counts;
    let count = |state| counted.get(&state).copied().unwrap_or(0);
    let agree = counts.open() == 0
        && read.task.finished_at.is_some()
        && counts.total as usize == read.runs.len()
        && counts.succeeded == count(RunState::Succeeded)
        && counts.failed == count(RunState::Failed)
        && counts.lost == count(RunState::Lost)
        && counts.cancelled == count(RunState::Cancelled);
    agree
        .then_some(())
        .ok_or_else(|| format!("the counts are wrong: {:#?}", read.task))
}

fn run_holds(world: &World<'_>, read: &Read, run: &RunEntry, written: &Written) -> Result<(), Broken> {
    let case = &world.case;
    let (sent, view) = (&read.sent, &run.run);
    let begun = written.begun.len();
    let attempt = view.attempt as usize;
    let failed_before = run
        .history
        .iter()
        .filter(|past| past.state == RunState::Failed)
        .count();
    if !view.state.is_terminal() {
        return Err("a run of a done task has no end".to_owned());
    }
    if view.attempt > 1 + sent.retries {
        return Err(format!("more attempts than {} retries allow", sent.retries));
    }
    if begun > attempt || written.ended > begun {
        return Err("a command ran more often than it was to".to_owned());
    }
    if begun < failed_before {
        return Err("an attempt failed whose command never began".to_owned());
    }
    if run.history.len() + 1 != attempt {
        return Err("attempts are missing in the history".to_owned());
    }
    let is_last = view.attempt == 1 + sent.retries;
    match view.state {
        RunState::Succeeded => succeeded_holds(sent, run, written, failed_before),
        RunState::Lost if is_last || case.course == Course::Cancel => Ok(()),
        RunState::Lost => Err("a lost run with retries left was not tried again".to_owned()),
        RunState::Failed if is_last && case.fails > 0 && view.exit_code == Some(3) => Ok(()),
        RunState::Unreachable if view.host == UNREACHED && is_last && begun == 0 => Ok(()),
        RunState::Cancelled if case.course == Course::Cancel && !case.by_timeout => Ok(()),
        RunState::TimedOut if case.by_timeout && begun == 1 => Ok(()),
        other => Err(format!("nothing that was done here ends a run as {other}")),
    }
}

/// Promise 4: it ran to its end, exited 0, and its output is whole.
fn succeeded_holds(
    sent: &Sent,
    run: &RunEntry,
    written: &Written,
    failed_before: usize,
) -> Result<(), Broken> {
    let view = &run.run;
    let expected: String = (1..=sent.lines).map(|line| format!("{line}\n")).collect();
    if written.ended == 0 || written.begun.len() < failed_before + 1 {
        return Err("succeeded, and the command did not run to its end".to_owned());
    }
    if view.exit_code != Some(0) {
        return Err("succeeded with another exit code than 0".to_owned());
    }
    if view.truncated || view.stdout != expected || view.stdout_bytes != expected.len() as u64 {
        return Err(format!(
            "the output is not whole: {} of {} bytes are kept",
            view.stdout.len(),
            expected.len()
        ));
    }
    Ok(())
}

fn after_holds(world: &World<'_>, all: &[Read]) -> Result<(), Broken> {
    let case = &world.case;
    let runs = || {
        let of_now = all.iter().filter(|read| !read.sent.before);
        of_now
            .flat_map(|read| &read.runs)
            .filter(|run| run.run.host != UNREACHED)
    };
    let state = |wanted: RunState| runs().filter(move |run| run.run.state == wanted).count();
    let told = || {
        let briefs: Vec<String> = runs().map(brief).collect();
        briefs.join("\n")
    };
    let holds = match case.after {
        After::Anything => true,
        After::Untouched => runs().all(|run| run.run.state == RunState::Succeeded && run.run.attempt == 1),
        After::OneLost => runs().any(|run| {
            run.run.state == RunState::Lost || run.history.iter().any(|past| past.state == RunState::Lost)
        }),
        After::Ended => state(RunState::Succeeded) >= case.passing as usize,
    };
    if holds {
        return Ok(());
    }
    Err(format!("{:?} is not so: {}", case.after, told()))
}

/// Promise 2: what was read once is read again, also from another server.
pub fn stays(world: &World<'_>, first: &[Read], sent: &Sent, id: TaskId) -> Result<(), Broken> {
    let (task, runs) = world.read(id)?;
    let before = first.iter().find(|read| read.task.id == id);
    let before = before.ok_or_else(|| format!("task {id} is new"))?;
    if (&task, &runs) != (&before.task, &before.runs) {
        let (then, now): (Vec<_>, Vec<_>) = (
            before.runs.iter().map(brief).collect(),
            runs.iter().map(brief).collect(),
        );
        return Err(format!(
            "task {id} has changed after its end: {then:#?}, then {now:#?}"
        ));
    }
    let now = written(world, &sent.tag)?;
    if now != before.written {
        return Err(format!(
            "a command ran after its task was done: {:?}, then {now:?}",
            before.written
        ));
    }
    Ok(())
}

/// A run without its output.
fn brief(run: &RunEntry) -> String {
    let view = &run.run;
    format!(
        "{} {} attempt {} exit {:?} error {:?} stdout {} bytes, started {:?}, finished {:?}, history {:?}",
        view.host,
        view.state,
        view.attempt,
        view.exit_code,
        view.error,
        view.stdout_bytes,
        view.started_at,
        view.finished_at,
        run.history
    )
}
