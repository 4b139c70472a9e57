//! What is RabbitMQ's alone: who is let in and how, what is refused and how that is said, and timeouts.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind;
use muster_queue::{ExchangeKind, Message, QueueOptions, open};
use muster_runtime::{Tasks, clock};
use muster_testkit::{RabbitMq, Scripted, require};

use crate::alarms::{
    a_broker_in_alarm_is_told_and_can_still_be_drained, who_asks_how_a_broker_is_hears_of_an_alarm_at_once,
};
use crate::checks::{Check, Outcome, PATIENCE, all_at_once, ensure, one, told, with};
use crate::rights::{a_missing_right_is_named, the_documented_rights_are_enough, use_as_the_engine_does};

/// The broker's patience with those who take and do not settle.
const SETTLED_WITHIN: Duration = Duration::from_secs(6);

/// Those that leave each other alone.
const CHECKS: &[(&str, Check)] = &[
    ("wrong_doors_are_named", wrong_doors_are_named),
    (
        "what_is_no_rabbitmq_is_told_apart",
        what_is_no_rabbitmq_is_told_apart,
    ),
    ("a_conflict_says_what_differs", a_conflict_says_what_differs),
    (
        "durable_queues_are_quorum_queues",
        durable_queues_are_quorum_queues,
    ),
    (
        "the_documented_rights_are_enough",
        the_documented_rights_are_enough,
    ),
    ("a_missing_right_is_named", a_missing_right_is_named),
    (
        "the_lessons_say_what_they_say_elsewhere",
        the_lessons_say_what_they_say_elsewhere,
    ),
    (
        "tls_needs_the_right_certificates",
        tls_needs_the_right_certificates,
    ),
    (
        "a_delivery_that_is_never_settled_comes_again",
        a_delivery_that_is_never_settled_comes_again,
    ),
];

/// Those that concern everybody at the broker.
const ALONE: &[(&str, Check)] = &[
    (
        "connections_that_an_operator_cuts_come_back",
        connections_that_an_operator_cuts_come_back,
    ),
    (
        "a_broker_in_alarm_is_told_and_can_still_be_drained",
        a_broker_in_alarm_is_told_and_can_still_be_drained,
    ),
    (
        "who_asks_how_a_broker_is_hears_of_an_alarm_at_once",
        who_asks_how_a_broker_is_hears_of_an_alarm_at_once,
    ),
];

/// Returns the trial: one broker for all.
pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("rabbitmq::doors", run)]
}

