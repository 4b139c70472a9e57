//! The commands about the database. They work on it directly: no server is started.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use muster_client::exit;
use muster_model::problem::Code;
use muster_model::{ErrorKind, Problem};
use muster_store::transfer::{self, Copied, Mark, Source, Status};

use super::args::Db;
use super::context::Context;
use super::kept::{self, Asked};
use super::stop::Stop;
use crate::render::sanitise;
use crate::render::table::Table;
use crate::settings::masked;

/// A file with a URL is no longer than this.
const LONGEST_URL: u64 = 16 * 1024;

/// `db …`.
pub async fn db(context: &mut Context, command: &Db) -> Result<u8, Stop> {
    let configured = context.settings.database.clone();
    let progress = Progress::new();
    let told = |doing: &str, rows: u64| progress.tell(doing, rows);
    let (copied, json) = match command {
        Db::Status { json } => return status(context, &configured, *json).await,
        Db::Stats { json } => return kept::stats(context, &configured, *json).await,
        Db::Prune {
            dry_run,
            tasks,
            output,
            output_size,
            json,
        } => {
            let asked = Asked {
                dry_run: *dry_run,
                tasks: *tasks,
                output: *output,
                output_size: *output_size,
                json: *json,
            };
            return kept::prune(context, &configured, &asked).await;
        }
        Db::Migrate => return migrate(context, &configured).await,
        Db::Backup { file, json } => (transfer::backup(&configured, &absolute(file)?, &told).await, json),
        Db::Restore { file, to, json } => {
            let to = to.as_deref().map_or(Ok(configured), url)?;
            (transfer::restore(&absolute(file)?, &to, &told).await, json)
        }
        Db::Copy { to, from, live, json } => {
            let from = from.as_deref().map_or(Ok(configured), url)?;
            let source = Source {
                url: &from,
                live: *live,
            };
            (transfer::copy(source, &url(to)?, &told).await, json)
        }
    };
    progress.clear();
    let copied = copied.map_err(|error| problem(&error))?;
    if *json {
        context.print_json(&proof_in_json(&copied)).await?;
    } else {
        context.print(&proof(&copied)).await?;
    }
    Ok(exit::SUCCESS)
}

/// Returns a URL as it was written, or from the file that is named.
fn url(text: &str) -> Result<String, Problem> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.to_owned());
    };
    let refused = |why: String| {
        Problem::new(
            Code::InvalidRequest,
            format!("the URL in '{file}' cannot be used: {why}"),
        )
    };
    let size = std::fs::metadata(file)
        .map_err(|error| refused(error.to_string()))?
        .len();
    if size > LONGEST_URL {
        return Err(refused("the file is too large".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    Ok(text.trim().to_owned())
}

fn absolute(file: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(file)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("'{}': {error}", file.display())))
}

/// Says what is wrong, with its causes.
pub(super) fn problem(error: &muster_store::Error) -> Problem {
    let code = match error.kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled | ErrorKind::OutcomeUnknown => {
            Code::Unavailable
        }
        ErrorKind::Conflict => Code::Conflict,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::NotFound | ErrorKind::Invalid => Code::InvalidRequest,
        ErrorKind::Internal => Code::Internal,
        _ => Code::InvalidDatabase,
    };
    let mut why = error.operation.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    Problem::new(code, why)
}

async fn migrate(context: &mut Context, url: &str) -> Result<u8, Stop> {
    let before = muster_store::schema(url).await.map_err(|error| problem(&error))?;
    let after = muster_store::migrate(url)
        .await
        .map_err(|error| problem(&error))?;
    let mut text = String::new();
    for name in after.applied.iter().filter(|name| !before.applied.contains(name)) {
        text.push_str(&format!("applied {name}\n"));
    }
    let version = format!("schema {} of {}", after.applied.len(), after.known.len());
    text.push_str(&format!("{}: {version}\n", masked(url)));
    context.print(&text).await?;
    Ok(exit::SUCCESS)
}

