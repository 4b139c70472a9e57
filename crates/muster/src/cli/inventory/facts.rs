//! What hosts are: asked, and shown.

use muster_client::exit;
use muster_model::facts::{self, ANSWER_BYTES, Facts};
use muster_model::wire::{HostFacts, RunView, Targets, Work};
use muster_model::{Problem, RunState, Target, Timestamp};

use crate::cli::args::{Facts as Args, Login};
use crate::cli::context::Context;
use crate::cli::report::Pages;
use crate::cli::stop::Stop;
use crate::cli::{input, submit, task};
use crate::render::sanitise;
use crate::render::table::{Table, clip};
use crate::render::words::Ending;

/// The widest name of a system that the table shows.
const SYSTEM: usize = 32;

/// `hosts facts`.
pub(super) async fn facts(context: &mut Context, args: &Args) -> Result<u8, Stop> {
    let hosts = input::hosts(&args.hosts, context.stdin)?;
    let mut targets = submit::targets(hosts, &args.narrowed);
    if targets.hosts.is_empty() && targets.selector.is_none() {
        targets.hosts.push("@*".to_owned());
    }
    let (found, code) = if args.known {
        (known(context, &targets).await?, exit::SUCCESS)
    } else {
        ask(context, targets, &args.login).await?
    };
    if args.json {
        context.print_json(&found).await?;
    } else if !found.is_empty() {
        context.print(&table(&found)).await?;
    } else if args.known {
        let told = "nothing is known of these hosts: `muster hosts facts HOST…` asks them";
        context.notice(told).await;
    }
    Ok(code)
}

/// Returns what the targets said the last time.
async fn known(context: &mut Context, targets: &Targets) -> Result<Vec<HostFacts>, Problem> {
    let client = context.client().await?;
    let chosen = client.expand(targets).await?;
    if chosen.hosts.is_empty() {
        return Ok(Vec::new());
    }
    client.facts(Some(&chosen.folded), None).await
}

/// Asks the targets; says who did not answer, and why.
async fn ask(context: &mut Context, targets: Targets, login: &Login) -> Result<(Vec<HostFacts>, u8), Stop> {
    let submit = submit::plain(Work::Facts, targets, login, &context.settings)?;
    let done = Box::pin(task::done(context, submit)).await?;
    let client = context.client().await?;
    let mut pages = Pages::new(&client, done.id, ANSWER_BYTES as u64);
    let mut found = Vec::new();
    let mut silent = Vec::new();
    while let Some(entries) = pages.next().await? {
        for entry in entries {
            let run = &entry.run;
            if run.state == RunState::Succeeded {
                found.extend(read(run));
                continue;
            }
            let ending = Ending {
                state: run.state,
                exit_code: run.exit_code,
                signal: run.signal.as_deref(),
                error: run.error.as_deref(),
            };
            silent.push(format!("{}: {}", sanitise::line(&run.host), ending.words()));
        }
    }
    for told in silent {
        context.notice(&told).await;
    }
    Ok((found, exit::of_counts(&done.counts)))
}

/// Reads what a host said, as the server did before it called the run succeeded.
fn read(run: &RunView) -> Option<HostFacts> {
    let target: Target = run.host.parse().ok()?;
    Some(HostFacts {
        host: target.host,
        gathered_at: run.finished_at.unwrap_or(Timestamp(0)),
        facts: facts::parse(run.stdout.as_bytes()).ok()?,
    })
}

fn table(found: &[HostFacts]) -> String {
    let mut table = Table::new(&[
        "HOST", "SYSTEM", "KERNEL", "ARCH", "CPUS", "MEMORY", "VIRT", "ADDRESS",
    ]);
    for HostFacts { host, facts, .. } in found {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.row([
            host.to_string(),
            or_dash(system(facts)),
            or_dash(facts.kernel_release.clone()),
            or_dash(facts.arch.clone()),
            or_dash(facts.cpus.map(|cpus| cpus.to_string())),
            or_dash(facts.mem_bytes.map(gibibytes)),
            or_dash(facts.virt.clone()),
            or_dash(facts.addresses.first().map(ToString::to_string)),
        ]);
    }
    table.text()
}

fn system(facts: &Facts) -> Option<String> {
    let named = facts.os.name.clone().or_else(|| {
        let id = facts.os.id.as_ref()?;
        Some(match &facts.os.version {
            Some(version) => format!("{id} {version}"),
            None => id.clone(),
        })
    });
    named
        .or_else(|| facts.kernel.clone())
        .map(|name| clip(&name, SYSTEM))
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a GiB is all that is shown")]
fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1_u32 << 30))
}
