//! The commands about tasks: run, script, check_task, tasks, cancel, retry, hosts ping.

use muster_client::{TasksQuery, exit, request_id};
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_model::wire::{self, Plan, Submit, TaskListing, TaskView};
use muster_model::{Problem, RunState, TaskId, Timestamp, quantity};
use muster_runtime::crash_point;

use super::args::{CheckMode, CheckTask, Mode, Output, Ping, Retry, Run, Script, Task, Tasks};
use super::context::{Context, Phase};
use super::follow::{follow, wait};
use super::report::{self, Pages};
use super::stop::{Left, Stop};
use super::{input, inventory, submit};
use crate::render::table::{Table, clip};
use crate::render::words::{self, Ending};
use crate::render::{sanitise, screen::Screen};

/// `run`.
pub async fn run(context: &mut Context, args: &Run) -> Result<u8, Stop> {
    let submit = submit::run(args, &context.settings, context.stdin)?;
    Box::pin(start(context, submit, &args.task)).await
}

/// `script`.
pub async fn script(context: &mut Context, args: &Script) -> Result<u8, Stop> {
    let submit = submit::script(args, &context.settings, context.stdin)?;
    Box::pin(start(context, submit, &args.task)).await
}

async fn start(context: &mut Context, submit: Submit, args: &Task) -> Result<u8, Stop> {
    if args.targets.explain {
        return inventory::explain(context, &submit.targets, args.output.mode() == Mode::Json).await;
    }
    if submit.dry_run {
        let plan = context.client().await?.plan(&submit).await?;
        if args.output.mode() == Mode::Json {
            context.print_json(&plan).await?;
        } else {
            context.print(&plan_text(&plan)).await?;
        }
        return Ok(exit::SUCCESS);
    }
    context.phase.set(Phase::Submitting);
    let task = context.client().await?.submit(&submit).await?;
    // The secrets in it are wiped before a long wait.
    drop(submit);
    accepted(context, &task, args.detach, args.output).await
}

/// Goes on with a task that exists: prints its number, or follows it. The prompt follows only where it was told how
/// to print results.
async fn accepted(context: &mut Context, task: &TaskView, detach: bool, output: Output) -> Result<u8, Stop> {
    crash_point!(NumberReceived);
    context.submitted.push(task.id);
    let leaving = context.phase.replace(Phase::Accepted(task.id)) == Phase::Leaving;
    if leaving {
        return Err(Stop::Interrupted(Left::Task(task.id)));
    }
    if detach || (context.at_prompt && !output.is_asked()) {
        context.print(&format!("task id: {}\n", task.id)).await?;
        return Ok(exit::SUCCESS);
    }
    let code = Box::pin(follow(context, task.id, output.mode())).await?;
    // Its end was seen here: nobody has to be told of it.
    context.submitted.clear();
    Ok(code)
}

fn plan_text(plan: &Plan) -> String {
    let mut text = format!(
        "would run on {}: {}\n",
        words::hosts(usize::try_from(plan.total).unwrap_or(usize::MAX)),
        sanitise::line(&plan.hosts)
    );
    if plan.wave_count > 1 {
        text.push_str(&format!("in {} waves:\n", plan.wave_count));
        for wave in &plan.waves {
            text.push_str(&format!("  {}\n", sanitise::line(wave)));
        }
        let told = u32::try_from(plan.waves.len()).unwrap_or(u32::MAX);
        if told < plan.wave_count {
            text.push_str(&format!("  … and {} more\n", plan.wave_count - told));
        }
    }
    text.push_str(&format!("command: {}\n", sanitise::line(&plan.command)));
    text
}

/// `check_task`.
pub async fn check(context: &mut Context, args: &CheckTask) -> Result<u8, Stop> {
    let client = context.client().await?;
    let task = client.task(args.id).await?;
    match if args.json { CheckMode::Json } else { args.output } {
        CheckMode::Grouped => {
            Box::pin(report::grouped(context, &client, args.id)).await?;
            if let Some(at) = task.output_removed_at {
                let kept = "`muster config` says how long and how much output is kept";
                context
                    .notice(&format!("its output was removed at {at}: {kept}"))
                    .await;
            }
            context.notice(&words::summary(&task)).await;
        }
        CheckMode::Json => Box::pin(report::json(context, &client, &task)).await?,
        CheckMode::Quiet => {}
    }
    Ok(exit::of_counts(&task.counts))
}

/// `tasks`.
pub async fn list(context: &mut Context, args: &Tasks) -> Result<u8, Stop> {
    let since = args
        .since
        .as_deref()
        .map(|text| moment(text, muster_runtime::now()))
        .transpose()?;
    let client = context.client().await?;
    let mut tasks: Vec<TaskListing> = Vec::new();
    let mut query = TasksQuery {
        state: args.state.clone(),
        since,
        user: args.user.clone(),
        text: args.text.clone(),
        before: None,
        limit: None,
    };
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    loop {
        query.limit = u32::try_from((wanted - tasks.len()).min(500)).ok();
        let page = client.tasks(&query).await?;
        let empty = page.tasks.is_empty();
        tasks.extend(page.tasks);
        tasks.truncate(wanted);
        query.before = page.next_before;
        if tasks.len() == wanted || query.before.is_none() || empty {
            break;
        }
    }
    if args.json {
        context.print_json(&tasks).await?;
    } else if tasks.is_empty() {
        context.notice("no tasks").await;
    } else {
        context
            .print(&tasks_table(&tasks, &jiff::tz::TimeZone::system()))
            .await?;
    }
    if query.before.is_some() && !tasks.is_empty() {
        context.notice(&more_than(tasks.len())).await;
    }
    Ok(exit::SUCCESS)
}

