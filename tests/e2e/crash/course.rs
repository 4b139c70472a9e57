//! From a fresh home to the death of a process at its point, and on to where everything has ended.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use muster_model::TaskId;
use muster_model::task::TaskState;
use muster_runtime::crash::Point;
use muster_testkit::proc;
use muster_testkit::sshd::Sshd;
use nix::sys::signal::Signal;

use crate::case::{After, Case, Course, Farewell};
use crate::promises;
use crate::sent::{self, Plan, Sent};
use crate::vault;
use crate::world::{Broken, World, run, send};

/// Goes through a case. `older` is an older build of the binary.
pub fn go(case: Case, sshd: &Sshd, older: &Path) -> Result<(), Broken> {
    let world = World::new(case, sshd)?;
    walk(&world, older).map_err(|broken| {
        let log = world.log();
        let last: Vec<&str> = log.lines().rev().take(40).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{broken}\nthe end of the server's log:\n{}", last.join("\n"))
    })
}

fn walk(world: &World<'_>, older: &Path) -> Result<(), Broken> {
    let mut tasks = Vec::new();
    if world.case.before {
        tasks = leave_open_tasks(world)?;
    }
    lead_to_the_point(world, older, &mut tasks)?;
    until_dead(world)?;
    world.recover()?;
    if world.case.course == Course::Rekey {
        vault::is_whole(world)?;
    }
    for task in &mut tasks {
        sent::again(world, task)?;
    }
    submit_again_what_was_refused(world, &mut tasks)?;
    if world.case.course != Course::Cancel {
        world.open_gate()?;
    }
    let numbers = numbers(world, &tasks)?;
    for (_, id) in &numbers {
        until_done(world, *id)?;
    }
    // While the commands of a cancelled task could still go on.
    for (task, id) in &numbers {
        promises::nothing_is_left(world, task, *id)?;
    }
    world.open_gate()?;
    quiet(world)?;
    let first = promises::read_all(world, &numbers)?;
    promises::hold(world, &first)?;

    world.end_server(world.case.killed_again)?;
    world.recover()?;
    for (task, id) in numbers {
        let mut task = task;
        task.id = Some(id);
        sent::again(world, &mut task)?;
        promises::stays(world, &first, &task, id)?;
    }
    quiet(world)
}

/// Has a server killed that has started some of its runs and not all.
fn leave_open_tasks(world: &World<'_>) -> Result<Vec<Sent>, Broken> {
    world.recover()?;
    let count = if world.case.course == Course::TakeOver {
        world.case.tasks
    } else {
        1
    };
    let mut tasks = Vec::new();
    for number in 0..count {
        let plan = Plan {
            number,
            gated: true,
            before: true,
        };
        let task = sent::by_request(world, &plan)?;
        let id = task.id.ok_or("a server that nobody kills takes no task")?;
        until_running(world, &task, id)?;
        tasks.push(task);
    }
    world.end_server(true)?;
    Ok(tasks)
}

fn lead_to_the_point(world: &World<'_>, older: &Path, tasks: &mut Vec<Sent>) -> Result<(), Broken> {
    let case = &world.case;
    match case.course {
        Course::TakeOver => run(&mut world.doomed(&["tasks"])).map(drop),
        Course::Start | Course::Run | Course::Again | Course::Unreached | Course::Idle => {
            submit_all(world, tasks, false)
        }
        Course::RunTwice => {
            world.succeeds(world.doomed(&["tasks"]))?;
            for number in 0..case.tasks {
                let plan = Plan {
                    number,
                    gated: false,
                    before: false,
                };
                let mut task = sent::by_request(world, &plan)?;
                // Where the server dies now, it is sent once more when there is another one.
                let _ = sent::again(world, &mut task);
                tasks.push(task);
            }
            Ok(())
        }
        Course::Cancel => {
            submit_all(world, tasks, true)?;
            if case.by_timeout {
                return Ok(());
            }
            for task in tasks.iter() {
                let id = task.id.ok_or("a task that waits was not taken")?;
                until_running(world, task, id)?;
            }
            for task in tasks.iter().filter_map(|task| task.id) {
                // It fails where the server died, and all of the task with it.
                run(&mut world.command(&["cancel", &task.to_string()]))?;
            }
            Ok(())
        }
        Course::Leave | Course::Replace => leave(world, older, tasks),
        Course::Rekey => vault::rekey(world),
    }
}

fn submit_all(world: &World<'_>, tasks: &mut Vec<Sent>, gated: bool) -> Result<(), Broken> {
    let case = &world.case;
    // The process that dies may be the command itself, or a server that starts.
    let may_fail = case.course == Course::Start
        || matches!(
            case.point,
            Point::NumberReceived | Point::TransactionReady | Point::TransactionCommitted
        );
    if !case.by_command && case.course != Course::Start {
        let output = run(&mut world.doomed(&["tasks"]))?;
        if !output.status.success() && !may_fail {
            return Err(format!("no server starts: {output:?}"));
        }
    }
    for number in 0..case.tasks {
        let plan = Plan {
            number,
            gated,
            before: false,
        };
        if !case.by_command && case.course != Course::Start {
            tasks.push(sent::by_request(world, &plan)?);
            continue;
        }
        let (task, output) = sent::by_command(world, &plan, |args| world.doomed(args))?;
        let ended_as_it_may = output.status.success()
            || may_fail && (output.status.code() == Some(3) || output.status.signal().is_some());
        if !ended_as_it_may || output.status.success() != task.id.is_some() {
            return Err(format!(
                "a command did not get over the server's death: {output:?}"
            ));
        }
        tasks.push(task);
    }
    Ok(())
}

