//! The commands about hosts and groups.

mod import;

use std::io::{self, IsTerminal, Write};

use muster_client::exit;
use muster_model::host::HostRecord;
use muster_model::pattern::{self, NoGroups};
use muster_model::wire::Targets;
use muster_model::{HostName, Problem, problem::Code};

use super::args::{Groups, Hosts, Record};
use super::context::Context;
use super::host_keys;
use super::input::{self, Stdin};
use super::stop::{Stop, unwritable};
use super::task;
use crate::render::table::Table;
use crate::render::{sanitise, words};

/// `hosts …`.
pub async fn hosts(context: &mut Context, command: &Hosts) -> Result<u8, Stop> {
    match command {
        Hosts::List { pattern, json } => list_hosts(context, pattern.as_deref(), *json).await?,
        Hosts::Add(record) => {
            let hosts = new_records(&input::hosts(&record.hosts, context.stdin)?, record)?;
            context.client().await?.add_hosts(&hosts).await?;
            context
                .notice(&format!("{} added", words::hosts(hosts.len())))
                .await;
        }
        Hosts::Set(record) => change_hosts(context, record).await?,
        Hosts::Rm { hosts } => {
            let pattern = named(&input::hosts(hosts, context.stdin)?)?;
            let removed = context.client().await?.remove_hosts(&pattern).await?;
            told(context, removed, "removed").await;
        }
        Hosts::Import { file, replace } => import_hosts(context, file, *replace).await?,
        Hosts::Keys(args) => return host_keys::keys(context, args).await,
        Hosts::Trust(args) => return Box::pin(host_keys::trust(context, args)).await,
        Hosts::Ping(args) => return Box::pin(task::ping(context, args)).await,
        Hosts::Expand { patterns, exclude } => {
            let targets = targets(patterns, exclude, context.stdin)?;
            let found = context.client().await?.expand(&targets).await?;
            write_lines(found.hosts.iter().map(String::as_str))?;
        }
        Hosts::Fold { hosts, exclude } => {
            let targets = targets(&or_stdin(hosts), exclude, context.stdin)?;
            let found = context.client().await?.fold(&targets).await?;
            write_lines(std::iter::once(found.folded.as_str()))?;
        }
    }
    Ok(exit::SUCCESS)
}

async fn told(context: &mut Context, count: u64, what: &str) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    context.notice(&format!("{} {what}", words::hosts(count))).await;
}

/// Returns words as one pattern for the server; there must be something in it.
fn named(words: &[String]) -> Result<String, Problem> {
    if words.iter().all(|word| word.trim().is_empty()) {
        return Err(Problem::new(Code::InvalidRequest, "no host is named")
            .hint("write names and patterns such as web[01-20]"));
    }
    Ok(words.join(","))
}

fn targets(hosts: &[String], exclude: &[String], stdin: Stdin) -> Result<Targets, Problem> {
    Ok(Targets {
        hosts: input::hosts(hosts, stdin)?,
        exclude: exclude.to_vec(),
    })
}

/// `hosts fold` alone reads standard input, as `nodeset -f` does.
fn or_stdin(hosts: &[String]) -> Vec<String> {
    if hosts.is_empty() && !io::stdin().is_terminal() {
        vec!["-".to_owned()]
    } else {
        hosts.to_vec()
    }
}

/// Puts what standard input holds in the place of `-` in `hosts expand` and `hosts fold`.
///
/// # Errors
///
/// Where standard input cannot be read.
pub fn resolve(command: &mut Hosts) -> Result<(), Problem> {
    match command {
        Hosts::Expand { patterns: words, .. } => *words = input::hosts(words, Stdin::Free)?,
        Hosts::Fold { hosts: words, .. } => *words = input::hosts(&or_stdin(words), Stdin::Free)?,
        _ => {}
    }
    Ok(())
}

/// Does `hosts expand` and `hosts fold` without a server where no pattern asks for the inventory (by a group or a
/// wildcard); None where one may.
///
/// # Errors
///
/// Where a pattern is wrong or the output cannot be written.
pub fn locally(command: &Hosts) -> Option<Result<u8, Stop>> {
    let (words, exclude, folds) = match command {
        Hosts::Expand { patterns, exclude } => (patterns, exclude, false),
        Hosts::Fold { hosts, exclude } => (hosts, exclude, true),
        _ => return None,
    };
    let needs_more = |text: &String| text.contains(['@', '*', '?']) || text == "-";
    if words.is_empty() || words.iter().chain(exclude).any(needs_more) {
        return None;
    }
    let targets = Targets {
        hosts: words.clone(),
        exclude: exclude.clone(),
    };
    Some(expand_here(&targets, folds))
}