async fn status(context: &mut Context, url: &str, json: bool) -> Result<u8, Stop> {
    let status = transfer::status(url).await.map_err(|error| problem(&error))?;
    if json {
        context.print_json(&status_in_json(url, &status)).await?;
    } else {
        context.print(&status_text(url, &status)).await?;
    }
    Ok(exit::SUCCESS)
}

/// Returns what keeps servers from opening the database.
fn obstacle(status: &Status) -> Option<String> {
    match &status.schema.mark {
        Some(Mark::Unfinished { source }) => {
            Some(format!("an unfinished copy of {source}: run the copy again"))
        }
        Some(Mark::Backup { source }) => Some(format!("a backup of {source}: muster db restore")),
        None if !status.schema.applied.is_empty() && !status.schema.is_current() => {
            Some("an older schema: muster db migrate".to_owned())
        }
        None => None,
    }
}

fn status_text(url: &str, status: &Status) -> String {
    let mut table = Table::new(&["database", &masked(url)]);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0);
    let engine = status.engine.as_deref().unwrap_or("nothing there yet");
    let version = format!("{} of {}", status.schema.applied.len(), status.schema.known.len());
    table.row(["engine".to_owned(), engine.to_owned()]);
    table.row(["schema".to_owned(), version]);
    table.row(["size".to_owned(), mib(status.bytes)]);
    if status.outputs_bytes > 0 {
        table.row(["output in files".to_owned(), mib(status.outputs_bytes)]);
    }
    if let Some(obstacle) = obstacle(status) {
        table.row(["this is".to_owned(), obstacle]);
    }
    for server in &status.servers {
        let who = format!("{} (process {}) on {}", server.id, server.pid, server.home);
        table.row(["server at work".to_owned(), who]);
    }
    for (name, rows) in &status.tables {
        table.row([format!("rows of {name}"), rows.to_string()]);
    }
    table.text()
}

fn status_in_json(url: &str, status: &Status) -> serde_json::Value {
    let servers: Vec<serde_json::Value> = status
        .servers
        .iter()
        .map(|server| {
            serde_json::json!({
                "id": server.id.to_string(),
                "home": server.home,
                "pid": server.pid,
                "lease_until": server.until,
            })
        })
        .collect();
    let tables: serde_json::Map<String, serde_json::Value> = status
        .tables
        .iter()
        .map(|(name, rows)| (name.clone(), (*rows).into()))
        .collect();
    serde_json::json!({
        "database": masked(url),
        "engine": status.engine,
        "schema": {"applied": status.schema.applied, "known": status.schema.known},
        "current": status.schema.is_current(),
        "obstacle": obstacle(status),
        "bytes": status.bytes,
        "outputs_bytes": status.outputs_bytes,
        "servers": servers,
        "rows": tables,
    })
}

fn proof(copied: &Copied) -> String {
    let mut table = Table::new(&["TABLE", "ROWS", "CHECKSUM"]);
    for proof in &copied.proofs {
        table.row([proof.name.clone(), proof.rows.to_string(), proof.checksum.clone()]);
    }
    let end = format!(
        "{} -> {}: read back, and every checksum is the same",
        copied.source, copied.target
    );
    format!("{}{}\n", table.text(), sanitise::line(&end))
}

fn proof_in_json(copied: &Copied) -> serde_json::Value {
    let proofs: Vec<serde_json::Value> = copied
        .proofs
        .iter()
        .map(|proof| serde_json::json!({"table": proof.name, "rows": proof.rows, "checksum": proof.checksum}))
        .collect();
    serde_json::json!({"source": copied.source, "target": copied.target, "proofs": proofs})
}

/// How far a copy is, in one line of a terminal that is written over.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
        }
    }

    fn tell(&self, doing: &str, rows: u64) {
        if self.shown {
            // Standard error that cannot be written is nobody's loss.
            let _ = write!(io::stderr(), "\r\x1b[K{doing}: {rows}");
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
