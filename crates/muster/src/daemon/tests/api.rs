//! The API over a real socket, with a real engine behind it.

use std::time::Duration;

use futures_util::StreamExt;
use muster_client::{Address, Client, RunsQuery, TasksQuery};
use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_model::wire::{Event, Import, Members, Submit, Targets, Work};
use muster_model::{Problem, RunState, Stream, TaskId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::Connected;
use super::super::in_process::InProcess;
use super::home;

const PATIENCE: Duration = Duration::from_secs(30);

struct Api {
    connected: Connected,
    client: Client,
    _home: super::Home,
}

async fn api() -> Api {
    let home = home();
    let inside = InProcess::start(home.settings.clone(), Some(&home.folder.path().join("inside")))
        .await
        .expect("a server");
    let connected = inside.connected();
    Api {
        client: connected.client.clone(),
        connected,
        _home: home,
    }
}

fn task(command: &str) -> Submit {
    Submit {
        request_id: muster_client::request_id().expect("random"),
        work: Work::Command {
            command: command.to_owned(),
        },
        targets: targets(&["localhost"]),
        options: Default::default(),
        stdin_base64: None,
        secrets: Default::default(),
        dry_run: false,
    }
}

fn targets(hosts: &[&str]) -> Targets {
    Targets {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        exclude: Vec::new(),
        selector: None,
    }
}

fn ids_in(stream: &str) -> Vec<String> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(str::to_owned)
        .collect()
}

impl Api {
    async fn stream(&self) -> UnixStream {
        let Address::Unix(path) = self.client.address() else {
            panic!("no socket");
        };
        UnixStream::connect(path).await.expect("a server")
    }

