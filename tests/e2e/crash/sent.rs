//! A task that was sent to the server, or may have been.

use std::process::Command;

use muster_client::request_id;
use muster_model::TaskId;
use muster_model::wire::{Secrets, Submit, Targets, Work, WorkOptions};

use crate::case::{Case, Course};
use crate::world::{Broken, World, run};

/// A task that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Stands in its command, and in no other's.
    pub tag: String,
    /// The request, where its name is known: it may be sent again.
    pub request: Option<Submit>,
    /// Its number, once it was printed or answered.
    pub id: Option<TaskId>,
    /// Whether its server was killed before the case began.
    pub before: bool,
    pub retries: u32,
    pub lines: u32,
}

/// How a task is sent.
pub struct Plan {
    pub number: u32,
    pub gated: bool,
    pub before: bool,
}

impl Plan {
    fn lines(&self, case: &Case) -> u32 {
        // What an earlier server did is not what the case is about.
        if self.before { 1 } else { case.lines }
    }
}

/// Sends a task through the command that `program` makes of arguments. A command that fails leaves a task whose
/// number is not known.
pub fn by_command(
    world: &World<'_>,
    plan: &Plan,
    program: impl FnOnce(&[&str]) -> Command,
) -> Result<(Sent, std::process::Output), Broken> {
    let case = &world.case;
    let mut sent = new(world, plan);
    let script = world.script(&sent.tag, case.fails, sent.lines, plan.gated);
    let retries = sent.retries.to_string();
    let mut args = vec!["run", &script, "--detach", "--retries", &retries];
    if case.one_by_one {
        args.extend(["--concurrency", "1"]);
    }
    if case.by_timeout {
        args.extend(["--timeout", TIMEOUT_TEXT]);
    }
    let hosts = case.hosts();
    args.push("--hosts");
    args.extend(hosts.iter().map(String::as_str));
    let output = run(&mut program(&args))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(number) = printed.trim().strip_prefix("task id: ") {
        let id = number
            .parse()
            .map_err(|_| format!("'{number}' is no number of a task"))?;
        sent.id = Some(TaskId(id));
    }
    Ok((sent, output))
}

/// Sends a task by a request whose name is known; whether it arrives is seen by its number.
pub fn by_request(world: &World<'_>, plan: &Plan) -> Result<Sent, Broken> {
    let case = &world.case;
    let mut sent = new(world, plan);
    let submit = Submit {
        request_id: request_id().map_err(|problem| problem.to_string())?,
        work: Work::Command {
            command: world.script(&sent.tag, case.fails, sent.lines, plan.gated),
        },
        targets: Targets {
            hosts: case.hosts(),
            exclude: Vec::new(),
            selector: None,
        },
        options: WorkOptions {
            retries: sent.retries,
            concurrency: case.one_by_one.then_some(1),
            timeout_ms: case.by_timeout.then_some(TIMEOUT_MS),
            ssh_config: Some(world.sshd.ssh_config().to_string_lossy().into_owned()),
            ..WorkOptions::default()
        },
        stdin_base64: None,
        secrets: Secrets::default(),
        dry_run: false,
    };
    sent.id = world
        .ask(async |client| client.submit(&submit).await)
        .ok()
        .map(|task| task.id);
    sent.request = Some(submit);
    Ok(sent)
}

/// Long enough for every command to have begun, however busy the machine is.
const TIMEOUT_TEXT: &str = "5s";
const TIMEOUT_MS: u64 = 5000;

fn new(world: &World<'_>, plan: &Plan) -> Sent {
    let case = &world.case;
    let when = if plan.before { "before" } else { "now" };
    Sent {
        tag: format!("{}-{when}-{}", world.tags(), plan.number),
        request: None,
        id: None,
        before: plan.before,
        // A task that an earlier server had is retried only where that is what dies.
        retries: if plan.before && case.course == Course::Start {
            0
        } else {
            case.retries
        },
        lines: plan.lines(case),
    }
}

/// Sends a request again: it must give the task that it gave before.
pub fn again(world: &World<'_>, sent: &mut Sent) -> Result<(), Broken> {
    let Some(request) = &sent.request else {
        return Ok(());
    };
    let task = world.answer(async |client| client.submit(request).await)?;
    match sent.id.replace(task.id) {
        Some(before) if before != task.id => Err(format!(
            "the request of task {before}, sent again, gave task {}",
            task.id
        )),
        _ => Ok(()),
    }
}
