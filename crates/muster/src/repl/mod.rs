//! The prompt: the commands of the command line, typed one after the other.
//!
//! `run` answers at once with the task's number, except where it is told how to print results; when a task that was started here ends, that is told above
//! the prompt. The line editor blocks and therefore lives on a thread of its own; everything else happens in
//! the one loop of [`serve`], between two lines.

mod complete;
mod editor;
mod names;
mod split;
mod watched;

use std::io::{self, IsTerminal, Write};

use clap::{CommandFactory, Parser};
use futures_util::FutureExt;
use muster_client::exit;
use muster_model::Problem;
use muster_model::problem::Code;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::Signal;

use self::editor::{Editor, Typed};
use self::names::Names;
use self::watched::Watched;
use crate::cli;
use crate::cli::args::PromptLine;
use crate::cli::context::Context;
use crate::cli::input::Stdin;
use crate::cli::stop::{Left, Stop};

/// Runs the prompt of `muster` alone.
///
/// # Errors
///
/// Where the terminal or standard input cannot be used.
pub async fn run(mut context: Context) -> Result<u8, Stop> {
    let mut interrupt = cli::interrupt()?;
    let done = Box::pin(serve(&mut context, &mut interrupt)).await;
    cli::leave(&mut context, &mut interrupt).await;
    done
}

/// Takes commands until there are no more; returns the exit code.
///
/// # Errors
///
/// Where the terminal or standard input cannot be used.
pub async fn serve(context: &mut Context, interrupt: &mut Signal) -> Result<u8, Stop> {
    context.stdin = Stdin::Commands;
    context.at_prompt = true;
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        at_terminal(context, interrupt).await
    } else {
        from_pipe(context, interrupt).await
    }
}

/// What comes after a line.
enum Next {
    /// Another one; this is the exit code of the last command.
    Line(u8),
    /// Another one; there was no command in this one.
    Blank,
    /// The end.
    End,
}

async fn at_terminal(context: &mut Context, interrupt: &mut Signal) -> Result<u8, Stop> {
    let (names, mut answers) = Names::new();
    let mut editor = Editor::start(&context.settings, names.clone())?;
    let mut watched = Watched::default();
    loop {
        let typed = {
            let mut refresh = Box::pin(names.refresh(context));
            let mut fresh = false;
            let typed = loop {
                tokio::select! {
                    typed = editor.next() => break typed,
                    client = &mut refresh, if !fresh => {
                        answers.by(client);
                        fresh = true;
                    }
                    ask = answers.next() => answers.answer(ask).await,
                    notice = watched.next() => editor.notice(notice),
                }
            };
            if !fresh {
                answers.by(refresh.await);
            }
            typed
        };
        let line = match typed {
            Typed::Line(line) => line,
            Typed::End => break,
            Typed::Broken(error) => {
                return Err(
                    Problem::new(Code::Unavailable, format!("the terminal cannot be used: {error}")).into(),
                );
            }
        };
        match one(context, interrupt, &line).await? {
            Next::Line(_) | Next::Blank => {}
            Next::End => break,
        }
        take_submitted(context, &mut watched).await;
        editor.go_on();
    }
    Ok(exit::SUCCESS)
}

async fn from_pipe(context: &mut Context, interrupt: &mut Signal) -> Result<u8, Stop> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut watched = Watched::default();
    let mut code = exit::SUCCESS;
    let mut pending = String::new();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            notice = watched.next() => {
                context.notice(&notice).await;
                continue;
            }
            _ = interrupt.recv() => return Err(Stop::Interrupted(Left::Nothing)),
        };
        let line = line.map_err(|error| {
            Problem::new(
                Code::InvalidRequest,
                format!("standard input cannot be read: {error}"),
            )
        })?;
        let ended = line.is_none();
        pending.push_str(&line.unwrap_or_default());
        if !ended && !split::is_complete(&pending) {
            pending.push('\n');
            continue;
        }
        match one(context, interrupt, &std::mem::take(&mut pending)).await? {
            Next::Line(now) => code = now,
            Next::Blank => {}
            Next::End => break,
        }
        take_submitted(context, &mut watched).await;
        if ended {
            break;
        }
    }
    Ok(code)
}

/// Watches the tasks that the last line has started.
async fn take_submitted(context: &mut Context, watched: &mut Watched) {
    let submitted = std::mem::take(&mut context.submitted);
    if !submitted.is_empty()
        && let Ok(client) = context.client().await
    {
        watched.add(&client, submitted);
    }
}

/// Does one line. What is wrong with it is told, and ends nothing, except that nobody reads any more.
async fn one(context: &mut Context, interrupt: &mut Signal, line: &str) -> Result<Next, Stop> {
    let words = match split::words(line) {
        Ok(words) => words,
        Err(problem) => return Ok(Next::Line(tell(context, &problem.into()).await)),
    };
    let words = match words.as_slice() {
        // Out of habit.
        [first, rest @ ..] if first == "muster" && !rest.is_empty() => rest,
        all => all,
    };
    match words {
        [] => return Ok(Next::Blank),
        [word] if word == "exit" || word == "quit" => return Ok(Next::End),
        [word] if word == "help" || word == "?" => {
            context.print(&help()).await?;
            return Ok(Next::Line(exit::SUCCESS));
        }
        _ => {}
    }
    let command = match PromptLine::try_parse_from(words) {
        Ok(line) => line.command,
        Err(error) => {
            let _ = io::stdout().flush();
            return Ok(Next::Line(cli::usage(error, words, &PromptLine::command())));
        }
    };
    // A Ctrl-C from before belongs to what was before.
    while interrupt.recv().now_or_never().flatten().is_some() {}
    match Box::pin(cli::interruptible(context, &command, interrupt)).await {
        Ok(code) => Ok(Next::Line(code)),
        Err(Stop::PipeClosed) => Err(Stop::PipeClosed),
        Err(stop) => {
            context.console.clear().await;
            Ok(Next::Line(tell(context, &stop).await))
        }
    }
}

async fn tell(context: &mut Context, stop: &Stop) -> u8 {
    context.notice(stop.told().trim_end()).await;
    stop.exit_code()
}

fn help() -> String {
    let mut command = PromptLine::command()
        .about("Type a command; `help COMMAND` says more of one.")
        .mut_subcommand("demo", |demo| demo.hide(true))
        .disable_help_flag(true)
        .after_help(
            "`exit` or Ctrl-D leaves; tasks go on. Ctrl-C clears the line, or stops following. Tab completes. \
             An open quote, or a \\ at the end, goes on in the next line.",
        );
    format!("{}\n", command.render_help().to_string().trim_end())
}