/// Says that there are more tasks than are shown.
fn more_than(shown: usize) -> String {
    let newest = if shown == 1 {
        "the newest task is".to_owned()
    } else {
        format!("the newest {shown} tasks are")
    };
    format!("{newest} shown, and there are more: --limit N shows more of them")
}

fn tasks_table(tasks: &[TaskListing], zone: &jiff::tz::TimeZone) -> String {
    let mut table = Table::new(&["ID", "STATE", "USER", "SUBMITTED", "COMMAND", "RUNS"]);
    for listing in tasks {
        let task = &listing.task;
        let state = match task.state {
            TaskState::Running if listing.cancelled => "cancelling",
            TaskState::Running => "running",
            TaskState::Done => "done",
        };
        let mut command = clip(&task.command, 40);
        if let Some(of) = listing.retry_of {
            command.push_str(&format!(" (retry of {of})"));
        }
        table.row([
            task.id.to_string(),
            state.to_owned(),
            listing.user.clone(),
            local_time(task.created_at, zone),
            command,
            words::counts(&task.counts),
        ]);
    }
    table.text()
}

pub(super) fn local_time(time: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(time) => time
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => time.to_string(),
    }
}

/// Reads a point in time: a duration before `now`, or a time of RFC 3339.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = quantity::duration(text).map_err(|why| {
        Problem::new(Code::InvalidRequest, format!("--since: {why}"))
            .hint("or write a time such as 2026-11-21T12:00:00Z")
    })?;
    let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    Ok(Timestamp(now.0.saturating_sub(micros)))
}

/// `cancel`.
pub async fn cancel(context: &mut Context, id: TaskId) -> Result<u8, Stop> {
    let task = context.client().await?.cancel(id).await?;
    let told = match task.state {
        TaskState::Done => format!("task {id} is cancelled"),
        TaskState::Running => format!("task {id} is being cancelled: {}", words::counts(&task.counts)),
    };
    context.notice(&told).await;
    Ok(exit::SUCCESS)
}

/// `retry`.
pub async fn retry(context: &mut Context, args: &Retry) -> Result<u8, Stop> {
    let retry = wire::Retry {
        request_id: request_id()?,
        secrets: submit::secrets(&args.secrets)?,
    };
    context.phase.set(Phase::Submitting);
    let task = context.client().await?.retry(args.id, &retry).await?;
    drop(retry);
    context
        .notice(&format!("task {} retries task {}", task.id, args.id))
        .await;
    accepted(context, &task, args.detach, args.output).await
}

/// Submits a request and waits for its end without showing its output.
///
/// # Errors
///
/// Those of the server; interrupted.
pub async fn done(context: &mut Context, submit: Submit) -> Result<TaskView, Stop> {
    let client = context.client().await?;
    context.phase.set(Phase::Submitting);
    let task = client.submit(&submit).await?;
    // The secrets in it are wiped before a long wait.
    drop(submit);
    context.submitted.push(task.id);
    if context.phase.replace(Phase::Accepted(task.id)) == Phase::Leaving {
        return Err(Stop::Interrupted(Left::Task(task.id)));
    }
    let task = wait(context, &client, task.id).await?;
    // Its end is seen here: nobody has to be told of it.
    context.submitted.clear();
    Ok(task)
}

/// `hosts ping`.
pub async fn ping(context: &mut Context, args: &Ping) -> Result<u8, Stop> {
    let targets = submit::targets(input::hosts(&args.hosts, context.stdin)?, &args.narrowed);
    let work = wire::Work::Command {
        command: ":".to_owned(),
    };
    let submit = submit::plain(work, targets, &args.login, &context.settings)?;
    let task = Box::pin(done(context, submit)).await?;
    let client = context.client().await?;
    if args.json {
        Box::pin(report::json(context, &client, &task)).await?;
        return Ok(exit::of_counts(&task.counts));
    }
    let mut pages = Pages::new(&client, task.id, 0);
    let mut screen = Screen::default();
    while let Some(entries) = pages.next().await? {
        for entry in entries {
            let run = &entry.run;
            let ending = Ending {
                state: run.state,
                exit_code: run.exit_code,
                signal: run.signal.as_deref(),
                error: run.error.as_deref(),
            };
            let told = match run.state {
                RunState::Succeeded => "reachable".to_owned(),
                _ => ending.words(),
            };
            screen.line(&format!("{}: {told}", sanitise::line(&run.host)));
        }
        context.console.flush(&mut screen).await?;
    }
    Ok(exit::of_counts(&task.counts))
}

#[cfg(test)]
mod tests;
