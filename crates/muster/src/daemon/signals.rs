//! Signals that tell the process to leave.

use muster_model::Problem;
use muster_model::problem::Code;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that tell a process to leave.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub(super) fn take() -> Result<Self, Problem> {
        let take = |kind| {
            signal(kind).map_err(|error| {
                Problem::new(Code::Internal, format!("signals cannot be waited for: {error}"))
            })
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// Ends the process where it stands. Nothing is lost by it that a crash would not lose, and a crash loses
/// nothing.
#[expect(clippy::exit, reason = "the third signal means now")]
#[expect(clippy::disallowed_methods, reason = "the third signal means now")]
pub(super) fn leave_at_once() -> ! {
    std::process::exit(130)
}
