//! Taking over inventories, and giving ours out.

use muster_model::inventory::Document;
use muster_model::wire::{self, Difference, Does, ImportReport};

use super::import as format;
use crate::cli::args::{Format, Import};
use crate::cli::context::Context;
use crate::cli::input;
use crate::cli::stop::Stop;
use crate::render::sanitise;

/// `hosts import`.
pub(super) async fn import(context: &mut Context, args: &Import) -> Result<(), Stop> {
    let bytes = input::file(
        &args.file,
        "file of hosts",
        muster_model::limits::REQUEST_BYTES,
        context.stdin,
    )?;
    let hosts = format::read(&bytes, &args.file.display().to_string())?;
    let import = wire::Import {
        document: Document {
            hosts,
            groups: Vec::new(),
        },
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
    let (hosts, groups) = (report.hosts, report.groups);
    let all = [hosts, groups]
        .iter()
        .map(|tally| tally.added + tally.changed + tally.removed)
        .sum::<u64>();
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
    let would = if dry_run { "would be: " } else { "" };
    format!("{what}: {would}{}", parts.join(", "))
}

/// `hosts export`.
pub(super) async fn export(context: &mut Context, format: Format) -> Result<(), Stop> {
    let document = context.client().await?.document().await?;
    match format {
        Format::Json => context.print_json(&document).await,
    }
}
