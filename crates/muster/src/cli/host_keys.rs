//! `hosts keys` and `hosts trust`: what hosts are known by, and what a person decides about it.
//!
//! What is decided names the fingerprints that were shown: a key that a host offers meanwhile is not trusted by that.

use std::collections::BTreeMap;
use std::path::Path;

use muster_client::exit;
use muster_model::Problem;
use muster_model::host_key::HostKey;
use muster_model::problem::Code;
use muster_model::wire::host_keys::{
    HostKeysView, KeyView, Scan, ScannedHost, Trust as Decisions, TrustDecision, TrustHost,
};

use super::args::{Keys, Trust};
use super::context::Context;
use super::input;
use super::stop::Stop;
use super::task;
use crate::render::table::Table;
use crate::render::words;

/// `hosts keys`.
pub async fn keys(context: &mut Context, args: &Keys) -> Result<u8, Stop> {
    let config = ssh_config(context, args.ssh_config.as_deref())?;
    let client = context.client().await?;
    let views = client
        .host_keys(args.pattern.as_deref(), config.as_deref())
        .await?;
    if args.json {
        context.print_json(&views).await?;
    } else if views.is_empty() {
        let told = match &args.pattern {
            Some(_) => "no key of these hosts is known here",
            None => {
                "no keys: `muster hosts trust HOST --scan` pins some, and `--accept-new` does at a first contact"
            }
        };
        context.notice(told).await;
    } else {
        context.print(&table(&views)).await?;
    }
    Ok(exit::SUCCESS)
}

/// `hosts trust`.
pub async fn trust(context: &mut Context, args: &Trust) -> Result<u8, Stop> {
    let config = ssh_config(context, args.ssh_config.as_deref())?;
    let hosts = input::hosts(&args.hosts, context.stdin)?;
    if args.scan {
        return scan(context, args, hosts, config).await;
    }
    let views = known(context, &hosts, config.as_deref()).await?;
    if args.forget {
        return decide(context, args, views, "forget what is known of", |_| {
            Ok(Some(TrustDecision::Forget(true)))
        })
        .await;
    }
    if args.keep {
        return decide(context, args, views, "keep the pinned keys of", |view| {
            Ok(view.quarantined.then_some(TrustDecision::Keep(true)))
        })
        .await;
    }
    if let Some(fingerprint) = &args.fingerprint
        && views.len() > 1
    {
        let detail = format!(
            "--fingerprint {fingerprint} is of one host, and these are {}",
            views.len()
        );
        return Err(Problem::new(Code::InvalidRequest, detail).into());
    }
    let wanted = args.fingerprint.clone();
    decide(context, args, views, "trust the offered keys of", |view| {
        match (&wanted, view.offered.as_slice()) {
            (Some(fingerprint), _) => Ok(Some(TrustDecision::Fingerprint(fingerprint.clone()))),
            (None, []) => Ok(None),
            (None, [offered]) => Ok(Some(TrustDecision::Fingerprint(offered.fingerprint.clone()))),
            (None, _) => Err(Problem::new(
                Code::Conflict,
                format!("{} has offered several keys: nothing was changed", view.host),
            )
            .hint("name the right one by --fingerprint SHA256:...")),
        }
    })
    .await
}

/// Returns the keys of hosts, each name once; all of the words must be of known hosts.
async fn known(
    context: &mut Context,
    hosts: &[String],
    config: Option<&str>,
) -> Result<Vec<HostKeysView>, Stop> {
    let client = context.client().await?;
    let mut found = BTreeMap::new();
    for host in hosts {
        let views = client.host_keys(Some(host), config).await?;
        if views.is_empty() {
            let detail = format!("no key of '{host}' is pinned here: nothing was changed");
            return Err(Problem::new(Code::UnknownHost, detail)
                .hint(format!("`muster hosts trust {host} --scan` asks it for its keys"))
                .into());
        }
        found.extend(views.into_iter().map(|view| (view.host.clone(), view)));
    }
    Ok(found.into_values().collect())
}

/// Shows what is known, asks, and does it.
async fn decide(
    context: &mut Context,
    args: &Trust,
    views: Vec<HostKeysView>,
    what: &str,
    decision: impl Fn(&HostKeysView) -> Result<Option<TrustDecision>, Problem>,
) -> Result<u8, Stop> {
    let mut decisions = Vec::new();
    let mut shown = Vec::new();
    let mut refused = None;
    for view in views {
        match decision(&view) {
            Ok(Some(decision)) => decisions.push(TrustHost {
                host: view.host.clone(),
                decision,
            }),
            Ok(None) => continue,
            Err(problem) => refused = Some(problem),
        }
        shown.push(view);
    }
    if shown.is_empty() {
        context
            .notice("none of these hosts is in quarantine: nothing was changed")
            .await;
        return Ok(exit::SUCCESS);
    }
    context.print(&table(&shown)).await?;
    if let Some(problem) = refused {
        return Err(problem.into());
    }
    let hosts = words::hosts(decisions.len());
    if args.fingerprint.is_none() && !args.yes && !asked(context, &format!("{what} {hosts}?")).await? {
        return Ok(exit::NOT_ALL_SUCCEEDED);
    }
    context.client().await?.trust(&Decisions { decisions }).await?;
    context.notice(&format!("{hosts}: done")).await;
    Ok(exit::SUCCESS)
}

