//! What only the inside of the embedded queue shows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::ErrorKind;
use muster_runtime::Tasks;
use muster_runtime::clock::deadline;

use super::{Embedded, Limits};
use crate::port::{Consumer, Queue};
use crate::types::{Delivery, ExchangeKind, Message, QueueOptions};

const KEPT: QueueOptions = QueueOptions {
    durable: false,
    auto_delete: false,
    max_priority: 0,
    message_ttl: None,
    max_length: None,
    dead_letter_exchange: None,
};

fn queue(limits: Limits) -> (Embedded, Tasks) {
    let tasks = Tasks::new();
    (Embedded::new(limits, &tasks), tasks)
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let delivery = deadline(Duration::from_secs(20), consumer.next()).await;
    delivery
        .expect("a delivery in time")
        .expect("a queue that is there")
}

fn numbered(key: &str, numbers: std::ops::Range<u32>) -> Vec<Message> {
    numbers
        .map(|number| Message::new(key, number.to_string()))
        .collect()
}

#[tokio::test]
async fn a_full_queue_refuses_the_whole_batch_and_names_itself() {
    let (queue, _tasks) = queue(Limits {
        bytes: 1 << 20,
        messages: 10,
    });
    queue.declare_queue("work", KEPT).await.unwrap();
    queue.publish("", numbered("work", 0..8)).await.unwrap();
    let error = queue.publish("", numbered("work", 8..11)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains("'work'"), "{error}");
    assert_eq!(queue.depth("work").await.unwrap(), 8);
    queue.publish("", numbered("work", 8..10)).await.unwrap();
}

