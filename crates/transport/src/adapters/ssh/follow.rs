//! Following a command on a channel: its output as it comes, then how it ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use muster_model::Stream;
use muster_runtime::{CancellationToken, clock};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::pool::Place;
use crate::adapters::command::Delivery;
use crate::types::Exit;

/// A server closes the channel when the last process that holds the output open has closed it, which something
/// that the command left behind may never do. So long after the command has ended without a word, the server is
/// asked for a sign of life; when that comes, everything that it had to say is here. How long it takes is the host's to
/// say: a host that is gone is found by the keepalives, as while the command ran.
const QUIET: Duration = Duration::from_secs(1);

/// How long a command that was killed may take to show how it ended.
const LET_GO: Duration = Duration::from_secs(5);

/// A command on a channel.
pub(super) struct Follow {
    read: ChannelReadHalf,
    early: Option<ChannelMsg>,
    write: Arc<ChannelWriteHalf<Msg>>,
    place: Place,
    closing: CancellationToken,
    let_go: CancellationToken,
}

/// What is known of the command's end.
#[derive(Default)]
struct End {
    exit: Option<Exit>,
    /// Nobody waits for it longer than this.
    until: Option<Instant>,
    /// It was killed: what it still says need not be kept.
    released: bool,
    ping: Option<BoxFuture<'static, bool>>,
    /// The server has given its sign of life: what it had said before is here, and waits to be read.
    answered: bool,
}

enum Seen {
    Message(Option<ChannelMsg>),
    Room,
    Late,
    /// Whether the server gave its sign of life, or its connection is gone.
    Ping(bool),
    Whole,
    Abandoned,
    LetGo,
    Closing,
}

impl Follow {
    /// Takes the halves of a channel with what came early on it, and its place.
    pub(super) fn new(
        read: ChannelReadHalf,
        early: Option<ChannelMsg>,
        write: Arc<ChannelWriteHalf<Msg>>,
        place: Place,
        closing: CancellationToken,
        let_go: CancellationToken,
    ) -> Self {
        Self {
            read,
            early,
            write,
            place,
            closing,
            let_go,
        }
    }

    /// Delivers what the command does until it has ended; closes the channel then.
    pub(super) async fn run(mut self, mut delivery: Delivery) {
        let mut end = End::default();
        if let Some(message) = self.early.take() {
            take(message, &mut delivery, &mut end);
        }
        let broken = loop {
            match self.wait(&delivery, &mut end).await {
                Seen::Message(Some(ChannelMsg::Close)) => break None,
                Seen::Message(None) => {
                    let why = self.place.connection().ended();
                    break Some(self.say(why.as_deref().unwrap_or("the connection broke")));
                }
                Seen::Message(Some(message)) => take(message, &mut delivery, &mut end),
                Seen::Room => end.heard(),
                Seen::Late if end.released => break None,
                Seen::Late => {
                    let connection = Arc::clone(self.place.connection());
                    end.until = None;
                    end.ping = Some(async move { connection.ping().await }.boxed());
                }
                Seen::Ping(alive) => {
                    end.ping = None;
                    end.answered = alive;
                }
                Seen::Whole => break None,
                Seen::LetGo => {
                    end.released = true;
                    end.ping = None;
                    end.answered = false;
                    end.until = Some(Instant::now() + LET_GO);
                }
                Seen::Abandoned => return self.leave().await,
                Seen::Closing => break Some("muster closed its connections".to_owned()),
            }
        };
        match (broken, end.exit) {
            (Some(why), _) => delivery.broken(why),
            (None, Some(exit)) => delivery.exited(exit),
            (None, None) => {
                delivery.broken(self.say("the host closed the channel without saying how the command ended"));
            }
        }
        self.leave().await;
    }

    fn say(&self, what: &str) -> String {
        format!("{}: {what}", self.place.connection().label())
    }

    async fn wait(&mut self, delivery: &Delivery, end: &mut End) -> Seen {
        let writer = delivery.writer();
        let readable = end.released || writer.has_room();
        // Where this command's output waits, so does the connection at some time: no new command comes on it.
        let _stalled = (!readable).then(|| self.place.connection().stall());
        let (until, released, answered) = (end.until, end.released, end.answered);
        // What is read costs a step of the task's turn here: a channel that would refuse for want of one looks empty.
        tokio::task::consume_budget().await;
        // In this order: a host that never stops talking can be let go of, and what waits to be read is read before
        // the command is said to have ended.
        tokio::select! {
            biased;
            () = writer.abandoned() => Seen::Abandoned,
            () = self.let_go.cancelled(), if !released => Seen::LetGo,
            () = self.closing.cancelled() => Seen::Closing,
            () = writer.room(), if !readable => Seen::Room,
            alive = sign(&mut end.ping), if readable => Seen::Ping(alive),
            () = sleep_until(until), if readable => Seen::Late,
            message = unconstrained(self.read.wait()), if readable => Seen::Message(message),
            () = std::future::ready(()), if readable && answered => Seen::Whole,
        }
    }

    /// Closes the channel. Harmless where the server has done so.
    async fn leave(self) {
        drop(self.read);
        let _ = clock::deadline(Duration::from_secs(1), self.write.close()).await;
        drop(self.place);
    }
}

impl End {
    /// Something was said: whether there is more is asked anew.
    fn heard(&mut self) {
        if self.exit.is_some() && !self.released {
            self.ping = None;
            self.answered = false;
            self.until = Some(Instant::now() + QUIET);
        }
    }
}

fn take(message: ChannelMsg, delivery: &mut Delivery, end: &mut End) {
    let (stream, bytes) = match message {
        ChannelMsg::Data { data } => (Stream::Stdout, data),
        ChannelMsg::ExtendedData { data, ext: 1 } => (Stream::Stderr, data),
        ChannelMsg::ExitStatus { exit_status } => {
            end.exit = Some(Exit::Code(i32::try_from(exit_status).unwrap_or(-1)));
            return end.heard();
        }
        ChannelMsg::ExitSignal { signal_name, .. } => {
            end.exit = Some(Exit::Signal(name_of(signal_name)));
            return end.heard();
        }
        _ => return,
    };
    // After a kill nobody may be reading: what does not fit is let go.
    if !end.released || delivery.writer().has_room() {
        let _ = delivery.output(stream, bytes);
    }
    end.heard();
}

async fn sign(ping: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match ping {
        Some(ping) => ping.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The name of a signal without `SIG`; a name that the host has made up is made harmless.
fn name_of(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => {
            let name = name.split('@').next().unwrap_or_default();
            let name: String = name
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(16)
                .collect();
            if name.is_empty() {
                "unknown".to_owned()
            } else {
                name
            }
        }
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_short_names() {
        assert_eq!(name_of(Sig::TERM), "TERM");
        assert_eq!(name_of(Sig::Custom("BUS@openssh.com".into())), "BUS");
        assert_eq!(name_of(Sig::Custom("\u{1b}[2J".into())), "2J");
        assert_eq!(name_of(Sig::Custom(String::new())), "unknown");
    }
}