/// Asks unknown hosts for their keys, shows them, asks the person, and pins them.
async fn scan(
    context: &mut Context,
    args: &Trust,
    hosts: Vec<String>,
    ssh_config: Option<String>,
) -> Result<u8, Stop> {
    let request = Scan {
        hosts,
        ssh_config,
        agent_socket: (context.settings.agent_socket.clone()).filter(|_| !context.settings.is_elsewhere()),
    };
    let scanned = context.client().await?.scan_host_keys(&request).await?;
    let mut table = Table::new(&["HOST", "FINGERPRINT", "ALGORITHM"]);
    let mut decisions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = 0;
    for host in scanned {
        if host.known {
            let told = format!("{}: keys are pinned already: it was not asked", host.host);
            context.notice(&told).await;
            continue;
        }
        match wanted(&host, args.fingerprint.as_deref()) {
            Ok(keys) => {
                for key in &keys {
                    table.row([
                        host.host.clone(),
                        key.fingerprint().to_owned(),
                        key.algorithm().to_owned(),
                    ]);
                }
                decisions.insert(host.host, keys.iter().map(HostKey::to_string).collect());
            }
            Err(why) => {
                failed += 1;
                context.notice(&format!("{}: {why}", host.target)).await;
            }
        }
    }
    let code = if failed > 0 {
        exit::NOT_ALL_SUCCEEDED
    } else {
        exit::SUCCESS
    };
    if decisions.is_empty() {
        context.notice("nothing was pinned").await;
        return Ok(code);
    }
    context.print(&table.text()).await?;
    let hosts = words::hosts(decisions.len());
    let question = format!("pin these keys of {hosts}?");
    if args.fingerprint.is_none() && !args.yes && !asked(context, &question).await? {
        return Ok(exit::NOT_ALL_SUCCEEDED);
    }
    let decisions = decisions
        .into_iter()
        .map(|(host, keys)| TrustHost {
            host,
            decision: TrustDecision::Keys(keys),
        })
        .collect();
    context.client().await?.trust(&Decisions { decisions }).await?;
    context.notice(&format!("{hosts}: pinned")).await;
    Ok(code)
}

/// Returns the keys of a host that are to be pinned.
fn wanted(host: &ScannedHost, fingerprint: Option<&str>) -> Result<Vec<HostKey>, String> {
    if let Some(error) = &host.error {
        return Err(error.clone());
    }
    let keys: Result<Vec<HostKey>, _> = host.keys.iter().map(|key| key.parse()).collect();
    let mut keys = keys.map_err(|error| error.to_string())?;
    if let Some(fingerprint) = fingerprint {
        keys.retain(|key| key.fingerprint() == fingerprint);
    }
    if keys.is_empty() {
        return Err("it has not shown a key of that fingerprint".to_owned());
    }
    Ok(keys)
}

/// Asks; without a terminal nobody can say yes.
async fn asked(context: &mut Context, question: &str) -> Result<bool, Stop> {
    let said = input::yes(question).await?;
    if !said {
        context.notice("nothing was changed").await;
    }
    Ok(said)
}

fn ssh_config(context: &Context, given: Option<&Path>) -> Result<Option<String>, Problem> {
    let path = given.or(context.settings.ssh_config.as_deref());
    path.map(|path| input::absolute(path, "ssh_config file"))
        .transpose()
}

fn table(views: &[HostKeysView]) -> String {
    let zone = jiff::tz::TimeZone::system();
    let mut table = Table::new(&["HOST", "KEY", "FINGERPRINT", "ALGORITHM", "FIRST SEEN"]);
    for view in views {
        let pinned = view.pinned.iter().map(|key| ("pinned", key));
        let offered = view.offered.iter().map(|key| ("offered", key));
        for (state, key) in pinned.chain(offered) {
            table.row(row(&view.host, state, key, &zone));
        }
    }
    table.text()
}

fn row(host: &str, state: &str, key: &KeyView, zone: &jiff::tz::TimeZone) -> [String; 5] {
    [
        host.to_owned(),
        state.to_owned(),
        key.fingerprint.clone(),
        key.algorithm.clone(),
        task::local_time(key.seen_at, zone),
    ]
}
