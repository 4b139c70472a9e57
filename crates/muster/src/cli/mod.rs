//! The command line: parsing, the commands, exit codes.

pub mod args;
mod cluster;
pub mod context;
mod credentials;
mod database;
mod follow;
mod host_keys;
pub mod input;
mod inventory;
mod kept;
mod operate;
mod pages;
mod report;
pub mod stop;
mod submit;
mod task;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use muster_client::exit;
use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::trace;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Instrument;
use tracing::field::Empty;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::args::{Command, Line};
use self::context::{Context, Phase};
use self::stop::{Left, Stop, unwritable};
use crate::settings::{Overrides, Settings};
use crate::traces::{Part, Traces, not_steps};
use crate::{demo, repl};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::from(match Line::try_parse() {
        Ok(mut line) => match pure(&mut line) {
            Some(done) => told(done),
            None => with_settings(line),
        },
        Err(error) => {
            let words = std::env::args_os().skip(1);
            let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
            usage(error, &words, &Line::command())
        }
    })
}

/// Tells on standard error why a command has stopped, and returns its exit code.
fn told(done: Result<u8, Stop>) -> u8 {
    done.unwrap_or_else(|stop| {
        let _ = io::stderr().write_all(stop.told().as_bytes());
        stop.exit_code()
    })
}

/// Prints what the parser of these commands has to say of the words (an error, or the help that was asked for); returns
/// the exit code.
pub fn usage(mut error: clap::Error, words: &[String], commands: &clap::Command) -> u8 {
    if !error.use_stderr() {
        if let Some(told) = args::meant_for_the_hosts(words.iter().cloned()) {
            let _ = write!(io::stderr(), "muster: {told}");
            return exit::WRONG_REQUEST;
        }
        return match error.print() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::PIPE_CLOSED,
            _ => exit::SUCCESS,
        };
    }
    args::propose(&mut error, words.iter().cloned(), commands);
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let _ = write!(io::stderr(), "muster: {text}");
    exit::WRONG_REQUEST
}

/// Does the commands that need neither settings nor a server; None for the others.
fn pure(line: &mut Line) -> Option<Result<u8, Stop>> {
    let page = match line.command.as_mut()? {
        Command::Completions { shell } => Ok(pages::completions(*shell)),
        Command::Man { command } => pages::manual(command),
        Command::Reference => Ok(pages::reference().into_bytes()),
        Command::Hosts(hosts) => {
            return match inventory::resolve(hosts) {
                Ok(()) => inventory::locally(hosts),
                Err(problem) => Some(Err(problem.into())),
            };
        }
        _ => return None,
    };
    Some(page.map_err(Stop::from).and_then(|page| {
        let mut out = io::stdout().lock();
        match out.write_all(&page).and_then(|()| out.flush()) {
            Ok(()) => Ok(exit::SUCCESS),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::PipeClosed),
            Err(error) => Err(unwritable(&error).into()),
        }
    }))
}

fn with_settings(line: Line) -> u8 {
    let overrides = Overrides {
        server: line.global.server.clone(),
        roles: match &line.command {
            Some(Command::Server(args)) => args.roles.clone(),
            _ => None,
        },
        config: line.global.config.clone(),
        log_format: match &line.command {
            Some(Command::Server(server)) => server.log_format.clone(),
            _ => None,
        },
    };
    let settings = match Settings::load(overrides) {
        Ok(settings) => settings,
        Err(problem) => return told(Err(problem.into())),
    };
    let serves = matches!(&line.command, Some(Command::Server(args)) if args.command.is_none());
    let part = if serves { Part::Server } else { Part::Command };
    let traces = match Traces::begin(&settings, part) {
        Ok(traces) => traces,
        Err(problem) => return told(Err(problem.into())),
    };
    if !serves {
        log(&settings);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let problem = Problem::new(Code::Internal, format!("threads cannot be started: {error}"));
            return told(Err(problem.into()));
        }
    };
    let done = runtime.block_on(Box::pin(whole(settings, line.command)));
    // A write to a reader that never reads must not keep the process.
    runtime.shutdown_background();
    let code = told(done);
    traces.end();
    code
}

/// Sets logging up where it was asked for; a server does it for itself.
fn log(settings: &Settings) {
    let asked = settings
        .rows()
        .iter()
        .any(|row| row.name == "log" && row.source != "default");
    let filter = tracing_subscriber::EnvFilter::builder().parse(&settings.log);
    let lines = filter.ok().filter(|_| asked).map(|filter| {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(settings.colours && io::stderr().is_terminal())
            .with_filter(filter.and(not_steps()))
    });
    let steps = Traces::layer();
    if lines.is_some() || steps.is_some() {
        let _ = tracing_subscriber::registry().with(steps).with(lines).try_init();
    }
}

/// Does one whole command line: the command, or the prompt.
async fn whole(settings: Settings, command: Option<Command>) -> Result<u8, Stop> {
    let mut context = Context::new(settings);
    match command {
        // A server handles its own signals.
        Some(Command::Server(args)) if args.command.is_none() => operate::server(&mut context, &args).await,
        Some(Command::Demo(args)) => Box::pin(demo::run(context, &args)).await,
        Some(command) => {
            let mut interrupt = interrupt()?;
            let mut termination = Termination::watch(context.settings.no_daemon)?;
            let done = tokio::select! {
                done = interruptible(&mut context, &command, &mut interrupt) => done,
                () = termination.asked() => return Ok(terminated(&mut context).await),
            };
            context.console.clear().await;
            // Told before a server inside this process is waited for.
            let code = told(done);
            if code == exit::PIPE_CLOSED {
                context.abandon().await;
            }
            tokio::select! {
                () = leave(&mut context, &mut interrupt) => {}
                () = termination.asked() => return Ok(terminated(&mut context).await),
            }
            Ok(code)
        }
        None => Box::pin(repl::run(context)).await,
    }
}