fn expand_here(targets: &Targets, folds: bool) -> Result<u8, Stop> {
    let hosts = pattern::expand_all(&targets.hosts, &targets.exclude, &NoGroups)
        .map_err(|error| Problem::new(error.code(), error.to_string()))?;
    if folds {
        write_lines(std::iter::once(pattern::fold(&hosts).as_str()))?;
    } else {
        write_lines(hosts.iter().map(String::as_str))?;
    }
    Ok(exit::SUCCESS)
}

/// Writes lines to standard output at once.
fn write_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Result<(), Stop> {
    let terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    lines
        .into_iter()
        .try_for_each(|line| match terminal {
            true => writeln!(out, "{}", sanitise::line(line)),
            false => writeln!(out, "{line}"),
        })
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::PipeClosed,
            _ => unwritable(&error).into(),
        })
}

async fn list_hosts(context: &mut Context, pattern: Option<&str>, json: bool) -> Result<(), Stop> {
    let hosts = context.client().await?.hosts(pattern).await?;
    if json {
        return context.print_json(&hosts).await;
    }
    if hosts.is_empty() {
        let told = match pattern {
            Some(_) => "no host of the inventory is named by that",
            None => "the inventory is empty: `muster hosts add HOST…` adds hosts",
        };
        context.notice(told).await;
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "ADDRESS", "USER", "PORT", "LABELS"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for host in &hosts {
        let labels: Vec<String> = host
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let address = match host.reach {
            Some(muster_model::Reach::Local) => Some("(this machine)".to_owned()),
            _ => host.address.clone(),
        };
        table.row([
            host.name.to_string(),
            or_dash(address),
            or_dash(host.user.clone()),
            or_dash(host.port.map(|port| port.to_string())),
            or_dash((!labels.is_empty()).then(|| labels.join(" "))),
        ]);
    }
    context.print(&table.text()).await
}

/// Returns the records that `hosts add` stands for.
fn new_records(patterns: &[String], fields: &Record) -> Result<Vec<HostRecord>, Problem> {
    let names = names(patterns)?;
    if fields.address.is_some() && names.len() > 1 {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("--address is of one host, and these are {}", names.len()),
        ));
    }
    let mut records: Vec<HostRecord> = names.into_iter().map(bare).collect();
    for record in &mut records {
        apply(record, fields);
    }
    Ok(records)
}

/// Returns the names that patterns without groups stand for.
fn names(patterns: &[String]) -> Result<Vec<HostName>, Problem> {
    if let Some(group) = patterns.iter().find(|text| text.contains('@')) {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("'{group}' is no name for a host of the inventory"),
        )
        .hint("write names and patterns such as web[01-20]; the user goes into --user"));
    }
    let names = pattern::expand_all(patterns, &[], &NoGroups)
        .map_err(|error| Problem::new(error.code(), error.to_string()))?;
    if names.is_empty() {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("'{}' names no host", patterns.join(" ")),
        )
        .hint("write names and patterns such as web[01-20]"));
    }
    names
        .into_iter()
        .map(|name| {
            name.parse::<HostName>()
                .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))
        })
        .collect()
}

fn bare(name: HostName) -> HostRecord {
    HostRecord {
        name,
        address: None,
        user: None,
        port: None,
        reach: None,
        labels: std::collections::BTreeMap::new(),
        credential: None,
    }
}

/// Puts what was typed into a record; an empty text takes the field away.
fn apply(record: &mut HostRecord, fields: &Record) {
    let text = |given: &Option<String>, field: &mut Option<String>| {
        if let Some(given) = given {
            *field = Some(given.clone()).filter(|text| !text.is_empty());
        }
    };
    text(&fields.address, &mut record.address);
    text(&fields.user, &mut record.user);
    if fields.port.is_some() {
        record.port = fields.port;
    }
    if let Some(way) = fields.reach {
        record.reach = Some(way.into());
    }
    for (key, value) in &fields.labels {
        if value.is_empty() {
            record.labels.remove(key);
        } else {
            record.labels.insert(key.clone(), value.clone());
        }
    }
}

