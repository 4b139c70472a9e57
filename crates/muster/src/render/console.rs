//! The console: standard output and standard error, with the progress line between.
//!
//! Writing is asynchronous, so that whoever waits for a slow reader can still be interrupted. A reader that
//! has gone (`| head`) is [`Closed`], which ends the command without a word.

use std::io::{self, IsTerminal};

use tokio::io::AsyncWriteExt;

use super::screen::{Lane, Screen};

/// Standard output cannot be written any more.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// Whoever read it has gone.
    #[error("the reader of standard output has gone")]
    Gone,
    /// Another fault, such as a full disk.
    #[error("cannot write the output: {0}")]
    Broken(#[source] io::Error),
}

/// What the console is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminals {
    /// Standard output is a terminal.
    pub out: bool,
    /// Standard error is a terminal.
    pub err: bool,
    /// Colours are wanted on terminals.
    pub colours: bool,
    /// Colours are wanted even where there is no terminal.
    pub colours_always: bool,
}

impl Terminals {
    /// Tells whether a lane may hold colours.
    #[must_use]
    pub fn has_colour(&self, lane: Lane) -> bool {
        self.colours_always || self.colours && self.is_terminal(lane)
    }

    /// Tells whether a lane leads to a terminal.
    #[must_use]
    pub fn is_terminal(&self, lane: Lane) -> bool {
        match lane {
            Lane::Out => self.out,
            Lane::Err => self.err,
        }
    }
}

/// Standard output and standard error.
pub struct Console {
    out: tokio::io::Stdout,
    err: tokio::io::Stderr,
    terminals: Terminals,
    /// Whether a progress line stands on the terminal's last line.
    progress: bool,
}

impl Console {
    /// Returns the console of this process.
    #[must_use]
    pub fn new(colours: bool, colours_always: bool) -> Self {
        Self {
            out: tokio::io::stdout(),
            err: tokio::io::stderr(),
            terminals: Terminals {
                out: io::stdout().is_terminal(),
                err: io::stderr().is_terminal(),
                colours,
                colours_always,
            },
            progress: false,
        }
    }

    /// Returns what the console is connected to.
    #[must_use]
    pub fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// Writes everything that the screen holds.
    ///
    /// # Errors
    ///
    /// [`Closed`] where standard output cannot be written. Standard error that cannot be written is nobody's loss.
    pub async fn flush(&mut self, screen: &mut Screen) -> Result<(), Closed> {
        if screen.is_empty() {
            return Ok(());
        }
        self.clear().await;
        for (lane, bytes) in screen.take() {
            match lane {
                Lane::Out => {
                    self.out.write_all(&bytes).await.map_err(closed)?;
                    self.out.flush().await.map_err(closed)?;
                }
                Lane::Err => {
                    let _ = self.err.write_all(&bytes).await;
                    let _ = self.err.flush().await;
                }
            }
        }
        Ok(())
    }

    /// As [`Console::flush`], where standard output holds whole pieces of JSON: bytes that steer a terminal are
    /// escaped on their way to one.
    ///
    /// # Errors
    ///
    /// As [`Console::flush`].
    pub async fn flush_json(&mut self, screen: &mut Screen) -> Result<(), Closed> {
        if self.terminals.out {
            screen.make_json_safe();
        }
        self.flush(screen).await
    }

    /// Tells whether a progress line can be drawn.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        self.terminals.err
    }

    /// Draws the progress line in place of the one before.
    pub async fn progress(&mut self, line: &str) {
        if self.shows_progress() {
            self.progress = true;
            // Without wrapping, a narrow terminal cuts the line instead of leaving its rest behind.
            let drawn = format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h");
            let _ = self.err.write_all(drawn.as_bytes()).await;
            let _ = self.err.flush().await;
        }
    }

    /// Takes the progress line away.
    pub async fn clear(&mut self) {
        if std::mem::take(&mut self.progress) {
            let _ = self.err.write_all(b"\r\x1b[K").await;
            let _ = self.err.flush().await;
        }
    }
}

fn closed(error: io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Closed::Gone,
        _ => Closed::Broken(error),
    }
}
