//! Publishing: pipelined, and done when the broker has confirmed everything.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lapin::options::BasicPublishOptions;
use lapin::{Confirmation, PublisherConfirm};
use muster_model::ErrorKind;
use muster_runtime::clock::{deadline, sleep};
use tokio::time::Instant;

use super::errors::translate;
use super::house::House;
use super::link::{Link, Publisher};
use super::message::{properties, short};
use super::{ANSWERS_WITHIN, WAITS};
use crate::adapters::checks::{check_message, clip};
use crate::error::Error;
use crate::types::Message;

/// How many messages of one call are on their way at a time.
const WINDOW: usize = 500;
/// A queue that there is not.
const NOBODY: &str = "muster.nobody";

/// How far a failed call got.
struct Stopped {
    error: Error,
    /// Something may be in.
    sent: bool,
}

/// Publishes messages.
pub(super) async fn publish(house: &House, exchange: &str, messages: Vec<Message>) -> Result<(), Error> {
    let operation = format!("publish to exchange '{}'", clip(exchange));
    house.check_open(&operation)?;
    for message in &messages {
        check_message(exchange, message)?;
    }
    if messages.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + WAITS;
    loop {
        let link = house.link(&operation, until).await?;
        let stopped = match attempt(&link, exchange, &messages, &operation, until).await {
            Ok(()) => return Ok(()),
            Err(stopped) => stopped,
        };
        // A connection that broke before anything was said: the next one may do.
        let again = !stopped.sent && stopped.error.kind == ErrorKind::Unavailable && !link.is_whole();
        if !again || Instant::now() >= until {
            return Err(stopped.error);
        }
        house.next_link(&link, until).await;
    }
}

/// Sees whether the broker takes messages: some for a queue that nobody has, which are confirmed and gone. A broker says to
/// who publishes, and to nobody else, that it is in alarm; it is believed at once.
pub(super) async fn probe(link: &Arc<Link>, operation: &str) -> Result<(), Error> {
    let sending = async {
        let publisher = link.publisher(operation).await?;
        let message = [Message::new(NOBODY, Bytes::new())];
        // The first may be taken before the broker says so, but not one that is sent when it is confirmed.
        for _ in 0..2 {
            let outcome = send(&publisher, "", &message, operation).await;
            outcome.map_err(|stopped| stopped.error)?;
        }
        publisher.give_back();
        Ok::<(), Error>(())
    };
    let unavailable = |why: String| Error::new(ErrorKind::Unavailable, format!("{operation}: {why}"));
    tokio::select! {
        biased;
        why = blocked(link) => Err(unavailable(alarm(&why))),
        outcome = sending => outcome.map_err(|mut error| {
            // Whether that one message is in is nobody's question.
            if error.kind == ErrorKind::OutcomeUnknown {
                error.kind = ErrorKind::Unavailable;
            }
            error
        }),
        () = link.lost.cancelled() => Err(unavailable("the connection is gone".to_owned())),
    }
}

async fn attempt(
    link: &Arc<Link>,
    exchange: &str,
    messages: &[Message],
    operation: &str,
    until: Instant,
) -> Result<(), Stopped> {
    let unsent = |error| Stopped { error, sent: false };
    unblocked(link, operation, until).await.map_err(unsent)?;
    let publisher = link.publisher(operation).await.map_err(unsent)?;
    let sending = send(&publisher, exchange, messages, operation);
    let outcome = tokio::select! {
        biased;
        outcome = sending => outcome,
        why = blocked_for_long(link) => Err(Stopped {
            error: Error::new(ErrorKind::OutcomeUnknown, format!("{operation}: {}", alarm(&why))),
            sent: true,
        }),
        () = link.lost.cancelled() => Err(Stopped {
            error: Error::new(
                ErrorKind::OutcomeUnknown,
                format!("{operation}: the connection broke before the broker confirmed"),
            ),
            sent: true,
        }),
    };
    if outcome.is_ok() {
        publisher.give_back();
    }
    outcome
}

/// Waits until the broker takes messages.
pub(super) async fn unblocked(link: &Link, operation: &str, until: Instant) -> Result<(), Error> {
    let mut blocked = link.blocked.subscribe();
    let free = async { blocked.wait_for(Option::is_none).await.is_ok() };
    match tokio::time::timeout_at(until, free).await {
        Ok(_) => Ok(()),
        Err(_) => {
            let why = link.blocked.borrow().clone().unwrap_or_default();
            Err(Error::new(
                ErrorKind::Unavailable,
                format!("{operation}: {}", alarm(&why)),
            ))
        }
    }
}

/// Returns the broker's reason once it takes no messages.
async fn blocked(link: &Link) -> String {
    let mut blocked = link.blocked.subscribe();
    let why = blocked.wait_for(Option::is_some).await;
    match why.map(|why| why.clone().unwrap_or_default()) {
        Ok(why) => why,
        Err(_) => std::future::pending().await,
    }
}

