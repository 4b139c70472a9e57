//! `muster demo`: a handful of SSH hosts inside this process, a server of its own, a command on all of them
//! by the normal path, and then the prompt. It never touches the person's own inventory, keys or tasks.

use std::io::IsTerminal;

use clap::Parser;
use muster_model::host::HostRecord;
use muster_model::problem::Code;
use muster_model::wire::Members;
use muster_model::{HostName, Problem};
use muster_runtime::Tasks;
use muster_transport::demo::Hosts;

use crate::cli::args::{Demo, Line};
use crate::cli::context::Context;
use crate::cli::stop::Stop;
use crate::settings::Settings;
use crate::{cli, daemon, repl};

/// The command that is shown.
const COMMAND: &str = "echo \"hello from $(hostname)\"; date";
/// How long what is left has to end.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs the demo.
///
/// # Errors
///
/// Where the hosts or the server cannot be started.
pub async fn run(context: Context, args: &Demo) -> Result<u8, Stop> {
    let folder = tempfile::Builder::new()
        .prefix("muster-demo-")
        .tempdir()
        .map_err(|error| {
            Problem::new(
                Code::Unavailable,
                format!("no temporary folder can be made: {error}"),
            )
        })?;
    let tasks = Tasks::new();
    let hosts = Hosts::start(usize::from(args.hosts), &tasks, &folder.path().join("hosts"))
        .await
        .map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            Problem::new(
                Code::Unavailable,
                format!(
                    "the demo's hosts cannot be started: {error}{}",
                    source.unwrap_or_default()
                ),
            )
        })?;
    let done = Box::pin(with_hosts(context.settings, &hosts, folder.path())).await;
    hosts.stop();
    tasks.close(FAREWELL).await;
    done
}

async fn with_hosts(settings: Settings, hosts: &Hosts, folder: &std::path::Path) -> Result<u8, Stop> {
    let state = folder.join("state");
    let mut settings = settings;
    settings.servers = Vec::new();
    settings.ssh_config = Some(hosts.ssh_config().to_owned());
    settings.agent_socket = None;
    settings.state_dir.clone_from(&state);
    let connected = daemon::in_process(&settings, &state).await?;
    let mut context = Context::new(settings).with(connected);
    let mut interrupt = cli::interrupt()?;
    let done = match register(&mut context, hosts).await {
        Ok(()) => Box::pin(show(&mut context, hosts, &mut interrupt)).await,
        Err(problem) => Err(problem.into()),
    };
    let done = match done {
        Ok(code) if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() => {
            context
                .notice("\nNow it is yours: the hosts are demo1 and so on, all of them are @demo. `exit` ends the demo.")
                .await;
            Box::pin(repl::serve(&mut context, &mut interrupt))
                .await
                .map(|_| code)
        }
        other => other,
    };
    // What still runs on the hosts ends with them.
    hosts.stop();
    cli::leave(&mut context, &mut interrupt).await;
    done
}

/// Puts the hosts into the demo's inventory.
async fn register(context: &mut Context, hosts: &Hosts) -> Result<(), Problem> {
    let records = hosts
        .hosts()
        .iter()
        .map(|host| {
            Ok(HostRecord {
                name: host
                    .name
                    .parse::<HostName>()
                    .map_err(|error| Problem::new(Code::Internal, error.to_string()))?,
                address: Some(host.address.clone()),
                user: Some(hosts.user().to_owned()),
                port: Some(host.port),
                reach: None,
                labels: std::collections::BTreeMap::new(),
                credential: None,
            })
        })
        .collect::<Result<Vec<_>, Problem>>()?;
    let names: Vec<String> = records.iter().map(|record| record.name.to_string()).collect();
    let client = context.client().await?;
    client.add_hosts(&records).await?;
    let members = Members {
        hosts: names,
        ..Members::default()
    };
    client.add_to_group("demo", &members).await?;
    Ok(())
}

/// Runs the command on all hosts, as a person would from the shell.
async fn show(
    context: &mut Context,
    hosts: &Hosts,
    interrupt: &mut tokio::signal::unix::Signal,
) -> Result<u8, Stop> {
    context
        .notice(&format!(
            "{} SSH hosts are up inside this process, each on an address of its own.\n\n\
             $ muster run '{COMMAND}' --hosts @demo",
            hosts.hosts().len()
        ))
        .await;
    let words = ["muster", "run", COMMAND, "--hosts", "@demo"];
    let command = Line::try_parse_from(words).ok().and_then(|line| line.command);
    let Some(command) = command else {
        return Err(Problem::new(Code::Internal, "the demo's command cannot be read").into());
    };
    cli::interruptible(context, &command, interrupt).await
}