async fn change_hosts(context: &mut Context, fields: &Record) -> Result<(), Stop> {
    let names = names(&input::hosts(&fields.hosts, context.stdin)?)?;
    if fields.address.as_ref().is_some_and(|address| !address.is_empty()) && names.len() > 1 {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("--address is of one host, and these are {}", names.len()),
        )
        .into());
    }
    let client = context.client().await?;
    let mut known: std::collections::HashMap<HostName, HostRecord> = client
        .hosts(None)
        .await?
        .into_iter()
        .map(|record| (record.name.clone(), record))
        .collect();
    let mut changed = Vec::with_capacity(names.len());
    for name in names {
        let mut record = known.remove(&name).ok_or_else(|| {
            Problem::new(
                Code::UnknownHost,
                format!("there is no host '{name}' in the inventory"),
            )
            .hint(format!("`muster hosts add {name}` adds it"))
        })?;
        apply(&mut record, fields);
        changed.push(record);
    }
    client.set_hosts(&changed).await?;
    context
        .notice(&format!("{} changed", words::hosts(changed.len())))
        .await;
    Ok(())
}

async fn import_hosts(context: &mut Context, file: &std::path::Path, replace: bool) -> Result<(), Stop> {
    let bytes = input::file(
        file,
        "file of hosts",
        muster_model::limits::REQUEST_BYTES,
        context.stdin,
    )?;
    let hosts = import::read(&bytes, &file.display().to_string())?;
    let client = context.client().await?;
    if replace {
        client.set_hosts(&hosts).await?;
    } else {
        client.add_hosts(&hosts).await?;
    }
    context
        .notice(&format!("{} imported", words::hosts(hosts.len())))
        .await;
    Ok(())
}

/// `groups …`.
pub async fn groups(context: &mut Context, command: &Groups) -> Result<u8, Stop> {
    let client = context.client().await?;
    match command {
        Groups::List { json } => {
            let groups = client.groups().await?;
            if *json {
                context.print_json(&groups).await?;
            } else if groups.is_empty() {
                context
                    .notice("there are no groups: `muster groups add GROUP HOST…` makes one")
                    .await;
            } else {
                let mut table = Table::new(&["GROUP", "COUNT", "HOSTS"]);
                for group in groups {
                    table.row([group.name, group.count.to_string(), group.hosts]);
                }
                context.print(&table.text()).await?;
            }
        }
        Groups::Show { name, json } => {
            let group = client.group(name).await?;
            if *json {
                context.print_json(&group).await?;
            } else {
                let targets = Targets {
                    hosts: vec![format!("@{}", group.name)],
                    exclude: Vec::new(),
                };
                let found = client.expand(&targets).await?;
                write_lines(found.hosts.iter().map(String::as_str))?;
            }
        }
        Groups::Add { name, hosts } => {
            let hosts = input::hosts(hosts, context.stdin)?;
            let group = client.add_to_group(name, &hosts).await?;
            context
                .notice(&format!(
                    "group {} has {}",
                    sanitise::line(&group.name),
                    words::hosts(usize::try_from(group.count).unwrap_or(usize::MAX))
                ))
                .await;
        }
        Groups::Rm { name, hosts } if hosts.is_empty() => {
            client.remove_from_group(name, None).await?;
            context
                .notice(&format!("group {} removed", sanitise::line(name)))
                .await;
        }
        Groups::Rm { name, hosts } => {
            let pattern = named(&input::hosts(hosts, context.stdin)?)?;
            let removed = client.remove_from_group(name, Some(&pattern)).await?;
            if removed == 0 {
                let group = sanitise::line(name);
                let told = format!("none of '{}' is in group {group}", sanitise::line(&pattern));
                return Err(Problem::new(Code::InvalidRequest, told)
                    .hint(format!("`muster groups show {group}` lists its hosts"))
                    .into());
            }
            told(
                context,
                removed,
                &format!("taken out of group {}", sanitise::line(name)),
            )
            .await;
        }
    }
    Ok(exit::SUCCESS)
}