fn run() -> Result<(), Failed> {
    let broker = RabbitMq::builder()
        .tls_with_client_certificates()
        .delivery_timeout(SETTLED_WITHIN)
        .start();
    let Some(broker) = require::or_ignored(broker) else {
        return Ok(());
    };
    let mut failed = all_at_once("doors", CHECKS, &broker);
    for (name, check) in ALONE {
        failed.extend(one("doors", name, *check, &broker));
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(failed.join("\n").into())
}

/// Opens a URL that is to be refused; returns kind and text, in which no password may stand.
fn refused(runtime: &tokio::runtime::Runtime, url: &str) -> Result<(ErrorKind, String), String> {
    let tasks = Tasks::new();
    let started = Instant::now();
    let outcome = runtime.block_on(open(url, &tasks));
    let Err(error) = outcome else {
        return Err("it was let in".to_owned());
    };
    if started.elapsed() > PATIENCE {
        return Err(format!("it took {:?}", started.elapsed()));
    }
    let text = told(&error);
    let password = url.split([':', '@']).nth(2).unwrap_or("nothing of the kind");
    if text.contains(password) || format!("{error:?}").contains(password) {
        return Err(format!("the password stands in: {text}"));
    }
    Ok((error.kind, text))
}

fn wrong_doors_are_named(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let url = broker.fresh_vhost()?;
    let password = url.split([':', '@']).nth(2).ok_or("a password")?;
    let vhost = url.rsplit('/').next().ok_or("a virtual host")?;
    let stranger = broker.user(&url, "^$", "^$", "^$")?;
    broker.ctl(&[
        "clear_permissions",
        "-p",
        vhost,
        stranger.split([':', '/']).nth(3).unwrap_or(""),
    ])?;
    for (url, kind, part) in [
        (
            url.replace(password, "wrongpassword"),
            ErrorKind::Denied,
            "user or the password: look at the URL",
        ),
        (
            url.replace(vhost, "nowhere"),
            ErrorKind::NotFound,
            "virtual host 'nowhere': there is no such virtual host: look at the end of the URL",
        ),
        (stranger, ErrorKind::Denied, "set_permissions"),
        (
            "amqp://u:secretword@127.0.0.1:1/x".to_owned(),
            ErrorKind::Unavailable,
            "127.0.0.1:1: it cannot be reached: look at the host and the port",
        ),
        (
            "amqp://u:secretword@no-such-host.invalid/x".to_owned(),
            ErrorKind::Unavailable,
            "no-such-host",
        ),
    ] {
        let (found, text) = refused(runtime, &url)?;
        ensure(
            found == kind && text.contains(part),
            format!("{kind:?} with '{part}': {found:?} {text}"),
        )?;
    }
    Ok(())
}

fn what_is_no_rabbitmq_is_told_apart(_: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let answers: Vec<(Vec<u8>, ErrorKind, &str)> = vec![
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            ErrorKind::Invalid,
            "no AMQP",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), ErrorKind::Invalid, "no AMQP"),
        (
            b"AMQP\0\x01\0\0".to_vec(),
            ErrorKind::Unsupported,
            "another version",
        ),
        (Vec::new(), ErrorKind::Unavailable, "no answer within"),
    ];
    for (answer, kind, part) in answers {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let serving = std::thread::Builder::new().spawn(move || {
            let (mut client, _) = listener.accept()?;
            client.write_all(&answer)?;
            // Until the other side has had enough, however it leaves.
            let _ = std::io::copy(&mut client, &mut std::io::sink());
            Ok::<(), std::io::Error>(())
        })?;
        let (found, text) = refused(
            runtime,
            &format!("amqp://u:secretword@127.0.0.1:{port}/x?connection_timeout=1500"),
        )?;
        ensure(
            found == kind && text.contains(part),
            format!("{kind:?} with '{part}': {found:?} {text}"),
        )?;
        serving.join().map_err(|_| "the listener failed")??;
    }
    let old = Scripted::rabbitmq("3.9.29")?;
    let (found, text) = refused(
        runtime,
        &format!("amqp://u:secretword@127.0.0.1:{}/x", old.port()),
    )?;
    ensure(
        found == ErrorKind::Unsupported && text.contains("3.9.29 is too old"),
        format!("{found:?} {text}"),
    )
}

fn a_conflict_says_what_differs(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        let first = QueueOptions {
            max_length: Some(10),
            ..QueueOptions::default()
        };
        queue.declare_queue("q", first.clone()).await?;
        queue.declare_exchange("e", ExchangeKind::Topic).await?;
        let other = QueueOptions {
            max_length: Some(11),
            ..first.clone()
        };
        let durable = QueueOptions {
            durable: true,
            ..first
        };
        for (failed, parts) in [
            (
                queue.declare_queue("q", other).await,
                ["queue 'q'", "'x-max-length' is '10' and not '11'"],
            ),
            (
                queue.declare_queue("q", durable).await,
                ["queue 'q'", "'durable' is 'false' and not 'true'"],
            ),
            (
                queue.declare_exchange("e", ExchangeKind::Fanout).await,
                ["exchange 'e'", "'type' is 'topic' and not 'fanout'"],
            ),
        ] {
            let error = failed.err().ok_or("it was taken")?;
            let is_clear = parts.iter().all(|part| error.operation.contains(part));
            ensure(
                error.kind == ErrorKind::Conflict && is_clear,
                format!("{parts:?}: {}", told(&error)),
            )?;
        }
        Ok(())
    })
}

fn durable_queues_are_quorum_queues(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let url = broker.fresh_vhost()?;
    with(runtime, &url, async |queue| {
        let durable = QueueOptions {
            durable: true,
            ..QueueOptions::default()
        };
        let urgent = QueueOptions {
            max_priority: 9,
            ..durable.clone()
        };
        queue.declare_queue("kept", durable).await?;
        queue.declare_queue("urgent", urgent).await?;
        queue.declare_queue("passing", QueueOptions::default()).await?;
        Ok(())
    })?;
    let vhost = url.rsplit('/').next().ok_or("a virtual host")?;
    let listed = broker.ctl(&["list_queues", "-p", vhost, "name", "type"])?;
    for (name, kind) in [("kept", "quorum"), ("urgent", "classic"), ("passing", "classic")] {
        ensure(
            listed.contains(&format!("{name}\t{kind}")),
            format!("{name} is {kind}: {listed}"),
        )?;
    }
    Ok(())
}

