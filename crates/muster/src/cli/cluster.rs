//! `muster cluster`: the servers that share a database.

use std::time::Duration;

use muster_client::exit;
use muster_model::Timestamp;
use muster_model::wire::cluster::{ClusterView, ServerState, ServerView};

use super::context::Context;
use super::stop::Stop;
use crate::render::table::Table;
use crate::render::words;

/// `cluster`.
pub async fn cluster(context: &mut Context, json: bool) -> Result<u8, Stop> {
    let view = context.client().await?.cluster().await?;
    if json {
        context.print_json(&view).await?;
    } else {
        context.print(&shown(&view, muster_runtime::now())).await?;
    }
    Ok(exit::SUCCESS)
}

fn shown(view: &ClusterView, now: Timestamp) -> String {
    let mut table = Table::new(&[
        "SERVER", "MACHINE", "ROLES", "VERSION", "STATE", "RUNS", "TASKS", "SEEN", "BEHIND",
    ]);
    for server in &view.servers {
        table.row(row(view, server, now));
    }
    let mut text = table.text();
    let waiting = match view.queued {
        Some(queued) => format!("{queued} runs wait in the queue"),
        None => "the queue does not answer".to_owned(),
    };
    let leader = match &view.leader {
        Some(leader) => format!("; {leader} takes over what others leave (term {})", view.term),
        None => String::new(),
    };
    text.push_str(&format!("{waiting}{leader}\n"));
    text
}

fn row(view: &ClusterView, server: &ServerView, now: Timestamp) -> [String; 9] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let roles: Vec<&str> = server.roles.iter().map(|role| role.as_str()).collect();
    let mut state = server.state.as_str().to_owned();
    if let (ServerState::Gone, Some(at)) = (server.state, server.gone_at) {
        state = format!("gone {} ago", words::span(now.since(at)));
    } else if let Some(since) = server.since {
        state = format!("{state} for {}", words::span(now.since(since)));
    }
    if server.answers {
        state.push_str(", answers");
    }
    if view.leader.as_ref() == Some(&server.id) {
        state.push_str(", leads");
    }
    let gone = server.state == ServerState::Gone;
    let seen = match server.silent_ms {
        Some(_) if gone => String::new(),
        Some(millis) => format!("{} ago", words::span(Duration::from_millis(millis))),
        None => String::new(),
    };
    let runs = match (gone, server.slots) {
        (true, _) => String::new(),
        (false, 0) => server.active_runs.to_string(),
        (false, slots) => format!("{} of {slots}", server.active_runs),
    };
    let tasks = if gone {
        String::new()
    } else {
        server.open_tasks.to_string()
    };
    let behind = server.notices.map(|notices| format!("{notices} notices"));
    [
        server.id.clone(),
        server.machine.clone(),
        or_dash(roles.join(",")),
        or_dash(server.version.clone()),
        state,
        or_dash(runs),
        or_dash(tasks),
        or_dash(seen),
        or_dash(behind.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use muster_model::Role;

    use super::*;

    fn server(id: &str, state: ServerState) -> ServerView {
        ServerView {
            id: id.into(),
            machine: format!("machine-of-{id}"),
            pid: 7,
            roles: vec![Role::Api, Role::Executor],
            version: "0.1.0".into(),
            state,
            answers: false,
            since: Some(Timestamp(0)),
            silent_ms: Some(1_000),
            slots: 1000,
            active_runs: 12,
            open_tasks: 3,
            notices: Some(0),
            gone_at: None,
        }
    }

    #[test]
    fn who_is_there_and_who_was_is_told_apart() {
        let view = ClusterView {
            servers: vec![
                ServerView {
                    answers: true,
                    ..server("a", ServerState::Here)
                },
                server("b", ServerState::Silent),
                ServerView {
                    gone_at: Some(Timestamp(60_000_000)),
                    notices: None,
                    ..server("c", ServerState::Gone)
                },
            ],
            leader: Some("a".into()),
            term: 4,
            queued: Some(88),
        };
        let text = shown(&view, Timestamp(120_000_000));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[1].contains("here for 2m00s, answers, leads"), "{text}");
        assert!(lines[1].contains("12 of 1000"), "{text}");
        assert!(lines[2].contains("silent for 2m00s"), "{text}");
        assert!(
            lines[3].contains("gone 1m00s ago") && !lines[3].contains("1000"),
            "{text}"
        );
        assert_eq!(
            lines[4],
            "88 runs wait in the queue; a takes over what others leave (term 4)"
        );
    }
}
