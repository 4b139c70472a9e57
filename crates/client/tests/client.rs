//! The client against a server that answers as a script says, breaks off where the script says, and keeps
//! what it was asked: bytes on a real socket.
#![expect(clippy::expect_used, reason = "a helper of tests fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use futures_util::StreamExt;
use muster_client::{Address, Client, RunsQuery, request_id};
use muster_model::problem::Code;
use muster_model::wire::framed;
use muster_model::wire::{Event, OutputEvent, Submit, Targets, TaskView, Work, WorkOptions};
use muster_model::{Counts, Problem, Stream, TaskId, Timestamp};

/// What the server does with one request.
enum Act {
    /// Answers with a status and a body.
    Answer(u16, String),
    /// Answers, closes the connection, and says on the channel that it has.
    AnswerAndClose(u16, String, mpsc::SyncSender<()>),
    /// Reads the request and closes the connection without a word.
    Break,
    /// Sends a chunked body piece by piece, and ends it properly.
    Stream(Vec<Vec<u8>>),
    /// Sends a chunked body piece by piece, and breaks the connection.
    StreamAndBreak(Vec<Vec<u8>>),
    /// Sends a chunked body of frames piece by piece, and breaks the connection.
    FramesAndBreak(Vec<Vec<u8>>),
    /// Sends a chunked body of frames piece by piece, and ends it properly.
    Frames(Vec<Vec<u8>>),
}

/// A request as it came.
#[derive(Clone, Debug)]
struct Asked {
    /// Which connection it came on, from 0.
    connection: usize,
    line: String,
    headers: String,
    body: String,
}

struct Server {
    client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Serves until the script is done.
    fn start(script: Vec<Act>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path: PathBuf = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let thread = std::thread::Builder::new()
            .spawn(move || serve(&listener, script, &heard))
            .expect("a thread");
        Self {
            client: Client::new(Address::Unix(path), "1.2.3"),
            asked,
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// Waits until the script is done, and returns what was asked.
    fn asked(mut self) -> Vec<Asked> {
        drop(self.client);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server");
        }
        self.asked.lock().expect("what was asked").clone()
    }
}

fn serve(listener: &UnixListener, script: Vec<Act>, asked: &Mutex<Vec<Asked>>) {
    let mut script = script.into_iter().peekable();
    let mut connection = 0;
    while script.peek().is_some() {
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        while script.peek().is_some() {
            let Some(request) = read_request(&mut reader, connection) else {
                break;
            };
            asked.lock().expect("what was asked").push(request);
            if !act(&stream, script.next().expect("an act")) {
                break;
            }
        }
        connection += 1;
    }
}

fn read_request(reader: &mut BufReader<UnixStream>, connection: usize) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = String::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        if header.trim().is_empty() {
            break;
        }
        headers.push_str(&header.to_ascii_lowercase());
    }
    let length = headers
        .lines()
        .find_map(|header| header.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    Some(Asked {
        connection,
        line: line.trim().to_owned(),
        headers,
        body: String::from_utf8(body).expect("text"),
    })
}

/// Does one act; tells whether the connection stays.
fn act(mut stream: &UnixStream, act: Act) -> bool {
    let answer = |status: u16, body: &str, close: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{close}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match act {
        Act::Answer(status, body) => {
            stream
                .write_all(answer(status, &body, "").as_bytes())
                .expect("written");
            true
        }
        // As a server that closes idle connections does: without saying so before.
        Act::AnswerAndClose(status, body, closed) => {
            stream
                .write_all(answer(status, &body, "").as_bytes())
                .expect("written");
            stream.shutdown(std::net::Shutdown::Both).expect("closed");
            closed.send(()).expect("somebody waits");
            false
        }
        Act::Break => {
            stream.shutdown(std::net::Shutdown::Both).expect("closed");
            false
        }
        Act::Stream(pieces) => {
            write_chunks(stream, "text/event-stream", &pieces);
            write(stream, b"0\r\n\r\n");
            true
        }
        Act::StreamAndBreak(pieces) => {
            write_chunks(stream, "text/event-stream", &pieces);
            stream.shutdown(std::net::Shutdown::Both).expect("closed");
            false
        }
        Act::Frames(pieces) => {
            write_chunks(stream, framed::MEDIA_TYPE, &pieces);
            write(stream, b"0\r\n\r\n");
            true
        }
        Act::FramesAndBreak(pieces) => {
            write_chunks(stream, framed::MEDIA_TYPE, &pieces);
            stream.shutdown(std::net::Shutdown::Both).expect("closed");
            false
        }
    }
}

