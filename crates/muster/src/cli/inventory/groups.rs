//! The commands about groups.

use muster_client::exit;
use muster_model::wire::{GroupView, Members, Targets};
use muster_model::{Problem, problem::Code};

use super::{told, write_lines};
use crate::cli::args::Groups;
use crate::cli::context::Context;
use crate::cli::input;
use crate::cli::stop::Stop;
use crate::render::table::Table;
use crate::render::{sanitise, words};

/// `groups …`.
///
/// # Errors
///
/// Those of the server.
pub async fn groups(context: &mut Context, command: &Groups) -> Result<u8, Stop> {
    match command {
        Groups::List { json } => list(context, *json).await?,
        Groups::Show { name, json } => show(context, name, *json).await?,
        Groups::Add { name, hosts, groups } => {
            let members = Members {
                hosts: input::hosts(hosts, context.stdin)?,
                groups: groups.clone(),
            };
            let group = context.client().await?.add_to_group(name, &members).await?;
            let told = format!(
                "group {} has {}",
                sanitise::line(group.name.as_str()),
                counted(&group)
            );
            context.notice(&told).await;
        }
        Groups::Rm { name, hosts, groups } if hosts.is_empty() && groups.is_empty() => {
            context.client().await?.remove_group(name).await?;
            context
                .notice(&format!("group {} removed", sanitise::line(name)))
                .await;
        }
        Groups::Rm { name, hosts, groups } => {
            let members = Members {
                hosts: input::hosts(hosts, context.stdin)?,
                groups: groups.clone(),
            };
            take_out(context, name, &members).await?;
        }
    }
    Ok(exit::SUCCESS)
}

fn counted(group: &GroupView) -> String {
    let hosts = words::hosts(usize::try_from(group.count).unwrap_or(usize::MAX));
    match group.groups.len() {
        0 => hosts,
        1 => format!("{hosts}, and holds 1 group"),
        more => format!("{hosts}, and holds {more} groups"),
    }
}

async fn list(context: &mut Context, json: bool) -> Result<(), Stop> {
    let groups = context.client().await?.groups().await?;
    if json {
        return context.print_json(&groups).await;
    }
    if groups.is_empty() {
        let told = "there are no groups: `muster groups add GROUP HOST…` makes one";
        context.notice(told).await;
        return Ok(());
    }
    let mut table = Table::new(&["GROUP", "HOSTS", "GROUPS IN IT"]);
    for group in groups {
        let inside = match group.groups {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        table.row([group.name.to_string(), group.count.to_string(), inside]);
    }
    context.print(&table.text()).await
}

async fn show(context: &mut Context, name: &str, json: bool) -> Result<(), Stop> {
    let client = context.client().await?;
    let group = client.group(name).await?;
    if json {
        return context.print_json(&group).await;
    }
    let targets = Targets {
        hosts: vec![format!("@{}", group.name)],
        ..Targets::default()
    };
    let found = client.expand(&targets).await?;
    write_lines(found.hosts.iter().map(String::as_str))?;
    if !group.groups.is_empty() {
        let inside: Vec<&str> = group.groups.iter().map(|group| group.as_str()).collect();
        let told = format!("it holds the groups {}", sanitise::line(&inside.join(", ")));
        context.notice(&told).await;
    }
    Ok(())
}

async fn take_out(context: &mut Context, name: &str, members: &Members) -> Result<(), Stop> {
    if members.groups.is_empty() && members.hosts.iter().all(|word| word.trim().is_empty()) {
        return Err(Problem::new(Code::InvalidRequest, "no host is named")
            .hint("write names and patterns such as web[01-20]")
            .into());
    }
    let removed = context.client().await?.remove_from_group(name, members).await?;
    let group = sanitise::line(name);
    if removed == 0 {
        let pattern = members.hosts.join(",");
        let told = format!(
            "none of '{}' is directly in group {group}",
            sanitise::line(&pattern)
        );
        return Err(Problem::new(Code::InvalidRequest, told)
            .hint(format!("`muster groups show {group}` lists its hosts"))
            .into());
    }
    if members.groups.is_empty() {
        told(context, removed, &format!("taken out of group {group}")).await;
    } else {
        context
            .notice(&format!("{removed} taken out of group {group}"))
            .await;
    }
    Ok(())
}