fn the_lessons_say_what_they_say_elsewhere(broker: &RabbitMq, _: &tokio::runtime::Runtime) -> Outcome {
    Ok(crate::lessons::check_all(&broker.fresh_vhost()?)?)
}

fn tls_needs_the_right_certificates(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let certificates = broker.certificates().ok_or("certificates")?;
    let url = broker.fresh_vhost()?;
    let tls = broker.over_tls(&url);
    let authority = format!("cacertfile={}", certificates.authority().display());
    let stranger = format!("cacertfile={}", certificates.stranger().display());
    let (certificate, key) = certificates.client();
    let own = format!("certfile={}&keyfile={}", certificate.display(), key.display());
    for (url, kinds, part) in [
        (
            format!("{tls}?{stranger}&{own}"),
            vec![ErrorKind::Denied],
            "not trusted",
        ),
        (
            format!("{tls}?{authority}"),
            vec![ErrorKind::Denied, ErrorKind::Unavailable],
            "certificate",
        ),
        (
            tls.replacen("amqps", "amqp", 1),
            vec![ErrorKind::Invalid],
            "amqps://",
        ),
        (
            format!("{}?{authority}&{own}", url.replacen("amqp", "amqps", 1)),
            vec![ErrorKind::Invalid],
            "does not speak TLS",
        ),
    ] {
        let (found, text) = refused(runtime, &url)?;
        ensure(
            kinds.contains(&found) && text.contains(part),
            format!("'{part}': {found:?} {text}"),
        )?;
    }
    let url = format!("{tls}?{authority}&{own}&verify=verify_peer");
    with(runtime, &url, async |queue| use_as_the_engine_does(&queue).await)
}

fn connections_that_an_operator_cuts_come_back(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        let passing = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        queue.declare_queue("q", QueueOptions::default()).await?;
        let mut consumer = queue.consume("q", 1).await?;
        for round in 0..3 {
            queue.declare_queue("passing", passing.clone()).await?;
            let mut listener = queue.consume("passing", 1).await?;
            broker.cut_connections()?;
            let end = clock::deadline(PATIENCE, listener.next()).await;
            ensure(
                matches!(end, Ok(None)),
                "who listens is told that something may be missing",
            )?;
            let started = Instant::now();
            loop {
                match queue
                    .publish("", vec![Message::new("q", format!("{round}"))])
                    .await
                {
                    Ok(()) => break,
                    Err(error) if error.kind.may_pass() && started.elapsed() < PATIENCE => {}
                    Err(error) => return Err(told(&error).into()),
                }
            }
            let next = clock::deadline(PATIENCE, consumer.next())
                .await
                .map_err(|_| "nothing comes")?;
            let next = next.ok_or("the end")?;
            ensure(next.message.body == format!("{round}"), "the consumer goes on")?;
            consumer.settler().ack(&[next.tag]).await?;
            let started = Instant::now();
            while queue.depth("passing").await.map_err(|error| error.kind) != Err(ErrorKind::NotFound) {
                ensure(
                    started.elapsed() < PATIENCE,
                    "what went with the connection is not made again for nobody",
                )?;
            }
        }
        Ok(())
    })
}

fn a_delivery_that_is_never_settled_comes_again(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        queue.declare_queue("q", QueueOptions::default()).await?;
        queue
            .publish("", vec![Message::new("q", "a"), Message::new("q", "b")])
            .await?;
        let mut consumer = queue.consume("q", 1).await?;
        let first = consumer.next().await.ok_or("the end")?;
        let again = clock::deadline(SETTLED_WITHIN * 5, consumer.next()).await;
        let again = again.map_err(|_| "the consumer stands still")?.ok_or("the end")?;
        ensure(
            again.redelivered && again.message == first.message,
            "it comes again, marked",
        )?;
        consumer.settler().ack(&[first.tag, again.tag]).await?;
        let next = consumer.next().await.ok_or("the end")?;
        ensure(next.message.body == "b", "and the consumer goes on")?;
        consumer.settler().ack(&[next.tag]).await?;
        Ok(())
    })
}
