//! A collector of traces: takes OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/>, and keeps what it was sent.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

use crate::error::Result;
use crate::scripted::Scripted;
use crate::wait;

/// A step of a trace, as a program has sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which program.
    pub service: String,
    /// What it was.
    pub name: String,
    /// The trace, 32 hexadecimal digits.
    pub trace: String,
    /// Its own id, 16 of them.
    pub id: String,
    /// Its parent's; empty where it has none.
    pub parent: String,
    /// Whether it is said to have failed.
    pub failed: bool,
    /// What else is said of it.
    pub attributes: BTreeMap<String, String>,
}

/// A collector. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    server: Scripted,
    kept: Arc<Mutex<Vec<Step>>>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// Where it cannot listen.
    pub fn start() -> Result<Self> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let inside = Arc::clone(&kept);
        let server = Scripted::speaking(move |client| take(client, &inside))?;
        Ok(Self { server, kept })
    }

    /// Returns its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Returns what it was sent, in the order in which it came.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it was sent as many steps of these names as are asked for.
    ///
    /// # Errors
    ///
    /// Where they do not come in time.
    pub fn wait_for(&self, limit: Duration, wanted: &[(&str, usize)]) -> Result<Vec<Step>> {
        wait::blocking(limit, &format!("steps of a trace: {wanted:?}"), || {
            let steps = self.steps();
            let count = |name: &str| steps.iter().filter(|step| step.name == name).count();
            let all = wanted.iter().all(|&(name, number)| count(name) >= number);
            all.then_some(steps)
        })
    }
}

/// Answers the requests of one connection.
fn take(client: TcpStream, kept: &Mutex<Vec<Step>>) -> io::Result<()> {
    let mut answers = client.try_clone()?;
    let mut client = BufReader::new(client);
    while let Some((path, length)) = head(&mut client)? {
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        let request = ExportTraceServiceRequest::decode(body.as_slice());
        let (status, steps) = match (path.as_str(), request) {
            ("/v1/traces", Ok(request)) => ("200 OK", read(request)),
            ("/v1/traces", Err(_)) => ("400 Bad Request", Vec::new()),
            _ => ("404 Not Found", Vec::new()),
        };
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Reads the head of a request: its path, and the length of what follows. None at the end of the connection.
fn head(client: &mut impl BufRead) -> io::Result<Option<(String, usize)>> {
    let mut path = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_lowercase();
        match (&path, line.split_once(": ")) {
            (None, _) => path = Some(line.split(' ').nth(1).unwrap_or_default().to_owned()),
            (Some(path), _) if line.is_empty() => return Ok(Some((path.clone(), length))),
            (_, Some(("content-length", value))) => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Step> {
    let mut steps = Vec::new();
    for of_program in request.resource_spans {
        let about = words(of_program.resource.unwrap_or_default().attributes);
        let service = about.get("service.name").cloned().unwrap_or_default();
        let spans = of_program.scope_spans.into_iter().flat_map(|scope| scope.spans);
        steps.extend(spans.map(|span| {
            Step {
                service: service.clone(),
                name: span.name,
                trace: digits(&span.trace_id),
                id: digits(&span.span_id),
                parent: digits(&span.parent_span_id),
                failed: span
                    .status
                    .is_some_and(|status| status.code() == StatusCode::Error),
                attributes: words(span.attributes),
            }
        }));
    }
    steps
}

fn digits(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let words = attributes.into_iter().map(|attribute| {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => text,
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            Some(any_value::Value::BoolValue(is)) => is.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key, value)
    });
    words.collect()
}