fn write_chunks(stream: &UnixStream, media_type: &str, pieces: &[Vec<u8>]) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    write(stream, head.as_bytes());
    for piece in pieces {
        write(stream, format!("{:x}\r\n", piece.len()).as_bytes());
        write(stream, piece);
        write(stream, b"\r\n");
    }
}

/// Writes a part of a stream. A client that has heard the end of it may have left before the last of its bytes.
fn write(mut stream: &UnixStream, bytes: &[u8]) {
    if let Err(error) = stream.write_all(bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    }
}

fn task(done: bool) -> TaskView {
    TaskView {
        id: TaskId(7),
        kind: "command".into(),
        command: "x".into(),
        state: if done {
            muster_model::task::TaskState::Done
        } else {
            muster_model::task::TaskState::Running
        },
        created_at: Timestamp(0),
        finished_at: None,
        output_removed_at: None,
        counts: Counts::default(),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

fn submit() -> Submit {
    Submit {
        request_id: request_id().expect("random"),
        work: Work::Command { command: "x".into() },
        targets: Targets {
            hosts: vec!["a".into()],
            exclude: Vec::new(),
            selector: None,
        },
        options: WorkOptions::default(),
        stdin_base64: None,
        secrets: muster_model::wire::Secrets::default(),
        dry_run: false,
    }
}

fn sse(id: &str, event: &Event) -> Vec<u8> {
    format!("id: {id}\nevent: x\ndata: {}\n\n", json(event)).into_bytes()
}

fn frame(id: &str, event: &Event) -> Vec<u8> {
    let (head, body) = framed::event(id, event.clone()).expect("a frame");
    [head, body].concat()
}

fn output(offset: u64, text: &str) -> Event {
    Event::Output(OutputEvent {
        task: TaskId(7),
        index: 0,
        host: "a".into(),
        attempt: 1,
        stream: Stream::Stdout,
        offset,
        bytes: text.to_owned().into(),
    })
}

#[tokio::test]
async fn a_submit_whose_connection_breaks_is_sent_again_under_the_same_name() {
    let server = Server::start(vec![Act::Break, Act::Break, Act::Answer(201, json(&task(false)))]);
    let submitted = server.client.submit(&submit()).await.expect("accepted");
    assert_eq!(submitted.id, TaskId(7));
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(
        asked
            .iter()
            .all(|request| request.line == "POST /api/v1/tasks HTTP/1.1")
    );
    assert!(asked.iter().all(|request| request.body == asked[0].body));
}

#[tokio::test]
async fn adding_hosts_is_never_sent_twice() {
    let server = Server::start(vec![Act::Break]);
    let problem = server.client.add_hosts(&[]).await.expect_err("it broke");
    assert_eq!(problem.code, Code::Unavailable);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn connections_are_used_again_and_name_the_protocol() {
    let page = "{\"runs\":[],\"next_from\":null}";
    let server = Server::start(vec![
        Act::Answer(200, json(&task(false))),
        Act::Answer(200, page.into()),
        Act::Answer(404, json(&Problem::new(Code::UnknownTask, "there is no task 9"))),
        Act::Answer(200, json(&task(true))),
    ]);
    let client = &server.client;
    client.task(TaskId(7)).await.expect("a task");
    let query = RunsQuery {
        from: 5,
        ..RunsQuery::default()
    };
    client.runs(TaskId(7), &query).await.expect("a page");
    let problem = client.task(TaskId(9)).await.expect_err("no task");
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (Code::UnknownTask, "there is no task 9")
    );
    client.task(TaskId(7)).await.expect("a task");
    let asked = server.asked();
    assert!(asked.iter().all(|request| request.connection == 0), "{asked:?}");
    assert_eq!(asked[1].line, "GET /api/v1/tasks/7/runs?from=5 HTTP/1.1");
    assert!(asked[0].headers.contains("muster-protocol: 1\r\n"));
    assert!(asked[0].headers.contains("muster-client-version: 1.2.3\r\n"));
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_meanwhile_is_not_used() {
    let (closed, is_closed) = mpsc::sync_channel(1);
    let server = Server::start(vec![
        Act::AnswerAndClose(200, json(&task(false)), closed),
        Act::Answer(200, "{\"removed\":1}".into()),
    ]);
    server.client.task(TaskId(7)).await.expect("a task");
    is_closed.recv().expect("the server closes it");
    let removed = server.client.remove_hosts("a").await.expect("removed");
    assert_eq!(removed, 1, "what is never sent twice goes through all the same");
    assert_eq!(server.asked()[1].connection, 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_at_once_and_by_name() {
    let client = Client::new(Address::Unix("/nonexistent/socket".into()), "1.2.3");
    let problem = client.submit(&submit()).await.expect_err("nobody");
    assert_eq!(problem.code, Code::Unavailable);
    assert!(problem.detail.contains("/nonexistent/socket"), "{problem}");
}

/// A client of these servers, in this order.
fn of_several(addresses: Vec<Address>) -> Client {
    let mut addresses = addresses.into_iter();
    let first = addresses.next().expect("an address");
    Client::of_several(first, addresses.collect(), "1.2.3")
}

fn nobody(name: &str) -> Address {
    Address::Unix(format!("/nonexistent/{name}").into())
}

#[tokio::test]
async fn another_server_is_asked_where_one_is_gone_leaves_or_refers_elsewhere() {
    let server = Server::start(vec![Act::Answer(201, json(&task(false)))]);
    let client = of_several(vec![nobody("a"), nobody("b"), server.client.address()]);
    client.submit(&submit()).await.expect("accepted by the third");
    drop(client);
    assert_eq!(server.asked().len(), 1);

    for (code, status) in [
        (Code::Draining, 503),
        (Code::NotHere, 404),
        (Code::Unavailable, 503),
    ] {
        let one = Server::start(vec![Act::Answer(status, json(&Problem::new(code, "elsewhere")))]);
        let other = Server::start(vec![Act::Answer(201, json(&task(false)))]);
        let client = of_several(vec![one.client.address(), other.client.address()]);
        client.submit(&submit()).await.expect("accepted by the other");
        drop(client);
        let (refused, taken) = (one.asked(), other.asked());
        assert_eq!((refused.len(), taken.len()), (1, 1), "{code:?}");
        assert_eq!(refused[0].body, taken[0].body, "under the same name");
    }
}

#[tokio::test]
async fn an_answer_is_an_answer_whoever_gives_it() {
    let problem = json(&Problem::new(Code::UnknownTask, "there is no task 7"));
    let one = Server::start(vec![Act::Answer(404, problem)]);
    let client = of_several(vec![one.client.address(), nobody("other")]);
    let problem = client.task(TaskId(7)).await.expect_err("no task");
    assert_eq!(problem.detail, "there is no task 7");
    drop(client);
    assert_eq!(one.asked().len(), 1);
}

#[tokio::test]
async fn what_is_never_sent_twice_goes_to_no_other_server_once_it_was_sent() {
    let one = Server::start(vec![Act::Break]);
    let client = of_several(vec![one.client.address(), nobody("other")]);
    let problem = client.add_hosts(&[]).await.expect_err("it broke");
    assert!(problem.detail.contains("broke before it answered"), "{problem}");
    drop(client);
    assert_eq!(one.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_none_of_several_answers_that_is_said() {
    let client = of_several(vec![nobody("a"), nobody("b")]);
    let problem = client.submit(&submit()).await.expect_err("nobody");
    assert_eq!(problem.code, Code::Unavailable);
    assert!(
        problem.detail.contains("none of the 2 servers answers") && problem.detail.contains("/nonexistent/"),
        "{problem}"
    );
}

#[tokio::test]
async fn events_are_taken_up_where_the_connection_broke() {
    let server = Server::start(vec![
        Act::StreamAndBreak(vec![
            sse("1", &Event::Task(task(false))),
            sse("2", &output(0, "one")),
            b"id: 3\ndata: {\"cut".to_vec(),
        ]),
        Act::Break,
        Act::Stream(vec![
            sse("3", &output(8, "two")),
            sse("4", &Event::Task(task(true))),
        ]),
    ]);
    let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
    let events: Vec<Event> = events
        .into_iter()
        .map(|event| event.expect("an event").1)
        .collect();
    let expected = [
        Event::Task(task(false)),
        output(0, "one"),
        output(8, "two"),
        Event::Task(task(true)),
    ];
    assert_eq!(events, expected);
    let asked = server.asked();
    assert!(!asked[0].headers.contains("last-event-id"));
    assert!(
        asked
            .last()
            .expect("requests")
            .headers
            .contains("last-event-id: 2\r\n")
    );
}

#[tokio::test]
async fn frames_are_asked_for_and_taken_up_as_events_are() {
    let cut = frame("3", &output(8, "two"));
    let server = Server::start(vec![
        Act::FramesAndBreak(vec![
            frame("1", &Event::Task(task(false))),
            framed::ALIVE.to_vec(),
            frame("2", &output(0, "one")),
            cut[..cut.len() - 1].to_vec(),
        ]),
        Act::Frames(vec![
            frame("3", &output(8, "two")),
            frame("4", &Event::Task(task(true))),
        ]),
    ]);
    let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
    let events: Vec<_> = events.into_iter().map(|event| event.expect("an event")).collect();
    let expected = [
        ("1".to_owned(), Event::Task(task(false))),
        ("2".to_owned(), output(0, "one")),
        ("3".to_owned(), output(8, "two")),
        ("4".to_owned(), Event::Task(task(true))),
    ];
    assert_eq!(events, expected);
    let asked = server.asked();
    let wanted = format!("accept: {}, text/event-stream;q=0.5\r\n", framed::MEDIA_TYPE);
    assert!(asked[0].headers.contains(&wanted), "{asked:?}");
    assert!(asked[1].headers.contains("last-event-id: 2\r\n"), "{asked:?}");
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_told_and_not_asked_for_again() {
    let mut frame = vec![2, 0, 0, 0, 0, 0, 0, 0];
    frame.extend_from_slice(b"{}");
    let problem = Problem::new(Code::Internal, "the disk is gone");
    for (piece, told) in [
        (frame, "cannot be read"),
        (
            framed::problem(&problem).expect("a frame").to_vec(),
            "the disk is gone",
        ),
    ] {
        let server = Server::start(vec![Act::Frames(vec![piece])]);
        let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
        assert_eq!(events.len(), 1);
        let problem = events[0].as_ref().expect_err("a problem");
        assert!(problem.detail.contains(told), "{problem}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_begins_anew_repeats_no_output() {
    let server = Server::start(vec![
        Act::StreamAndBreak(vec![
            sse("1", &Event::Task(task(false))),
            sse("2", &output(0, "one")),
            sse("3", &output(8, "two")),
        ]),
        Act::Stream(vec![
            sse("n1", &Event::Reset),
            sse("n1", &Event::Task(task(true))),
            sse("n2", &output(0, "one")),
            sse("n3", &output(8, "two")),
            sse("n4", &output(16, "three")),
            sse("end", &Event::Task(task(true))),
        ]),
    ]);
    let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
    let texts: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event.expect("an event").1 {
            Event::Output(output) => Some(String::from_utf8_lossy(&output.bytes).into_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_task_that_is_done_already_is_followed_to_the_end_of_its_story() {
    let server = Server::start(vec![Act::Stream(vec![
        sse("1", &Event::Task(task(true))),
        sse("2", &output(0, "one")),
        sse("end", &Event::Task(task(true))),
    ])]);
    let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
    assert_eq!(events.len(), 3, "{events:?}");
}

#[tokio::test]
async fn a_problem_in_the_stream_ends_it() {
    let problem = Problem::new(Code::Internal, "the output is damaged");
    let told = format!("event: problem\ndata: {}\n\n", json(&problem)).into_bytes();
    let server = Server::start(vec![Act::Stream(vec![sse("1", &Event::Task(task(false))), told])]);
    let events: Vec<_> = server.client.events(TaskId(7)).collect().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].as_ref().expect_err("a problem"), &problem);
}

#[tokio::test]
async fn a_download_comes_piece_by_piece_and_one_that_breaks_is_no_end() {
    let server = Server::start(vec![
        Act::Stream(vec![b"ab".to_vec(), b"cd".to_vec()]),
        Act::StreamAndBreak(vec![b"ab".to_vec()]),
    ]);
    let mut download = server
        .client
        .output(TaskId(7), 3, Stream::Stderr)
        .await
        .expect("a download");
    let mut whole = Vec::new();
    while let Some(bytes) = download.chunk().await.expect("bytes") {
        whole.extend_from_slice(&bytes);
    }
    assert_eq!(whole, b"abcd");
    let mut download = server
        .client
        .output(TaskId(7), 3, Stream::Stderr)
        .await
        .expect("a download");
    let problem = loop {
        match download.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a broken download looked whole"),
            Err(problem) => break problem,
        }
    };
    assert_eq!(problem.code, Code::Unavailable);
    drop(download);
    assert_eq!(
        server.asked()[0].line,
        "GET /api/v1/tasks/7/runs/3/stderr HTTP/1.1"
    );
}
