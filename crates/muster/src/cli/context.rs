//! What a command has at hand: settings, the console, and the server, found or started when first needed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use muster_client::{Client, Revive};
use muster_model::{Problem, TaskId};
use muster_runtime::trace;

use super::input::Stdin;
use super::stop::Stop;
use crate::daemon::{self, Connected};
use crate::render::{Console, Screen};
use crate::settings::Settings;

/// How far a command is, for Ctrl-C to know what it leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been started.
    #[default]
    Before,
    /// A task is being submitted: the answer says whether it exists.
    Submitting,
    /// The same, and Ctrl-C was pressed: the command leaves as soon as the answer is there.
    Leaving,
    /// The task exists.
    Accepted(TaskId),
}

/// What a command has at hand.
pub struct Context {
    /// The settings.
    pub settings: Settings,
    /// Where results go.
    pub console: Console,
    /// Whose standard input is.
    pub stdin: Stdin,
    /// Whether commands come from the prompt: then `run` answers at once.
    pub at_prompt: bool,
    /// How far the command is.
    pub phase: Rc<Cell<Phase>>,
    /// Tasks submitted from here, for the prompt's notices.
    pub submitted: Vec<TaskId>,
    connected: Option<Connected>,
}

impl Context {
    /// Returns the context of a one-shot command.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let console = Console::new(settings.colours, settings.colours_always);
        Self {
            settings,
            console,
            stdin: Stdin::Free,
            at_prompt: false,
            phase: Rc::default(),
            submitted: Vec::new(),
            connected: None,
        }
    }

    /// Uses a server that is there already.
    #[must_use]
    pub fn with(mut self, connected: Connected) -> Self {
        self.connected = Some(connected);
        self
    }

    /// Returns a client of the server, which is found or started where it is not yet known.
    ///
    /// # Errors
    ///
    /// Those of [`daemon::ensure`].
    pub async fn client(&mut self) -> Result<Client, Problem> {
        if let Some(connected) = &self.connected {
            return Ok(self.in_trace(connected.client.clone()));
        }
        let mut connected = daemon::ensure(&self.settings).await?;
        if self.settings.servers.is_empty() && !self.settings.no_daemon {
            connected.client = connected.client.reviving(revive(self.settings.clone()));
        }
        let client = self.connected.insert(connected).client.clone();
        Ok(self.in_trace(client))
    }

    /// What a client asks for belongs to the command's step of a trace, else to that of whoever started it.
    fn in_trace(&self, client: Client) -> Client {
        client.in_trace(trace::here().or(self.settings.trace))
    }

    /// Cancels what was submitted where the server is inside this process, and nobody waits for it any more.
    pub async fn abandon(&mut self) {
        if !self.settings.no_daemon || !self.settings.servers.is_empty() {
            return;
        }
        if let Ok(client) = self.client().await {
            for id in std::mem::take(&mut self.submitted) {
                // It may have ended by itself.
                let _ = client.cancel(id).await;
            }
        }
    }

    /// Leaves the server in order.
    pub async fn close(&mut self) {
        if let Some(connected) = self.connected.take() {
            connected.close().await;
        }
    }

    /// Writes lines to standard output.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub async fn print(&mut self, text: &str) -> Result<(), Stop> {
        let mut screen = Screen::default();
        screen.out().extend_from_slice(text.as_bytes());
        Ok(self.console.flush(&mut screen).await?)
    }

    /// Writes a value to standard output as JSON.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub async fn print_json(&mut self, value: &impl serde::Serialize) -> Result<(), Stop> {
        let mut screen = Screen::default();
        serde_json::to_writer_pretty(&mut *screen.out(), value)?;
        screen.out().push(b'\n');
        Ok(self.console.flush_json(&mut screen).await?)
    }

    /// Writes a line to standard error.
    pub async fn notice(&mut self, line: &str) {
        let mut screen = Screen::default();
        screen.notice(line);
        // Standard error that cannot be written is nobody's loss.
        let _ = self.console.flush(&mut screen).await;
    }
}

/// A server that dies or hands over while a command waits is found or started again.
fn revive(settings: Settings) -> Revive {
    let settings = Arc::new(settings);
    Arc::new(move || {
        let settings = Arc::clone(&settings);
        async move {
            daemon::ensure(&settings)
                .await
                .map(|found| found.client.address())
        }
        .boxed()
    })
}