/// Returns the broker's reason once it has taken no messages for as long as a caller waits.
async fn blocked_for_long(link: &Link) -> String {
    let mut blocked = link.blocked.subscribe();
    loop {
        let Ok(why) = blocked
            .wait_for(Option::is_some)
            .await
            .map(|why| why.clone().unwrap_or_default())
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            () = sleep(WAITS) => return why,
            _ = blocked.wait_for(Option::is_none) => {}
        }
    }
}

fn alarm(why: &str) -> String {
    let why: String = why.chars().take(100).collect();
    format!(
        "the broker takes no messages ({why}): it is in alarm; give it memory or disk, or drain its queues; \
         `rabbitmq-diagnostics alarms` says what it lacks"
    )
}

/// Sends and collects confirms, a window's worth at a time.
async fn send(
    publisher: &Publisher,
    exchange: &str,
    messages: &[Message],
    operation: &str,
) -> Result<(), Stopped> {
    let mut round = Round {
        operation,
        needs: format!(
            "'write' on exchange '{}'",
            if exchange.is_empty() {
                "amq.default"
            } else {
                exchange
            }
        ),
        confirmed: 0,
        refused: 0,
        sent: false,
    };
    let mut open = VecDeque::with_capacity(WINDOW.min(messages.len()));
    for message in messages {
        if open.len() == WINDOW
            && let Some(confirm) = open.pop_front()
        {
            round.settle(confirm).await?;
        }
        let named = |text: &str| short(text, || operation.to_owned());
        let parts = properties(message, || operation.to_owned())
            .and_then(|properties| Ok((named(exchange)?, named(&message.key)?, properties)));
        let (exchange, key, properties) = parts.map_err(|error| round.stop(error))?;
        let publishing = publisher.channel.basic_publish(
            exchange,
            key,
            BasicPublishOptions::default(),
            &message.body,
            properties,
        );
        // From here on some of it may be on the wire.
        let before = std::mem::replace(&mut round.sent, true);
        match deadline(ANSWERS_WITHIN, publishing).await {
            Ok(Ok(confirm)) => open.push_back(confirm),
            Ok(Err(error)) => {
                let was_refused_here = matches!(
                    error.kind(),
                    lapin::ErrorKind::InvalidChannelState(..) | lapin::ErrorKind::InvalidConnectionState(_)
                );
                round.sent = before || !was_refused_here;
                let error = reason(open).await.unwrap_or(error);
                return Err(round.failed(error));
            }
            Err(_) => return Err(round.silent()),
        }
    }
    for confirm in open {
        round.settle(confirm).await?;
    }
    round.end()
}

/// Returns what the broker said when it closed the channel: it stands in the confirms that never came.
async fn reason(open: VecDeque<PublisherConfirm>) -> Option<lapin::Error> {
    for confirm in open {
        if let Ok(Err(error)) = deadline(ANSWERS_WITHIN, confirm).await
            && error.is_amqp_error()
        {
            return Some(error);
        }
    }
    None
}

/// One call of `publish`, and how far it is.
struct Round<'a> {
    operation: &'a str,
    needs: String,
    confirmed: usize,
    refused: usize,
    sent: bool,
}

impl Round<'_> {
    async fn settle(&mut self, confirm: PublisherConfirm) -> Result<(), Stopped> {
        match deadline(ANSWERS_WITHIN, confirm).await {
            Ok(Ok(Confirmation::Nack(_))) => self.refused += 1,
            Ok(Ok(_)) => self.confirmed += 1,
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => return Err(self.silent()),
        }
        Ok(())
    }

    fn stop(&self, error: Error) -> Stopped {
        Stopped {
            error,
            sent: self.sent,
        }
    }

    /// What failed without an answer of the broker may have happened.
    fn failed(&self, error: lapin::Error) -> Stopped {
        let mut error = translate(self.operation, &self.needs, error);
        if self.sent && matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal) {
            error.kind = ErrorKind::OutcomeUnknown;
        }
        self.stop(error)
    }

    fn silent(&self) -> Stopped {
        self.stop(Error::new(
            ErrorKind::OutcomeUnknown,
            format!(
                "{}: the broker did not confirm within {ANSWERS_WITHIN:?}",
                self.operation
            ),
        ))
    }

    fn end(self) -> Result<(), Stopped> {
        if self.refused == 0 {
            return Ok(());
        }
        let kind = if self.confirmed == 0 {
            ErrorKind::Unavailable
        } else {
            ErrorKind::OutcomeUnknown
        };
        let all = self.confirmed + self.refused;
        let why = format!(
            "{}: the broker could not take {} of {all} messages",
            self.operation, self.refused
        );
        Err(self.stop(Error::new(kind, why)))
    }
}