/// SIGTERM and SIGHUP, by which CI systems and closed terminals end a command that is its own server. With a server
/// of its own process they end the command as usual, and its task goes on.
struct Termination(Option<[Signal; 2]>);

impl Termination {
    fn watch(own_server: bool) -> Result<Self, Problem> {
        if !own_server {
            return Ok(Self(None));
        }
        let watch = |kind| {
            signal(kind)
                .map_err(|error| Problem::new(Code::Internal, format!("signals cannot be handled: {error}")))
        };
        Ok(Self(Some([
            watch(SignalKind::terminate())?,
            watch(SignalKind::hangup())?,
        ])))
    }

    async fn asked(&mut self) {
        match &mut self.0 {
            Some([terminate, hang_up]) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Ends a command that is its own server: what it started is cancelled, and nothing of it is left on a host.
async fn terminated(context: &mut Context) -> u8 {
    context.console.clear().await;
    context.notice("terminated: what was started is cancelled").await;
    context.abandon().await;
    context.close().await;
    exit::TERMINATED
}

/// Leaves the server in order; one inside this process ends its tasks first, unless Ctrl-C is pressed.
pub async fn leave(context: &mut Context, interrupt: &mut Signal) {
    context.console.clear().await;
    tokio::select! {
        () = context.close() => {}
        _ = interrupt.recv() => {}
    }
}

/// Returns Ctrl-C as a stream: from now on it does not end the process by itself.
///
/// # Errors
///
/// Where signals cannot be handled.
pub fn interrupt() -> Result<Signal, Problem> {
    signal(SignalKind::interrupt())
        .map_err(|error| Problem::new(Code::Internal, format!("signals cannot be handled: {error}")))
}

/// Does a command until it ends or Ctrl-C is pressed. A submit that is on its way is waited for, so that
/// nobody leaves without the number of a task that exists; a second Ctrl-C does not wait.
pub async fn interruptible(
    context: &mut Context,
    command: &Command,
    interrupt: &mut Signal,
) -> Result<u8, Stop> {
    let phase = std::rc::Rc::clone(&context.phase);
    phase.set(Phase::Before);
    let step = tracing::info_span!(
        target: trace::TARGET,
        parent: None,
        "command",
        otel.name = format_args!("muster {}", command.word()),
        otel.kind = "client",
        otel.status_code = Empty,
        process.exit.code = Empty,
    );
    trace::follow(&step, context.settings.trace);
    let mut work = Box::pin(execute(context, command).instrument(step.clone()));
    loop {
        tokio::select! {
            done = &mut work => {
                let code = done.as_ref().map_or_else(Stop::exit_code, |code| *code);
                step.record("process.exit.code", code);
                if code != exit::SUCCESS {
                    step.record("otel.status_code", "error");
                }
                return done;
            }
            _ = interrupt.recv() => match phase.get() {
                Phase::Submitting => phase.set(Phase::Leaving),
                Phase::Accepted(id) => return Err(Stop::Interrupted(Left::Task(id))),
                Phase::Before => return Err(Stop::Interrupted(Left::Nothing)),
                Phase::Leaving => return Err(Stop::Interrupted(Left::Unknown)),
            },
        }
    }
}

/// Does a command and returns its exit code.
async fn execute(context: &mut Context, command: &Command) -> Result<u8, Stop> {
    match command {
        Command::Run(args) => task::run(context, args).await,
        Command::Script(args) => task::script(context, args).await,
        Command::CheckTask(args) => task::check(context, args).await,
        Command::Tasks(args) => task::list(context, args).await,
        Command::Follow(args) => {
            // Even an unknown number is answered by the server before anything is shown.
            context.client().await?.task(args.id).await?;
            context.phase.set(Phase::Accepted(args.id));
            Box::pin(follow::follow(context, args.id, args.output.mode())).await
        }
        Command::Cancel { id } => task::cancel(context, *id).await,
        Command::Retry(args) => task::retry(context, args).await,
        Command::Hosts(command) => match inventory::locally(command) {
            Some(done) => done,
            None => inventory::hosts(context, command).await,
        },
        Command::Groups(command) => inventory::groups(context, command).await,
        Command::Credentials(command) => credentials::credentials(context, command).await,
        Command::Db(command) => Box::pin(database::db(context, command)).await,
        Command::Server(args) if args.command.is_some() => operate::server(context, args).await,
        Command::Cluster { json } => cluster::cluster(context, *json).await,
        Command::Doctor { json } => operate::doctor(context, *json).await,
        Command::Config { json } => operate::config(context, *json).await,
        Command::Completions { shell } => {
            let page = pages::completions(*shell);
            context.print(&String::from_utf8_lossy(&page)).await?;
            Ok(exit::SUCCESS)
        }
        Command::Man { command } => {
            let page = pages::manual(command)?;
            context.print(&String::from_utf8_lossy(&page)).await?;
            Ok(exit::SUCCESS)
        }
        Command::Reference => {
            context.print(&pages::reference()).await?;
            Ok(exit::SUCCESS)
        }
        Command::Demo(_) | Command::Server(_) => Err(Problem::new(
            Code::InvalidRequest,
            "this command is for the shell, not for the prompt",
        )
        .into()),
    }
}
