//! The commands about hosts and groups.

mod facts;
mod groups;
mod transfer;

pub use groups::groups;

use std::io::{self, IsTerminal, Write};

use muster_client::exit;
use muster_model::host::HostRecord;
use muster_model::inventory::InvalidName;
use muster_model::pattern::{self, NoGroups};
use muster_model::wire::Targets;
use muster_model::{HostName, Problem, problem::Code};

use super::args::{Hosts, Narrowed, Record};
use super::context::Context;
use super::host_keys;
use super::input::{self, Stdin};
use super::stop::{Stop, unwritable};
use super::{submit, task};
use crate::render::table::Table;
use crate::render::{sanitise, words};

/// `hosts …`.
pub async fn hosts(context: &mut Context, command: &Hosts) -> Result<u8, Stop> {
    match command {
        Hosts::List {
            pattern,
            selector,
            json,
        } => list_hosts(context, pattern.as_deref(), selector.as_deref(), *json).await?,
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
        Hosts::Import(args) => transfer::import(context, args).await?,
        Hosts::Export { format } => transfer::export(context, *format).await?,
        Hosts::Facts(args) => return Box::pin(facts::facts(context, args)).await,
        Hosts::Keys(args) => return host_keys::keys(context, args).await,
        Hosts::Trust(args) => return Box::pin(host_keys::trust(context, args)).await,
        Hosts::Ping(args) => return Box::pin(task::ping(context, args)).await,
        Hosts::Expand {
            patterns,
            narrowed,
            explain: asked,
        } => {
            let targets = submit::targets(input::hosts(patterns, context.stdin)?, narrowed);
            if *asked {
                return explain(context, &targets, false).await;
            }
            let found = context.client().await?.expand(&targets).await?;
            write_lines(found.hosts.iter().map(String::as_str))?;
        }
        Hosts::Fold { hosts, narrowed } => {
            let hosts = input::hosts(&or_stdin(hosts, narrowed), context.stdin)?;
            let targets = submit::targets(hosts, narrowed);
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

/// `hosts fold` alone reads standard input, as `nodeset -f` does.
fn or_stdin(hosts: &[String], narrowed: &Narrowed) -> Vec<String> {
    if hosts.is_empty() && narrowed.selector.is_none() && !io::stdin().is_terminal() {
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
        Hosts::Fold {
            hosts: words,
            narrowed,
        } => *words = input::hosts(&or_stdin(words, narrowed), Stdin::Free)?,
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
    let (words, narrowed, folds) = match command {
        Hosts::Expand {
            patterns,
            narrowed,
            explain: false,
        } => (patterns, narrowed, false),
        Hosts::Fold { hosts, narrowed } => (hosts, narrowed, true),
        _ => return None,
    };
    let needs_more = |text: &String| text.contains(['@', '*', '?']) || text == "-";
    let asks = narrowed.selector.is_some() || words.iter().chain(&narrowed.exclude).any(needs_more);
    if words.is_empty() || asks {
        return None;
    }
    let targets = submit::targets(words.clone(), narrowed);
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

async fn list_hosts(
    context: &mut Context,
    pattern: Option<&str>,
    selector: Option<&str>,
    json: bool,
) -> Result<(), Stop> {
    let hosts = context.client().await?.hosts(pattern, selector).await?;
    if json {
        return context.print_json(&hosts).await;
    }
    if hosts.is_empty() {
        let told = match pattern.or(selector) {
            Some(_) => "no host of the inventory is named by that",
            None => "the inventory is empty: `muster hosts add HOST…` adds hosts",
        };
        context.notice(told).await;
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "ADDRESS", "USER", "PORT", "CREDENTIAL", "LABELS"]);
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
            or_dash(host.credential.as_ref().map(ToString::to_string)),
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
    let mut records: Vec<HostRecord> = names.into_iter().map(HostRecord::named).collect();
    for record in &mut records {
        apply(record, fields)?;
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

/// Puts what was typed into a record; an empty text takes the field away.
fn apply(record: &mut HostRecord, fields: &Record) -> Result<(), Problem> {
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
    if let Some(name) = &fields.credential {
        record.credential = match name.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|error: InvalidName| {
                Problem::new(Code::InvalidRequest, error.to_string())
                    .hint("`muster credentials list` lists the credentials")
            })?),
        };
    }
    Ok(())
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
    let pattern: Vec<&str> = names.iter().map(HostName::as_str).collect();
    let mut known: std::collections::HashMap<HostName, HostRecord> = client
        .hosts(Some(&pattern::fold(&pattern)), None)
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
        apply(&mut record, fields)?;
        changed.push(record);
    }
    client.set_hosts(&changed).await?;
    context
        .notice(&format!("{} changed", words::hosts(changed.len())))
        .await;
    Ok(())
}

/// Says which part of the targets lets each host in or keeps it out.
///
/// # Errors
///
/// Those of the server.
pub async fn explain(context: &mut Context, targets: &Targets, json: bool) -> Result<u8, Stop> {
    let told = context.client().await?.explain(targets).await?;
    if json {
        context.print_json(&told).await?;
        return Ok(exit::SUCCESS);
    }
    let mut text = String::new();
    for host in &told.hosts {
        let sign = if host.chosen { "in " } else { "out" };
        text.push_str(&format!("{sign} {}\n", sanitise::line(&host.host)));
        for why in &host.why {
            text.push_str(&format!("      {}\n", sanitise::line(why)));
        }
    }
    context.print(&text).await?;
    let told_of = u64::try_from(told.hosts.len()).unwrap_or(u64::MAX);
    let all = told.chosen + told.left_out;
    let first = if told_of < all {
        format!("; the first {told_of} are explained")
    } else {
        String::new()
    };
    let notice = format!("{} of {all} hosts are chosen{first}", told.chosen);
    context.notice(&notice).await;
    Ok(exit::SUCCESS)
}