/// A command that was told that nothing was taken is typed again.
fn submit_again_what_was_refused(world: &World<'_>, tasks: &mut Vec<Sent>) -> Result<(), Broken> {
    let refused = tasks.iter().filter(|task| task.id.is_none()).count();
    if world.case.point == Point::NumberReceived {
        return Ok(());
    }
    for number in 0..refused {
        let number = 100 + u32::try_from(number).unwrap_or(0);
        let plan = Plan {
            number,
            gated: false,
            before: false,
        };
        let (task, output) = sent::by_command(world, &plan, |args| world.command(args))?;
        if task.id.is_none() {
            return Err(format!("the next server takes no task: {output:?}"));
        }
        tasks.push(task);
    }
    Ok(())
}

fn leave(world: &World<'_>, older: &Path, tasks: &mut Vec<Sent>) -> Result<(), Broken> {
    let case = &world.case;
    let replaced = case.course == Course::Replace;
    let hands_over = replaced || case.farewell == Farewell::Handover;
    let program = if hands_over {
        older
    } else {
        Path::new(crate::MUSTER)
    };
    let start = world.command_of(program, &["tasks"]);
    world.succeeds(if replaced { start } else { world.doom(start) })?;
    let plan = Plan {
        number: 0,
        gated: true,
        before: false,
    };
    let task = match case.by_command {
        true => sent::by_command(world, &plan, |args| world.command_of(program, args))?.0,
        false => sent::by_request(world, &plan)?,
    };
    let id = task.id.ok_or("a task that waits was not taken")?;
    until_running(world, &task, id)?;
    tasks.push(task);
    match (replaced, case.farewell) {
        (true, _) => run(&mut world.doomed(&["tasks"])).map(drop)?,
        (false, Farewell::Stop) => run(&mut world.command(&["server", "stop"])).map(drop)?,
        // Whatever the older server dies of, the command that replaces it gets its answer.
        (false, Farewell::Handover) => world.recover()?,
        (false, Farewell::Signal) => {
            let pid = world.answer(async |client| client.server().await)?.pid;
            send(pid, Signal::SIGTERM)?;
        }
    }
    if case.after == After::OneLost {
        Ok(())
    } else {
        world.open_gate()
    }
}

/// Waits until the process has died at its point.
fn until_dead(world: &World<'_>) -> Result<(), Broken> {
    let Case { point, passing, .. } = world.case;
    let what = format!("{point} to be passed {passing} times, and the process to die there");
    world.until(&what, || {
        let mark = std::fs::read_to_string(world.mark()).ok()?;
        let pid = mark.strip_prefix("process ")?.split(' ').next()?.parse().ok()?;
        (!proc::is_alive(pid)).then_some(())
    })
}

/// The tasks that there are, with their numbers; a task whose number was told is there.
fn numbers(world: &World<'_>, tasks: &[Sent]) -> Result<Vec<(Sent, TaskId)>, Broken> {
    let mut numbers = Vec::new();
    for task in tasks {
        let found = world.task_of(&task.tag)?.map(|found| found.id);
        // The command had its answer from the server and died before it printed the number.
        let was_accepted = task.id.is_some() || world.case.point == Point::NumberReceived;
        match (task.id, found) {
            (Some(told), found) if found != Some(told) => {
                return Err(format!("task {told} was told of; what is there is {found:?}"));
            }
            (None, None) if was_accepted => return Err("an accepted task is not there".to_owned()),
            (_, Some(id)) => numbers.push((task.clone(), id)),
            (_, None) => {}
        }
    }
    Ok(numbers)
}

fn until_running(world: &World<'_>, task: &Sent, id: TaskId) -> Result<(), Broken> {
    let wanted = match world.case.one_by_one {
        true => 1,
        false => world.case.hosts().len(),
    };
    world.until("commands to run", || {
        std::thread::sleep(LOOK);
        let view = world.answer(async |client| client.task(id).await).ok()?;
        let begun = promises::begun_and_running(world, task).ok()?;
        (view.counts.started as usize >= wanted && begun >= wanted).then_some(())
    })
}

fn until_done(world: &World<'_>, id: TaskId) -> Result<(), Broken> {
    let done = world.until("the task's end", || {
        std::thread::sleep(LOOK);
        let view = world.answer(async |client| client.task(id).await).ok()?;
        (view.state == TaskState::Done).then_some(())
    });
    done.map_err(|error| format!("task {id}: {error}; now {:#?}", world.read(id)))
}

/// Waits until no command runs any more on any host, and none is to come.
fn quiet(world: &World<'_>) -> Result<(), Broken> {
    let tags = world.tags();
    let mut looks = 0;
    world.until("all commands to end", || {
        std::thread::sleep(LOOK);
        // One that sshd has read and not started yet is on a connection that a dead server has left.
        let is_quiet = world.sshd.left_alone() == 0 && proc::with_arg(&tags).is_empty();
        looks = if is_quiet { looks + 1 } else { 0 };
        (looks == 2).then_some(())
    })
}

/// A look costs the server, or this machine, something.
const LOOK: Duration = Duration::from_millis(40);
