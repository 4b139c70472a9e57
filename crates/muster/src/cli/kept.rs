//! `db stats` and `db prune`: what takes the space in the database, and removing what is not to be kept. They work on
//! the database directly.

use muster_client::exit;
use muster_engine::Keep;
use muster_model::{TaskId, Timestamp};
use muster_store::retention::{Removed, due_at, prune_at};
use muster_store::transfer::{self, Stats};
use muster_store::types::retention::{Due, Part};
use serde_json::json;

use super::args::Kept;
use super::context::Context;
use super::database::problem;
use super::stop::Stop;
use crate::render::table::{Table, clip};
use crate::settings::masked;

/// The most tasks that a dry run names one by one.
const NAMED: usize = 1000;

/// `db stats`.
pub(super) async fn stats(context: &mut Context, url: &str, json: bool) -> Result<u8, Stop> {
    let stats = transfer::stats(url).await.map_err(|error| problem(&error))?;
    if json {
        context.print_json(&stats_in_json(url, &stats)).await?;
    } else {
        context.print(&stats_text(url, &stats)).await?;
    }
    Ok(exit::SUCCESS)
}

/// What `db prune` was told.
pub(super) struct Asked {
    pub(super) dry_run: bool,
    pub(super) tasks: Option<Kept<std::time::Duration>>,
    pub(super) output: Option<Kept<std::time::Duration>>,
    pub(super) output_size: Option<Kept<u64>>,
    pub(super) json: bool,
}

impl Asked {
    /// Returns what is kept. Where one limit is named, those that are not named are none: nothing goes that nobody
    /// spoke of.
    fn keep(&self, settings: Keep) -> Keep {
        if self.tasks.is_none() && self.output.is_none() && self.output_size.is_none() {
            return settings;
        }
        Keep {
            tasks: self.tasks.and_then(|kept| kept.0),
            output: self.output.and_then(|kept| kept.0),
            output_bytes: self.output_size.and_then(|kept| kept.0),
        }
    }
}

/// `db prune`.
pub(super) async fn prune(context: &mut Context, url: &str, asked: &Asked) -> Result<u8, Stop> {
    let now = muster_runtime::now();
    let limits = asked.keep(context.settings.keep).limits(now);
    if asked.dry_run {
        let due = due_at(url, limits, now).await.map_err(|error| problem(&error))?;
        if asked.json {
            context.print_json(&due_in_json(&due)).await?;
        } else {
            context.print(&due_text(&due)).await?;
        }
        return Ok(exit::SUCCESS);
    }
    let removed = prune_at(url, limits, now, &|_| {})
        .await
        .map_err(|error| problem(&error))?;
    if asked.json {
        context.print_json(&removed_in_json(&removed)).await?;
    } else {
        context.print(&removed_text(&removed)).await?;
    }
    Ok(exit::SUCCESS)
}

/// Returns bytes in the largest unit of which there is at least one.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

fn stats_text(url: &str, stats: &Stats) -> String {
    let mut all = Table::new(&["database", &masked(url)]);
    all.row(["size".to_owned(), size(stats.bytes)]);
    if stats.free_bytes > 0 {
        let free = format!("{}, used again before it grows", size(stats.free_bytes));
        all.row(["of that free".to_owned(), free]);
    }
    let alone = format!(
        "{} of {}",
        size(stats.alone.bytes),
        counted(stats.alone.count, "run", "runs")
    );
    all.row(["output with its run".to_owned(), alone]);
    let shared = format!(
        "{} for {}, in place of {}",
        size(stats.shared.bytes),
        counted(stats.shared.runs, "run", "runs"),
        size(stats.shared.would_be_bytes)
    );
    all.row(["equal output, once".to_owned(), shared]);
    let mut logs = format!(
        "{} of {}",
        size(stats.logs.bytes),
        counted(stats.logs.count, "run", "runs")
    );
    if stats.logs_saved_bytes > 0 {
        logs.push_str(&format!(
            ", in place of {}",
            size(stats.logs.bytes + stats.logs_saved_bytes)
        ));
    }
    all.row(["large output".to_owned(), logs]);
    if let Some(oldest) = stats.oldest {
        all.row(["oldest end of a task".to_owned(), oldest.to_string()]);
    }
    let mut tables = Table::new(&["TABLE", "ROWS", "SIZE"]);
    for table in &stats.tables {
        tables.row([table.name.clone(), table.rows.to_string(), size(table.bytes)]);
    }
    let mut text = format!("{}\n{}", all.text(), tables.text());
    if !stats.largest.is_empty() {
        let mut largest = Table::new(&["TASK", "RUNS", "OUTPUT", "ENDED", "COMMAND"]);
        for task in &stats.largest {
            largest.row([
                task.id.to_string(),
                task.runs.to_string(),
                size(task.bytes),
                task.finished_at.map(|at| at.to_string()).unwrap_or_default(),
                clip(&task.title, 50),
            ]);
        }
        text.push_str(&format!("\n{}", largest.text()));
    }
    text
}

