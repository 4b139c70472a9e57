//! What is RabbitMQ's alone: who is let in and how, what is refused and how that is said, alarms and timeouts.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind;
use muster_queue::{Error, ExchangeKind, Message, Queue, QueueOptions, open};
use muster_runtime::{Tasks, clock};
use muster_testkit::{RabbitMq, Scripted, require};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
pub(crate) type Check = fn(&RabbitMq, &tokio::runtime::Runtime) -> Outcome;

const PATIENCE: Duration = Duration::from_secs(30);
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

/// Runs checks at the same time; returns what failed.
pub(crate) fn all_at_once(trial: &str, checks: &[(&str, Check)], broker: &RabbitMq) -> Vec<String> {
    std::thread::scope(|scope| {
        let running: Vec<_> = checks
            .iter()
            .map(|(name, check)| (name, scope.spawn(move || one(trial, name, *check, broker))))
            .collect();
        let ended = running.into_iter().map(|(name, running)| match running.join() {
            Ok(failed) => failed,
            Err(_) => Some(format!("{name}: it panicked")),
        });
        ended.flatten().collect()
    })
}

/// Runs one check; returns how it failed.
pub(crate) fn one(trial: &str, name: &str, check: Check, broker: &RabbitMq) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let started = Instant::now();
    let outcome = match runtime {
        Ok(runtime) => check(broker, &runtime),
        Err(error) => Err(error.into()),
    };
    println!("rabbitmq::{trial}::{name}: {outcome:?} ({:?})", started.elapsed());
    outcome.err().map(|why| format!("{name}: {why}"))
}

fn ensure(is_so: bool, what: impl Into<String>) -> Outcome {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {}", what.into()).into())
    }
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

