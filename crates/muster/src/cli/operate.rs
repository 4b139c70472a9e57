//! The commands about Muster itself: server, doctor, config.

use muster_client::exit;
use muster_model::Problem;
use muster_model::wire::{Check, ServerInfo};

use super::args::{Server, ServerCommand};
use super::context::Context;
use super::stop::Stop;
use crate::daemon;
use crate::render::table::Table;
use crate::render::{sanitise, words};

/// `server`.
pub async fn server(context: &mut Context, args: &Server) -> Result<u8, Stop> {
    match &args.command {
        None if args.daemon => Box::pin(daemon::run_daemon(&context.settings)).await?,
        None => Box::pin(daemon::run_foreground(&context.settings, args.listen.as_deref())).await?,
        Some(ServerCommand::Status { json }) => {
            let Some(connected) = daemon::running(&context.settings).await? else {
                context.notice("no server is running").await;
                return Ok(exit::SERVER);
            };
            let address = connected.client.address().to_string();
            let info = connected.client.server().await?;
            if *json {
                context.print_json(&info).await?;
            } else {
                context.print(&status(&address, &info)).await?;
            }
        }
        Some(ServerCommand::Stop) => match daemon::running(&context.settings).await? {
            None => context.notice("no server is running").await,
            Some(connected) => {
                connected.client.shutdown().await?;
                let drain = words::span(context.settings.drain);
                let notice = format!("the server gives what it has started {drain} to end, and leaves");
                context.notice(&notice).await;
            }
        },
    }
    Ok(exit::SUCCESS)
}

fn status(address: &str, info: &ServerInfo) -> String {
    let mut table = Table::new(&["server", address]);
    let uptime = words::span(muster_runtime::now().since(info.started_at));
    let memory = format!("{} MiB", info.memory_bytes / 1024 / 1024);
    let state = if info.draining {
        "finishing its work"
    } else {
        "running"
    };
    for (name, value) in [
        ("version", info.version.clone()),
        ("process", info.pid.to_string()),
        ("state", format!("{state}, for {uptime}")),
        ("open tasks", info.open_tasks.to_string()),
        ("active runs", info.active_runs.to_string()),
        ("memory", memory),
        ("database", info.database.clone()),
        ("queue", info.queue.clone()),
        ("cache", info.cache.clone()),
    ] {
        table.row([name.to_owned(), value]);
    }
    table.text()
}

/// `doctor`.
pub async fn doctor(context: &mut Context, json: bool) -> Result<u8, Stop> {
    let mut checks = Vec::new();
    let mut code = exit::SUCCESS;
    match examine(context, &mut checks).await {
        Ok(()) => {}
        Err(problem) => {
            code = exit::of_problem(&problem);
            checks.push(Check {
                name: "server".to_owned(),
                ok: false,
                detail: problem.detail,
                hint: problem.hint,
            });
        }
    }
    if code == exit::SUCCESS && checks.iter().any(|check| !check.ok) {
        code = exit::NOT_ALL_SUCCEEDED;
    }
    if json {
        context.print_json(&checks).await?;
    } else {
        let text: String = checks.iter().map(finding).collect();
        context.print(&text).await?;
    }
    Ok(code)
}

async fn examine(context: &mut Context, checks: &mut Vec<Check>) -> Result<(), Problem> {
    let client = context.client().await?;
    let info = client.server().await?;
    checks.push(Check {
        name: "server".to_owned(),
        ok: true,
        detail: format!(
            "version {} answers at {}, process {}",
            info.version,
            client.address(),
            info.pid
        ),
        hint: None,
    });
    checks.extend(client.doctor().await?);
    Ok(())
}

fn finding(check: &Check) -> String {
    let mark = if check.ok { "ok  " } else { "FAIL" };
    let mut text = format!(
        "{mark}  {}: {}\n",
        sanitise::line(&check.name),
        sanitise::line(&check.detail)
    );
    if let Some(hint) = &check.hint {
        text.push_str(&format!("      hint: {}\n", sanitise::line(hint)));
    }
    text
}

/// `config`.
pub async fn config(context: &mut Context, json: bool) -> Result<u8, Stop> {
    let rows = context.settings.rows();
    if json {
        let rows: Vec<serde_json::Value> = rows
            .iter()
            .map(|row| serde_json::json!({"name": row.name, "value": row.value, "source": row.source}))
            .collect();
        context.print_json(&rows).await?;
    } else {
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for row in rows {
            table.row([row.name.to_owned(), row.value, row.source]);
        }
        context.print(&table.text()).await?;
    }
    Ok(exit::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_how_to_mend_it() {
        let check = Check {
            name: "database".into(),
            ok: false,
            detail: "disk full".into(),
            hint: Some("free some space".into()),
        };
        assert_eq!(
            finding(&check),
            "FAIL  database: disk full\n      hint: free some space\n"
        );
    }
}