    /// Sends a request as it is written here, and returns the answer as it comes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.stream().await;
        stream.write_all(request.as_bytes()).await.expect("a server");
        let mut answer = Vec::new();
        let heard = stream.read_to_end(&mut answer);
        timeout(PATIENCE, heard)
            .await
            .expect("in time")
            .expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    async fn get(&self, path: &str) -> (String, Option<Problem>) {
        let answer = self
            .raw(&format!(
                "GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (answer.clone(), serde_json::from_str(body).ok())
    }

    /// Returns a task's event stream, from its head to its end.
    async fn follow(&self, id: TaskId, query: &str, header: &str) -> String {
        let head = format!("GET /api/v1/tasks/{id}/events{query} HTTP/1.1\r\nhost: x\r\nconnection: close");
        self.raw(&format!("{head}\r\n{header}\r\n")).await
    }

    async fn post(&self, path: &str, body: &str) -> String {
        self.raw(&format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    async fn run(&self, command: &str) -> TaskId {
        let id = self.client.submit(&task(command)).await.expect("a task").id;
        self.events(id).await;
        id
    }

    async fn events(&self, id: TaskId) -> Vec<(String, Event)> {
        let events = self.client.events(id).map(|event| event.expect("an event"));
        timeout(PATIENCE, events.collect()).await.expect("in time")
    }
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

fn members(hosts: &[&str], groups: &[&str]) -> Members {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Members {
        hosts: texts(hosts),
        groups: texts(groups),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_hold_groups_and_never_themselves() {
    let api = api().await;
    let client = &api.client;
    for (name, members) in [
        ("web", members(&["web[1-2]"], &[])),
        ("db", members(&["db1", "web1"], &[])),
        ("empty", members(&[], &[])),
        ("site", members(&["lb"], &["web", "@db"])),
    ] {
        client.add_to_group(name, &members).await.expect("a group");
    }
    let counted = client.groups().await.expect("groups");
    let counted: Vec<(&str, u32, u32)> = counted
        .iter()
        .map(|group| (group.name.as_str(), group.count, group.groups))
        .collect();
    assert_eq!(
        counted,
        [("db", 2, 0), ("empty", 0, 0), ("site", 4, 2), ("web", 2, 0)]
    );
    let site = client.group("site").await.expect("a group");
    assert_eq!((site.count, site.hosts.as_str()), (4, "db1,lb,web[1-2]"));
    let expanded = client.expand(&targets(&["@site!@web"])).await.expect("hosts");
    assert_eq!(expanded.hosts, ["db1", "lb"]);
    let circle = client
        .add_to_group("web", &members(&["web9"], &["site"]))
        .await
        .expect_err("a circle");
    assert_eq!(circle.code, Code::InvalidRequest);
    assert!(circle.detail.contains("site > web > site") || circle.detail.contains("web > site > web"));
    assert_eq!(
        client.group("web").await.expect("a group").count,
        2,
        "nothing was done"
    );
    let unknown = client
        .add_to_group("web", &members(&[], &["nobody"]))
        .await
        .expect_err("no such group");
    assert_eq!(unknown.code, Code::UnknownGroup);
    client
        .remove_from_group("site", &members(&[], &["db"]))
        .await
        .expect("taken out");
    assert_eq!(client.group("site").await.expect("a group").count, 3);
    assert_eq!(client.names("we", 10).await.expect("names"), Vec::<String>::new());
    assert_eq!(
        client.names("@", 10).await.expect("names"),
        ["@db", "@empty", "@site", "@web"]
    );
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_says_what_it_does_and_does_it_once() {
    let api = api().await;
    let client = &api.client;
    let document: Document = serde_json::from_str(
        r#"{"hosts": [{"name": "web1", "port": 2222, "labels": {"rack": "7"}}, {"name": "db1"}],
            "groups": [{"name": "web", "hosts": ["web1", "web2"], "groups": ["inner"]}]}"#,
    )
    .expect("a document");
    let import = |prune, dry_run| Import {
        document: document.clone(),
        prune,
        dry_run,
    };
    let planned = client.import(&import(false, true)).await.expect("a plan");
    assert!(!planned.applied);
    assert_eq!((planned.hosts.added, planned.groups.added), (2, 1));
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 0);
    let done = client.import(&import(false, false)).await.expect("done");
    assert!(done.applied);
    assert_eq!(done.steps, planned.steps);
    let again = client.import(&import(false, false)).await.expect("done");
    assert_eq!((again.hosts.unchanged, again.groups.unchanged), (2, 1));
    assert_eq!(again.steps, []);
    let mut other: Vec<HostRecord> = client.hosts(Some("web1"), None).await.expect("hosts");
    other[0].labels.insert("owner".into(), "ops".into());
    other.push(serde_json::from_str(r#"{"name": "old"}"#).expect("a host"));
    client.set_hosts(&other).await.expect("set");
    let kept = client.import(&import(false, false)).await.expect("done");
    assert_eq!(
        (kept.hosts.unchanged, kept.hosts.left),
        (2, 1),
        "labels of others stay"
    );
    let pruned = client.import(&import(true, false)).await.expect("done");
    assert_eq!((pruned.hosts.changed, pruned.hosts.removed), (1, 1));
    assert_eq!(client.document().await.expect("a document").hosts, {
        let mut hosts = document.hosts.clone();
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        hosts
    });
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_among_what_patterns_name_and_say_why() {
    let api = api().await;
    let client = &api.client;
    let hosts: Vec<HostRecord> = serde_json::from_str(
        r#"[{"name": "web1", "labels": {"env": "prod"}}, {"name": "web2", "labels": {"env": "test"}},
            {"name": "db1", "labels": {"env": "prod"}}]"#,
    )
    .expect("hosts");
    client.add_hosts(&hosts).await.expect("added");
    client
        .add_to_group("web", &members(&["web[1-2]"], &[]))
        .await
        .expect("a group");
    let chosen = |hosts: &[&str], selector: &str| Targets {
        selector: Some(selector.to_owned()),
        ..targets(hosts)
    };
    let prod = r#"labels.env == "prod""#;
    let table: [(&[&str], &str, &[&str]); 4] = [
        (&[], prod, &["db1", "web1"]),
        (&["web[1-9]"], prod, &["web1"]),
        (&["@web"], r#"not ("web" in groups)"#, &[]),
        (&["web9", "db1"], r#"name == "web9""#, &["web9"]),
    ];
    for (hosts, selector, expected) in table {
        let found = client.expand(&chosen(hosts, selector)).await.expect("hosts");
        assert_eq!(found.hosts, expected, "{hosts:?} {selector}");
    }
    let mut asked = chosen(&["web[1-2]", "db1"], prod);
    asked.exclude.push("db*".into());
    let told = client.explain(&asked).await.expect("explained");
    assert_eq!((told.chosen, told.left_out), (1, 2));
    let why = |host: &str| {
        let found = told.hosts.iter().find(|told| told.host == host).expect("told");
        (found.chosen, found.why.join("; "))
    };
    assert!(why("web1").0);
    assert!(why("web2").1.contains("test"), "{:?}", why("web2"));
    assert_eq!(why("db1"), (false, "left out by -x db*".to_owned()));
    let wrong = client
        .expand(&chosen(&[], "labels.env = prod"))
        .await
        .expect_err("wrong");
    assert_eq!(wrong.code, Code::InvalidSelector);
    assert!(wrong.detail.contains("column 12"), "{wrong}");
    client.remove_hosts("web2").await.expect("removed");
    let left = client
        .expand(&chosen(&[], r#"labels.env == "test""#))
        .await
        .expect("hosts");
    assert_eq!(left.hosts, Vec::<String>::new(), "what is gone is chosen no more");
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_is_kept_and_patterns_are_read() {
    let api = api().await;
    let client = &api.client;
    let host = |name: &str| HostRecord {
        name: name.parse().expect("a name"),
        address: None,
        user: None,
        port: None,
        reach: None,
        labels: Default::default(),
        credential: None,
    };
    client
        .add_hosts(&[host("web1"), host("web2"), host("db1")])
        .await
        .expect("added");
    let problem = client
        .add_hosts(&[host("web3"), host("web1")])
        .await
        .expect_err("there");
    assert_eq!(problem.code, Code::AlreadyExists);
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 3);
    client
        .set_hosts(&[host("web1"), host("web3")])
        .await
        .expect("set");
    let group = client
        .add_to_group("web", &members(&["web[1-3]"], &[]))
        .await
        .expect("a group");
    assert_eq!((group.count, group.hosts.as_str()), (3, "web[1-3]"));
    client
        .remove_from_group("web", &members(&["web2"], &[]))
        .await
        .expect("removed");
    assert_eq!(
        client.expand(&targets(&["@web"])).await.expect("hosts").hosts,
        ["web1", "web3"]
    );
    assert_eq!(
        client
            .fold(&targets(&["n3", "n1", "n2"]))
            .await
            .expect("hosts")
            .folded,
        "n[1-3]"
    );
    client.remove_hosts("web[1-3]").await.expect("removed");
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 1);
    client.remove_group("web").await.expect("removed");
    assert_eq!(client.groups().await.expect("groups").len(), 0);
    let (answer, problem) = api.get("/openapi.json").await;
    assert!(answer.starts_with("HTTP/1.1 200") && problem.is_none());
    assert!(
        client
            .doctor()
            .await
            .expect("checks")
            .iter()
            .all(|check| check.ok)
    );
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_was_submitted() {
    let api = api().await;
    let file = api._home.folder.path().join("late");
    let command = format!("sleep 0.3; echo late > '{}'", file.display());
    api.client.submit(&task(&command)).await.expect("a task");
    api.connected.close().await;
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "late\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_credential_is_told_without_what_was_sent() {
    let api = api().await;
    for body in [
        r#"{"password_base64":"hunter2!"}"#,
        r#"{"password_base64":["hunter2"]}"#,
        r#"{"password":"hunter2"}"#,
        r#"{"hunter2":1}"#,
        r#"{"mode":"hunter2"}"#,
        r#"{"forget":["hunter2"]}"#,
        r#"{"password_base64":"hunter2"#,
        r#"{"key_base64":"aHVudGVyMg=="}"#,
        r#"{"password_base64":"aHVudGVyMgo="}"#,
        r#"hunter2"#,
    ] {
        let request = format!(
            "PUT /api/v1/credentials/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = api.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 422"), "{body}: {answer}");
        assert!(!answer.contains("hunter2"), "{body}: {answer}");
    }
    assert_eq!(api.client.credentials().await.expect("none"), []);
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_kept_changed_and_removed_and_never_shown() {
    use muster_model::Secret;
    use muster_model::wire::credentials::{Encoded, Held, PutCredential, PutMode};
    let api = api().await;
    let client = &api.client;
    let name = "web".parse().expect("a name");
    let secret = |text: &str| Some(Encoded(Secret::new(text.to_owned())));
    let add = PutCredential {
        mode: PutMode::Add,
        user: Some("deploy".to_owned()),
        password_base64: secret("hunter2"),
        passphrase_base64: secret("open"),
        ..PutCredential::default()
    };
    let kept = client.put_credential(&name, &add).await.expect("kept");
    assert_eq!(kept.holds, [Held::Passphrase, Held::Password]);
    let again = client.put_credential(&name, &add).await.expect_err("it is there");
    assert_eq!(again.code, Code::AlreadyExists);
    let change = PutCredential {
        mode: PutMode::Change,
        sudo_password_base64: secret("hunter3"),
        forget: vec![Held::Passphrase],
        ..PutCredential::default()
    };
    let changed = client.put_credential(&name, &change).await.expect("changed");
    assert_eq!(changed.holds, [Held::Password, Held::SudoPassword]);
    assert_eq!(changed.user.as_deref(), Some("deploy"));
    assert!(changed.changed_at > kept.changed_at && changed.created_at == kept.created_at);
    let nothing = PutCredential {
        mode: PutMode::Change,
        forget: vec![Held::Password, Held::SudoPassword],
        ..PutCredential::default()
    };
    let problem = client.put_credential(&name, &nothing).await.expect_err("empty");
    assert_eq!(problem.code, Code::InvalidRequest);
    let other = "db".parse().expect("a name");
    let problem = client.put_credential(&other, &change).await.expect_err("missing");
    assert_eq!(problem.code, Code::UnknownCredential);
    assert_eq!(client.credentials().await.expect("all"), [changed]);
    assert_eq!(client.rekey().await.expect("a new key").resealed, 1);
    client.remove_credential(&name, false).await.expect("removed");
    let problem = client.credential(&name).await.expect_err("gone");
    assert_eq!(problem.code, Code::UnknownCredential);
    api.connected.close().await;
}