/// Returns what a person is told.
fn told(error: &Error) -> String {
    let mut text = error.operation.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Does something with an opened queue.
fn with<F>(runtime: &tokio::runtime::Runtime, url: &str, work: impl FnOnce(Arc<dyn Queue>) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let tasks = Tasks::new();
    runtime.block_on(async {
        let queue = open(url, &tasks).await?;
        let outcome = clock::deadline(Duration::from_secs(90), work(Arc::clone(&queue))).await;
        queue.close().await;
        ensure(tasks.close(Duration::from_secs(10)).await == 0, "every task ends")?;
        outcome.map_err(|_| "it did not end")?
    })
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

/// The patterns that `docs/operations/rabbitmq.md` gives.
fn documented() -> Result<[String; 3], &'static str> {
    let text = include_str!("../../../../docs/operations/rabbitmq.md");
    let line = text
        .lines()
        .find(|line| line.contains("rabbitmqctl set_permissions"));
    let mut patterns = line
        .ok_or("the line")?
        .split('\'')
        .skip(1)
        .step_by(2)
        .map(str::to_owned);
    let mut next = || patterns.next().ok_or("a pattern");
    Ok([next()?, next()?, next()?])
}

/// What the engine declares and does, by the names that it has for it.
async fn use_as_the_engine_does(queue: &Arc<dyn Queue>) -> Outcome {
    let work = QueueOptions {
        durable: true,
        max_priority: 9,
        ..QueueOptions::default()
    };
    let own = QueueOptions {
        auto_delete: true,
        ..QueueOptions::default()
    };
    queue
        .declare_exchange("muster.work", ExchangeKind::Direct)
        .await?;
    queue
        .declare_exchange("muster.events", ExchangeKind::Topic)
        .await?;
    queue
        .declare_exchange("muster.cancels", ExchangeKind::Fanout)
        .await?;
    queue.declare_queue("muster.work", work).await?;
    queue
        .bind("muster.work", "muster.work", "muster.work", &[])
        .await?;
    queue.declare_queue("muster.events.host-1", own).await?;
    queue
        .bind("muster.events.host-1", "muster.events", "task.#", &[])
        .await?;
    let mut work = queue.consume("muster.work", 10).await?;
    let mut events = queue.consume("muster.events.host-1", 10).await?;
    queue
        .publish("muster.work", vec![Message::new("muster.work", "run")])
        .await?;
    queue
        .publish("muster.events", vec![Message::new("task.1.web.started", "event")])
        .await?;
    queue
        .publish("muster.cancels", vec![Message::new("", "cancel")])
        .await?;
    for (consumer, expected) in [(&mut work, "run"), (&mut events, "event")] {
        let delivery = clock::deadline(PATIENCE, consumer.next())
            .await
            .map_err(|_| "nothing comes")?;
        let delivery = delivery.ok_or("the end")?;
        ensure(delivery.message.body == expected, "each gets its own")?;
        consumer.settler().ack(&[delivery.tag]).await?;
    }
    let asking = queue.call("muster.work", Message::new("muster.work", "up?"), PATIENCE);
    let answering = async {
        let request = work.next().await.ok_or("the end")?;
        queue.reply(&request.message, "up".into()).await?;
        work.settler().ack(&[request.tag]).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (answer, answered) = futures_util::join!(asking, answering);
    answered?;
    ensure(answer? == "up", "calls are answered")?;
    ensure(queue.depth("muster.work").await? == 0, "the depth can be asked")?;
    queue.ping().await?;
    queue.delete_queue("muster.events.host-1").await?;
    Ok(())
}

fn the_documented_rights_are_enough(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let [configure, write, read] = documented()?;
    let url = broker.user(&broker.fresh_vhost()?, &configure, &write, &read)?;
    with(runtime, &url, async |queue| {
        use_as_the_engine_does(&queue).await?;
        // And they are not more than that.
        let foreign = queue.declare_queue("accounting", QueueOptions::default()).await;
        ensure(
            foreign.is_err_and(|error| error.kind == ErrorKind::Denied),
            "other names are refused",
        )
    })
}

fn a_missing_right_is_named(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let all = broker.fresh_vhost()?;
    with(runtime, &all, async |queue| use_as_the_engine_does(&queue).await)?;
    let url = broker.user(&all, "^none$", "^none$", "^none$")?;
    with(runtime, &url, async |queue| {
        for (failed, part) in [
            (
                queue.declare_queue("muster.more", QueueOptions::default()).await,
                "'configure' on queue 'muster.more'",
            ),
            (
                queue.declare_exchange("muster.more", ExchangeKind::Topic).await,
                "'configure' on exchange 'muster.more'",
            ),
            (
                queue.bind("muster.work", "muster.work", "x", &[]).await,
                "'write' on queue 'muster.work' and 'read' on exchange 'muster.work'",
            ),
            (
                queue
                    .publish("muster.work", vec![Message::new("muster.work", "x")])
                    .await,
                "'write' on exchange 'muster.work'",
            ),
            (
                queue.publish("", vec![Message::new("muster.work", "x")]).await,
                "'write' on exchange 'amq.default'",
            ),
            (
                queue.consume("muster.work", 1).await.map(drop),
                "'read' on queue 'muster.work'",
            ),
            (
                queue.delete_queue("muster.work").await,
                "'configure' on queue 'muster.work'",
            ),
        ] {
            let error = failed.err().ok_or_else(|| format!("it was allowed: {part}"))?;
            let is_clear = error.operation.contains(part);
            ensure(
                error.kind == ErrorKind::Denied && is_clear,
                format!("{part}: {:?} {}", error.kind, told(&error)),
            )?;
        }
        Ok(())
    })
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

fn a_broker_in_alarm_is_told_and_can_still_be_drained(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        queue.declare_queue("q", QueueOptions::default()).await?;
        let numbers = (0..20).map(|number| Message::new("q", number.to_string()));
        queue.publish("", numbers.collect()).await?;
        let mut consumer = queue.consume("q", 5).await?;
        broker.memory_alarm(true)?;
        let alarmed = async {
            // The first may be taken before the broker says so: what it says it says to who publishes.
            for _ in 0..3 {
                let started = Instant::now();
                let failed = queue.publish("", vec![Message::new("q", "late")]).await;
                ensure(started.elapsed() < PATIENCE, "the wait is bounded")?;
                if let Err(error) = failed {
                    let is_clear = error.operation.contains("alarm") && error.operation.contains("memory");
                    ensure(error.kind.may_pass() && is_clear, told(&error))?;
                    let second = queue.publish("", vec![Message::new("q", "late")]).await;
                    let kind = second.err().map(|error| error.kind);
                    return ensure(
                        kind == Some(ErrorKind::Unavailable),
                        format!("known beforehand: {kind:?}"),
                    );
                }
            }
            Err("a broker in alarm takes everything".into())
        };
        // What is acknowledged comes to the broker all the same.
        let draining = async {
            for number in 0..20 {
                let delivery = clock::deadline(PATIENCE, consumer.next()).await;
                let delivery = delivery.map_err(|_| "nothing comes any more")?.ok_or("the end")?;
                ensure(delivery.message.body == number.to_string(), "they come in order")?;
                consumer.settler().ack(&[delivery.tag]).await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        let (alarmed, drained) = futures_util::join!(alarmed, draining);
        broker.memory_alarm(false)?;
        drained?;
        alarmed?;
        let started = Instant::now();
        while let Err(error) = queue.publish("", vec![Message::new("q", "after")]).await {
            ensure(started.elapsed() < PATIENCE, told(&error))?;
        }
        loop {
            let delivery = clock::deadline(PATIENCE, consumer.next()).await;
            let delivery = delivery
                .map_err(|_| "nothing comes after the alarm")?
                .ok_or("the end")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            if delivery.message.body == "after" {
                return Ok(());
            }
        }
    })
}

/// Nobody has published since it began, and the broker says it to publishers alone.
fn who_asks_how_a_broker_is_hears_of_an_alarm_at_once(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        queue.ping().await?;
        broker.memory_alarm(true)?;
        let mut told_of_it = Ok(());
        // One that finds it out, and one that knows.
        for _ in 0..2 {
            let started = Instant::now();
            let said = queue.ping().await.err().map(|error| (error.kind, told(&error)));
            let is_clear = matches!(&said, Some((ErrorKind::Unavailable, text))
                if text.contains("in alarm") && text.contains("memory"));
            told_of_it = told_of_it
                .and_then(|()| ensure(is_clear, format!("it hears of the alarm: {said:?}")))
                .and_then(|()| ensure(started.elapsed() < Duration::from_secs(5), "at once"));
        }
        broker.memory_alarm(false)?;
        told_of_it?;
        let started = Instant::now();
        while let Err(error) = queue.ping().await {
            ensure(started.elapsed() < PATIENCE, told(&error))?;
            clock::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
}

/// What a full disk must not cost: a message that somebody was told is kept.
pub(crate) fn a_broker_without_disk_takes_nothing_loses_nothing_and_goes_on(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        let kept = QueueOptions {
            durable: true,
            ..QueueOptions::default()
        };
        queue.declare_queue("q", kept).await?;
        let message = |text: &str| Message {
            persistent: true,
            ..Message::new("q", text.to_owned())
        };
        queue.publish("", vec![message("before")]).await?;
        let mut confirmed = vec!["before".to_owned()];
        let (mut unknown, mut not_done) = (Vec::new(), Vec::new());
        broker.disk_alarm(true)?;
        let started = Instant::now();
        while not_done.is_empty() {
            let text = format!("late {}", unknown.len() + confirmed.len());
            match queue.publish("", vec![message(&text)]).await {
                // The first may be taken before the broker says so.
                Ok(()) => confirmed.push(text),
                Err(error) => {
                    let is_clear = error.operation.contains("alarm") && error.operation.contains("disk");
                    ensure(is_clear, told(&error))?;
                    match error.kind {
                        ErrorKind::OutcomeUnknown => unknown.push(text),
                        ErrorKind::Unavailable => not_done.push(text),
                        kind => return Err(format!("{kind:?}").into()),
                    }
                }
            }
            ensure(started.elapsed() < PATIENCE * 2, "it is told in time")?;
        }
        ensure(
            !confirmed.contains(&"late 3".to_owned()),
            "it takes nothing in alarm",
        )?;
        let said = queue.ping().await.err().map(|error| (error.kind, told(&error)));
        ensure(
            matches!(&said, Some((ErrorKind::Unavailable, text)) if text.contains("alarm") && text.contains("disk")),
            format!("who asks how it is hears of the alarm: {said:?}"),
        )?;
        // One that waits while the alarm ends goes through.
        let (waited, ended) = futures_util::join!(queue.publish("", vec![message("waited")]), async {
            broker.disk_alarm(false)
        });
        ended?;
        waited.map_err(|error| told(&error))?;
        confirmed.push("waited".to_owned());
        queue.ping().await?;
        let mut consumer = queue.consume("q", 100).await?;
        let mut seen = Vec::new();
        while !confirmed.iter().all(|text| seen.contains(text)) {
            let delivery = clock::deadline(PATIENCE, consumer.next()).await;
            let delivery = delivery
                .map_err(|_| format!("of {confirmed:?} only {seen:?} are there"))?
                .ok_or("the end")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            let text = String::from_utf8_lossy(&delivery.message.body).into_owned();
            ensure(!seen.contains(&text), format!("'{text}' is there once"))?;
            let is_ours = confirmed.contains(&text) || unknown.contains(&text);
            ensure(
                is_ours,
                format!("'{text}' of {not_done:?} was said not to be taken"),
            )?;
            seen.push(text);
        }
        Ok(())
    })
}
