//! The API over a real socket, with a real engine behind it.

use muster_client::{RunsQuery, TasksQuery};
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_model::wire::Event;
use muster_model::{RunState, Stream, TaskId};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::bench::{PATIENCE, api, task};

fn ids_in(stream: &str) -> Vec<String> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_followed_to_its_end_and_read_again_later() {
    let api = api().await;
    let id = api.run("echo out; echo err >&2; exit 3").await;
    let events = api.events(id).await;
    assert!(
        matches!(&events[0].1, Event::Task(task) if task.id == id),
        "{events:?}"
    );
    let Some((_, Event::Task(last))) = events.last() else {
        panic!("the last event is no task: {events:?}");
    };
    assert_eq!((last.state, last.counts.failed), (TaskState::Done, 1));
    let page = api.client.runs(id, &RunsQuery::default()).await.expect("runs");
    let run = &page.runs[0].run;
    assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(3)));
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("out\n", "err\n"));
    let mut download = api.client.output(id, 0, Stream::Stderr).await.expect("output");
    assert_eq!(
        download.chunk().await.expect("bytes").as_deref(),
        Some(&b"err\n"[..])
    );
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_taken_up_after_the_last_event_that_was_seen() {
    let api = api().await;
    let id = api
        .client
        .submit(&task("echo one; sleep 0.1; echo two"))
        .await
        .expect("a task")
        .id;
    let whole = api.follow(id, "", "").await;
    assert!(whole.contains("content-type: text/event-stream\r\n"), "{whole}");
    let ids = ids_in(&whole);
    assert!(ids.len() >= 5, "{whole}");
    for (seen, last) in ids.iter().enumerate() {
        let expected = match &ids[seen + 1..] {
            // Nothing is left but to say once more that it is done.
            [] => &ids[seen..],
            rest => rest,
        };
        let by_header = api.follow(id, "", &format!("last-event-id: {last}\r\n")).await;
        assert_eq!(ids_in(&by_header), expected, "after {last}: {by_header}");
        let by_query = api.follow(id, &format!("?last_event_id={last}"), "").await;
        assert_eq!(ids_in(&by_query), expected, "after {last}: {by_query}");
    }
    let (answer, problem) = api
        .get(&format!("/tasks/{id}/events?last_event_id=yesterday"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    assert_eq!(problem.expect("a problem").code, Code::InvalidRequest);
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_goes_leaves_nothing_behind() {
    let api = api().await;
    let id = api.client.submit(&task("sleep 30")).await.expect("a task").id;
    let mut follower = BufReader::new(api.stream().await);
    follower
        .write_all(format!("GET /api/v1/tasks/{id}/events HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await
        .expect("a server");
    let mut line = String::new();
    while !line.starts_with("event: task") {
        line.clear();
        timeout(PATIENCE, follower.read_line(&mut line))
            .await
            .expect("in time")
            .expect("a line");
    }
    let connections = api.connected.connections();
    assert!(*connections.borrow() >= 1);
    let mut without = connections.clone();
    let before = *connections.borrow();
    drop(follower);
    timeout(PATIENCE, without.wait_for(|open| *open < before))
        .await
        .expect("in time")
        .expect("a server");
    api.client.cancel(id).await.expect("a task");
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submitting_answers_201_once_and_200_where_it_is_only_a_plan() {
    let api = api().await;
    let mut submit = task("echo hi");
    let body = serde_json::to_string(&submit).expect("JSON");
    let first = api.post("/tasks", &body).await;
    assert!(first.starts_with("HTTP/1.1 201"), "{first}");
    assert!(first.contains("location: /api/v1/tasks/1\r\n"), "{first}");
    let again = api.post("/tasks", &body).await;
    assert!(again.contains("location: /api/v1/tasks/1\r\n"), "{again}");
    submit.request_id = muster_client::request_id().expect("random");
    submit.dry_run = true;
    let planned = api
        .post("/tasks", &serde_json::to_string(&submit).expect("JSON"))
        .await;
    assert!(planned.starts_with("HTTP/1.1 200"), "{planned}");
    assert!(planned.contains("\"wave_count\":1"), "{planned}");
    let page = api.client.tasks(&TasksQuery::default()).await.expect("tasks");
    assert_eq!(page.tasks.len(), 1);
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_tasks_lead_to_the_next_one_and_end() {
    let api = api().await;
    for _ in 0..3 {
        api.run("true").await;
    }
    let mut query = TasksQuery {
        limit: Some(2),
        ..TasksQuery::default()
    };
    let first = api.client.tasks(&query).await.expect("tasks");
    let numbers = |page: &muster_model::wire::TaskPage| {
        page.tasks.iter().map(|task| task.task.id.0).collect::<Vec<_>>()
    };
    assert_eq!(
        (numbers(&first), first.next_before),
        (vec![3, 2], Some(TaskId(2)))
    );
    query.before = first.next_before;
    let second = api.client.tasks(&query).await.expect("tasks");
    assert_eq!((numbers(&second), second.next_before), (vec![1], None));
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_an_address_is_a_problem_that_names_it() {
    let api = api().await;
    for (path, status, code, part) in [
        (
            "/tasks/abc",
            422,
            Code::InvalidRequest,
            "'abc' is not a task number",
        ),
        ("/tasks/77", 404, Code::UnknownTask, "77"),
        ("/tasks/77/runs", 404, Code::UnknownTask, "77"),
        ("/tasks/77/events", 404, Code::UnknownTask, "77"),
        ("/tasks/77/runs/0/stdout", 404, Code::UnknownTask, "77"),
        ("/tasks?limit=0", 422, Code::InvalidRequest, "from 1 to 500"),
        (
            "/tasks?stat=done",
            422,
            Code::InvalidRequest,
            "unknown field `stat`",
        ),
        ("/tasks?state=odd", 422, Code::InvalidRequest, "'odd'"),
        (
            "/tasks?since=noon",
            422,
            Code::InvalidRequest,
            "'noon' is not a time",
        ),
        ("/hosts?pattern=web[", 422, Code::InvalidPattern, "web["),
        ("/groups/nobody", 422, Code::UnknownGroup, "nobody"),
        ("/nowhere", 404, Code::NotFound, "/api/v1/nowhere"),
    ] {
        let (answer, problem) = api.get(path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/problem+json\r\n"),
            "{path}: {answer}"
        );
        let problem = problem.expect("a problem");
        assert_eq!(
            (problem.code, problem.status),
            (code, status),
            "{path}: {problem}"
        );
        assert!(problem.detail.contains(part), "{path}: {problem}");
    }
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_was_submitted() {
    let api = api().await;
    let file = api.home.folder.path().join("late");
    let command = format!("sleep 0.3; echo late > '{}'", file.display());
    api.client.submit(&task(&command)).await.expect("a task");
    api.connected.close().await;
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "late\n");
}
