//! Calls: requests whose replies come back through RabbitMQ's direct reply-to.
//!
//! The broker hands a reply straight to the channel that asked. A queue of our own for replies would have to be
//! declared, need a permission, cost a write on each reply and outlive a caller that dies; here a reply to nobody is
//! dropped by the broker, as the port has it. The price: who asks does so on the channel that listens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use muster_model::ErrorKind;
use muster_runtime::CancellationToken;
use muster_runtime::clock::deadline;
use tokio::time::Instant;

use super::errors::translate;
use super::house::House;
use super::link::{Link, answered};
use super::message::{properties, short};
use super::publish::unblocked;
use super::{ANSWERS_WITHIN, WAITS};
use crate::adapters::checks::{check_message, clip};
use crate::error::Error;
use crate::types::Message;

/// The broker's name for where it hands replies over.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A channel that asks and listens.
pub(super) struct CallChannel {
    channel: Channel,
    /// Cancelled when no reply can come any more.
    broken: CancellationToken,
}

/// Calls, and waits for the reply.
pub(super) async fn call(
    house: &Arc<House>,
    exchange: &str,
    request: Message,
    limit: Duration,
) -> Result<Bytes, Error> {
    let operation = format!(
        "call '{}' through exchange '{}'",
        clip(&request.key),
        clip(exchange)
    );
    house.check_open(&operation)?;
    check_message(exchange, &request)?;
    let all = ask(house, exchange, request, limit.min(WAITS), &operation);
    match deadline(limit, all).await {
        Ok(Err(error)) if house.closed.is_cancelled() => {
            Err(Error::new(ErrorKind::Cancelled, operation).caused_by(error))
        }
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(ErrorKind::Timeout, operation)),
    }
}

async fn ask(
    house: &Arc<House>,
    exchange: &str,
    request: Message,
    waits: Duration,
    operation: &str,
) -> Result<Bytes, Error> {
    let until = Instant::now() + waits;
    let link = house.link(operation, until).await?;
    unblocked(&link, operation, until).await?;
    // The broker closes a channel that publishes to an exchange which is not there, and with it would go the replies
    // of all the others that wait on it.
    if !exchange.is_empty() && !house.topology.lock().has_exchange(exchange) {
        link.find_exchange(exchange, operation).await?;
    }
    let channel = channel(house, &link, operation).await?;
    let mut call = house.calls.open();
    let request = Message {
        reply_to: Some(REPLY_TO.to_owned()),
        correlation_id: Some(call.id.to_string()),
        ..request
    };
    let named = |text: &str| short(text, || operation.to_owned());
    let properties = properties(&request, || operation.to_owned())?;
    let publishing = channel.channel.basic_publish(
        named(exchange)?,
        named(&request.key)?,
        BasicPublishOptions::default(),
        &request.body,
        properties,
    );
    let needs = format!("'write' on exchange '{exchange}'");
    let unknown = |why: &str| Error::new(ErrorKind::OutcomeUnknown, format!("{operation}: {why}"));
    match deadline(ANSWERS_WITHIN, publishing).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(translate(operation, &needs, error)),
        Err(_) => return Err(unknown("the broker takes nothing")),
    }
    tokio::select! {
        biased;
        answer = &mut call.answer => answer.map_err(|_| Error::new(ErrorKind::Cancelled, operation)),
        () = channel.broken.cancelled() => Err(unknown("the connection broke before the reply came")),
        () = link.lost.cancelled() => Err(unknown("the connection broke before the reply came")),
    }
}

/// Returns the channel for calls, opened where there is none.
async fn channel(house: &Arc<House>, link: &Arc<Link>, operation: &str) -> Result<Arc<CallChannel>, Error> {
    let mut place = link.calls.lock().await;
    if let Some(channel) = &*place
        && !channel.broken.is_cancelled()
        && channel.channel.status().connected()
    {
        return Ok(Arc::clone(channel));
    }
    let name = short(REPLY_TO, || operation.to_owned())?;
    let opening = async {
        let channel = link.publishing.create_channel().await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let replies = channel
            .basic_consume(name, "".into(), options, FieldTable::default())
            .await?;
        Ok((channel, replies))
    };
    let (channel, mut replies) = answered(operation, "", &link.lost, opening).await?;
    let broken = CancellationToken::new();
    let opened = Arc::new(CallChannel {
        channel,
        broken: broken.clone(),
    });
    *place = Some(Arc::clone(&opened));
    let (house_, lost) = (Arc::downgrade(house), link.lost.clone());
    house.tasks.spawn("queue-replies", async move {
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = lost.cancelled() => None,
            };
            let (Some(Ok(reply)), Some(house)) = (reply, house_.upgrade()) else {
                break;
            };
            let id = reply
                .properties
                .correlation_id()
                .as_ref()
                .map(|id| id.as_str().to_owned());
            house.calls.answer(id.as_deref(), reply.data.into());
        }
        broken.cancel();
    });
    Ok(opened)
}