#[tokio::test]
async fn a_message_gives_its_memory_back_whichever_way_it_goes() {
    let (queue, _tasks) = queue(Limits::default());
    let dead = QueueOptions {
        dead_letter_exchange: Some("graves".into()),
        ..KEPT
    };
    queue
        .declare_exchange("graves", ExchangeKind::Fanout)
        .await
        .unwrap();
    queue.declare_queue("grave", KEPT).await.unwrap();
    queue.bind("grave", "graves", "", &[]).await.unwrap();
    queue
        .declare_queue(
            "work",
            QueueOptions {
                max_length: Some(2),
                ..dead
            },
        )
        .await
        .unwrap();
    queue
        .declare_queue(
            "brief",
            QueueOptions {
                auto_delete: true,
                ..KEPT
            },
        )
        .await
        .unwrap();
    queue.publish("", numbered("work", 0..5)).await.unwrap();
    queue.publish("", numbered("brief", 0..5)).await.unwrap();
    let mut brief = queue.consume("brief", 2).await.unwrap();
    next(&mut brief).await;
    drop(brief);
    let mut work = queue.consume("work", 10).await.unwrap();
    let (first, second) = (next(&mut work).await, next(&mut work).await);
    work.settler().ack(&[first.tag]).await.unwrap();
    work.settler().reject(second.tag, false).await.unwrap();
    assert_eq!(queue.depth("grave").await.unwrap(), 4);
    assert!(queue.broker.used() > 0);
    queue.delete_queue("grave").await.unwrap();
    assert_eq!(queue.broker.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_expired_where_nobody_looks_makes_room_for_others() {
    let (queue, _tasks) = queue(Limits {
        bytes: 1 << 20,
        messages: 1_000_000,
    });
    let brief = QueueOptions {
        message_ttl: Some(Duration::from_secs(1)),
        ..KEPT
    };
    queue.declare_queue("forgotten", brief).await.unwrap();
    queue.declare_queue("work", KEPT).await.unwrap();
    let big = || vec![Message::new("forgotten", vec![0; 900_000])];
    queue.publish("", big()).await.unwrap();
    let mut second = big();
    second[0].key = "work".into();
    let error = queue.publish("", second.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    tokio::time::advance(Duration::from_secs(2)).await;
    queue.publish("", second).await.unwrap();
}

#[tokio::test]
async fn a_fanout_shares_the_body() {
    let (queue, _tasks) = queue(Limits::default());
    queue.declare_exchange("all", ExchangeKind::Fanout).await.unwrap();
    let body = Bytes::from(vec![1; 1000]);
    let mut consumers = Vec::new();
    for name in ["one", "two"] {
        queue.declare_queue(name, KEPT).await.unwrap();
        queue.bind(name, "all", "", &[]).await.unwrap();
        consumers.push(queue.consume(name, 1).await.unwrap());
    }
    queue
        .publish("all", vec![Message::new("", body.clone())])
        .await
        .unwrap();
    for consumer in &mut consumers {
        assert_eq!(next(consumer).await.message.body.as_ptr(), body.as_ptr());
    }
}

#[tokio::test]
async fn the_timer_ends_with_the_queue() {
    let (queue, tasks) = queue(Limits::default());
    assert_eq!(tasks.running(), 1);
    drop(queue);
    let ended = async {
        while tasks.running() > 0 {
            tokio::task::yield_now().await;
        }
    };
    deadline(Duration::from_secs(20), ended)
        .await
        .expect("no task is left");
}

#[tokio::test]
async fn an_urgent_message_overtakes_what_a_consumer_has_not_asked_for() {
    let (queue, _tasks) = queue(Limits::default());
    queue
        .declare_queue(
            "work",
            QueueOptions {
                max_priority: 9,
                ..KEPT
            },
        )
        .await
        .unwrap();
    let mut consumer = queue.consume("work", 10).await.unwrap();
    queue.publish("", numbered("work", 0..5)).await.unwrap();
    let mut urgent = numbered("work", 5..6);
    urgent[0].priority = 200;
    queue.publish("", urgent).await.unwrap();
    let first = next(&mut consumer).await;
    assert_eq!(first.message.body, "5");
    assert!(!first.redelivered);
}

#[tokio::test]
async fn turns_beyond_a_lowered_prefetch_go_to_the_others() {
    let (queue, _tasks) = queue(Limits::default());
    queue.declare_queue("work", KEPT).await.unwrap();
    let mut first = queue.consume("work", 10).await.unwrap();
    queue.publish("", numbered("work", 0..5)).await.unwrap();
    let mut second = queue.consume("work", 10).await.unwrap();
    first.set_prefetch(1);
    for number in 0..4 {
        assert_eq!(next(&mut second).await.message.body, number.to_string());
    }
    assert_eq!(next(&mut first).await.message.body, "4");
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_sets_no_timer() {
    let (queue, _tasks) = queue(Limits::default());
    let brief = QueueOptions {
        message_ttl: Some(Duration::from_secs(1)),
        ..KEPT
    };
    queue.declare_queue("work", brief.clone()).await.unwrap();
    queue.publish("", numbered("work", 0..5)).await.unwrap();
    assert!(!queue.broker.timer.is_set(), "nobody wants the dead letters");
    let dead = QueueOptions {
        dead_letter_exchange: Some("graves".into()),
        ..brief
    };
    queue.declare_queue("kept", dead).await.unwrap();
    queue.publish("", numbered("kept", 0..5)).await.unwrap();
    assert!(queue.broker.timer.is_set());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!queue.broker.timer.is_set());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queues_that_come_and_go_under_fire_leave_nothing_behind() {
    let (queue, tasks) = queue(Limits::default());
    let queue = Arc::new(queue);
    queue
        .declare_exchange("tasks", ExchangeKind::Topic)
        .await
        .unwrap();
    let watch = |name: String, queue: Arc<Embedded>| async move {
        let options = QueueOptions {
            auto_delete: true,
            ..KEPT
        };
        for round in 0..200 {
            queue.declare_queue(&name, options.clone()).await.unwrap();
            queue
                .bind(&name, "tasks", &format!("task.{round}.#"), &[])
                .await
                .unwrap();
            let mut consumer = queue.consume(&name, 4).await.unwrap();
            queue
                .publish("tasks", numbered(&format!("task.{round}.x"), 0..8))
                .await
                .unwrap();
            let delivery = next(&mut consumer).await;
            consumer.settler().ack(&[delivery.tag]).await.unwrap();
        }
    };
    for name in ["a", "b", "c", "d"] {
        tasks.spawn("watcher", watch(name.to_owned(), Arc::clone(&queue)));
    }
    let ended = async {
        while tasks.running() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    deadline(Duration::from_secs(60), ended)
        .await
        .expect("the timer alone is left");
    assert_eq!(tasks.panics(), 0);
    assert_eq!(queue.broker.used(), 0);
}
