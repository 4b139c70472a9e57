//! Taking over inventories, and giving ours out.

use std::path::Path;

use muster_model::wire::{self, Difference, Does, ImportReport};
use muster_model::{Problem, limits, problem::Code};

use crate::cli::args::Import;
use crate::cli::context::Context;
use crate::cli::input;
use crate::cli::stop::Stop;
use crate::inventory::{self, Fault, Format, Read};
use crate::render::sanitise;

/// `hosts import`.
pub(super) async fn import(context: &mut Context, args: &Import) -> Result<(), Stop> {
    let read = read(context, args)?;
    if read.guessed {
        let told = format!("read as {} (--format says otherwise)", read.format);
        context.notice(&told).await;
    }
    for note in &read.notes {
        context.notice(&sanitise::line(&note.to_string())).await;
    }
    let import = wire::Import {
        document: read.document,
        prune: args.prune,
        dry_run: args.dry_run,
    };
    let report = context.client().await?.import(&import).await?;
    if args.json {
        return context.print_json(&report).await;
    }
    if args.dry_run {
        context.print(&steps(&report)).await?;
    }
    for (what, difference) in [("hosts", report.hosts), ("groups", report.groups)] {
        if difference != Difference::default() {
            context.notice(&summary(what, difference, args.dry_run)).await;
        }
    }
    Ok(())
}

fn read(context: &Context, args: &Import) -> Result<Read, Problem> {
    let from_stdin = args.file == Path::new("-");
    let bytes = match from_stdin {
        true => Some(input::file(&args.file, "inventory", limits::REQUEST_BYTES, context.stdin)?.into()),
        false => None,
    };
    inventory::read(&args.file, args.format, bytes).map_err(|faults| wrong(&faults))
}

/// Says everything that is wrong in a file.
fn wrong(faults: &[Fault]) -> Problem {
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| sanitise::line(&fault.to_string()).into_owned())
        .collect();
    Problem::new(Code::InvalidRequest, lines.join("\n"))
        .hint("nothing was imported; docs/guide/inventory.md tells what is read of each format")
}

/// Returns what an import does, a line for each host and group.
fn steps(report: &ImportReport) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let sign = match step.does {
            Does::Add => '+',
            Does::Change => '~',
            Does::Remove => '-',
        };
        text.push_str(&format!("{sign} {} {}", step.what, sanitise::line(&step.name)));
        if !step.details.is_empty() {
            text.push_str(&format!(": {}", sanitise::line(&step.details.join(", "))));
        }
        text.push('\n');
    }
    let all: u64 = [report.hosts, report.groups]
        .iter()
        .map(|tally| tally.added + tally.changed + tally.removed)
        .sum();
    let told = u64::try_from(report.steps.len()).unwrap_or(u64::MAX);
    if told < all {
        text.push_str(&format!("… and {} more\n", all - told));
    }
    text
}

fn summary(what: &str, tally: Difference, dry_run: bool) -> String {
    let mut parts = vec![
        format!("{} added", tally.added),
        format!("{} changed", tally.changed),
        format!("{} the same", tally.unchanged),
    ];
    if tally.removed > 0 {
        parts.push(format!("{} removed", tally.removed));
    }
    if tally.left > 0 {
        parts.push(format!("{} not in the file and left alone", tally.left));
    }
    let would = if dry_run { "would be " } else { "" };
    format!("{what}: {would}{}", parts.join(", "))
}

/// `hosts export`.
pub(super) async fn export(context: &mut Context, format: Format) -> Result<(), Stop> {
    let document = context.client().await?.document().await?;
    let written = inventory::write(format, &document).map_err(|error| {
        Problem::new(Code::InvalidRequest, error.to_string())
            .hint("`muster hosts export --help` lists the formats")
    })?;
    context.print(&written.text).await?;
    for note in &written.notes {
        context.notice(&sanitise::line(note)).await;
    }
    Ok(())
}