fn stats_in_json(url: &str, stats: &Stats) -> serde_json::Value {
    let tables: Vec<_> = stats
        .tables
        .iter()
        .map(|table| json!({"name": table.name, "rows": table.rows, "bytes": table.bytes}))
        .collect();
    let largest: Vec<_> = stats
        .largest
        .iter()
        .map(|task| {
            json!({
                "id": task.id, "command": task.title, "runs": task.runs, "bytes": task.bytes,
                "finished_at": task.finished_at,
            })
        })
        .collect();
    json!({
        "database": masked(url),
        "bytes": stats.bytes,
        "free_bytes": stats.free_bytes,
        "tables": tables,
        "output": {
            "alone": {"runs": stats.alone.count, "bytes": stats.alone.bytes},
            "shared": {
                "runs": stats.shared.runs, "outputs": stats.shared.count, "bytes": stats.shared.bytes,
                "would_be_bytes": stats.shared.would_be_bytes,
            },
            "large": {
                "runs": stats.logs.count, "bytes": stats.logs.bytes,
                "would_be_bytes": stats.logs.bytes + stats.logs_saved_bytes,
            },
        },
        "oldest_end": stats.oldest,
        "largest_tasks": largest,
    })
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Task => "task",
        Part::Output => "output",
    }
}

fn due_text(due: &[Due]) -> String {
    let mut table = Table::new(&["TASK", "WHAT GOES", "RUNS", "OUTPUT", "ENDED"]);
    for due in due.iter().take(NAMED) {
        table.row([
            due.task.to_string(),
            match due.part {
                Part::Task => "all of it".to_owned(),
                Part::Output => "its output".to_owned(),
            },
            due.runs.to_string(),
            size(due.bytes),
            due.finished_at.to_string(),
        ]);
    }
    let bytes: u64 = due.iter().map(|due| due.bytes).sum();
    let tasks = due.iter().filter(|due| due.part == Part::Task).count() as u64;
    let outputs = due.len() as u64 - tasks;
    let mut text = match due.is_empty() {
        true => String::new(),
        false => table.text(),
    };
    if due.len() > NAMED {
        text.push_str(&format!("and {} more\n", due.len() - NAMED));
    }
    text.push_str(&format!(
        "would remove {} and the output of {} more: {}\n",
        counted(tasks, "task", "tasks"),
        outputs,
        size(bytes)
    ));
    text
}

fn due_in_json(due: &[Due]) -> serde_json::Value {
    let due: Vec<serde_json::Value> = due
        .iter()
        .map(|due| {
            let (id, at): (TaskId, Timestamp) = (due.task, due.finished_at);
            json!({"id": id, "part": part(due.part), "runs": due.runs, "bytes": due.bytes, "finished_at": at})
        })
        .collect();
    json!({"dry_run": true, "due": due})
}

fn removed_text(removed: &Removed) -> String {
    if removed.is_nothing() {
        return "nothing is kept too long\n".to_owned();
    }
    let mut text = format!(
        "removed {} and the output of {} more: {}\n",
        counted(removed.tasks, "task", "tasks"),
        removed.outputs,
        size(removed.bytes)
    );
    if removed.shared > 0 {
        text.push_str(&format!(
            "removed {} that no run has any more\n",
            counted(removed.shared, "shared output", "shared outputs")
        ));
    }
    text
}

fn removed_in_json(removed: &Removed) -> serde_json::Value {
    json!({
        "dry_run": false,
        "tasks": removed.tasks,
        "outputs": removed.outputs,
        "bytes": removed.bytes,
        "shared_outputs": removed.shared,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_a_unit_of_which_there_is_one() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn a_named_limit_is_the_only_one() {
        let settings = Keep {
            tasks: Some(std::time::Duration::from_secs(1)),
            output: Some(std::time::Duration::from_secs(2)),
            output_bytes: Some(3),
        };
        let mut asked = Asked {
            dry_run: true,
            tasks: None,
            output: None,
            output_size: None,
            json: false,
        };
        assert_eq!(asked.keep(settings), settings);
        asked.output_size = Some(Kept(Some(7)));
        let only_size = Keep {
            output_bytes: Some(7),
            ..Keep::default()
        };
        assert_eq!(asked.keep(settings), only_size);
        asked.output_size = Some(Kept(None));
        assert_eq!(asked.keep(settings), Keep::default());
    }
}
