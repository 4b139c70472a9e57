//! A server over a real socket, with a real engine behind it.

use std::time::Duration;

use futures_util::StreamExt;
use muster_client::{Address, Client};
use muster_model::wire::{Event, Submit, Targets, Work};
use muster_model::{Problem, TaskId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::Connected;
use super::super::in_process::InProcess;
use super::home;

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Api {
    pub(super) connected: Connected,
    pub(super) client: Client,
    pub(super) home: super::Home,
}

pub(super) async fn api() -> Api {
    let home = home();
    let inside = InProcess::start(home.settings.clone(), Some(&home.folder.path().join("inside")))
        .await
        .expect("a server");
    let connected = inside.connected();
    Api {
        client: connected.client.clone(),
        connected,
        home,
    }
}

pub(super) fn task(command: &str) -> Submit {
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

pub(super) fn targets(hosts: &[&str]) -> Targets {
    Targets {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        exclude: Vec::new(),
        selector: None,
    }
}

impl Api {
    pub(super) async fn stream(&self) -> UnixStream {
        let Address::Unix(path) = self.client.address() else {
            panic!("no socket");
        };
        UnixStream::connect(path).await.expect("a server")
    }

    /// Sends a request as it is written here, and returns the answer as it comes.
    pub(super) async fn raw(&self, request: &str) -> String {
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

    pub(super) async fn get(&self, path: &str) -> (String, Option<Problem>) {
        let answer = self
            .raw(&format!(
                "GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (answer.clone(), serde_json::from_str(body).ok())
    }

    /// Returns a task's event stream, from its head to its end.
    pub(super) async fn follow(&self, id: TaskId, query: &str, header: &str) -> String {
        let head = format!("GET /api/v1/tasks/{id}/events{query} HTTP/1.1\r\nhost: x\r\nconnection: close");
        self.raw(&format!("{head}\r\n{header}\r\n")).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> String {
        self.raw(&format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    pub(super) async fn run(&self, command: &str) -> TaskId {
        let id = self.client.submit(&task(command)).await.expect("a task").id;
        self.events(id).await;
        id
    }

    pub(super) async fn events(&self, id: TaskId) -> Vec<(String, Event)> {
        let events = self.client.events(id).map(|event| event.expect("an event"));
        timeout(PATIENCE, events.collect()).await.expect("in time")
    }
}
