//! The live events of a task as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::Stream;
use muster_engine::Watcher;
use muster_model::Problem;
use muster_model::problem::Code;
use muster_model::wire::Event;
use muster_runtime::{CancellationToken, clock};

/// A comment is sent after this much silence, so that both ends find out when the other has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Returns the answer that tells what `watcher` sees, until the task is done or `work` is cancelled.
///
/// The watcher is asked for the next event when the client has taken the last one, and is dropped with the
/// answer's body when the client goes.
pub(crate) fn answer(watcher: Watcher, work: CancellationToken) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(stream(watcher, work)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    response
}

fn stream(watcher: Watcher, work: CancellationToken) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    futures_util::stream::unfold(Some((watcher, work)), |state| async move {
        let (mut watcher, work) = state?;
        let next = tokio::select! {
            // The client comes back with the last id it saw, to this server's successor.
            () = work.cancelled() => return None,
            next = clock::deadline(KEEP_ALIVE, watcher.next()) => next,
        };
        match next {
            Err(clock::Elapsed) => Some((Ok(Bytes::from_static(b":\n\n")), Some((watcher, work)))),
            Ok(Ok(Some((id, event)))) => Some((Ok(written(&id, &event)), Some((watcher, work)))),
            Ok(Ok(None)) => None,
            Ok(Err(problem)) => Some((Ok(problem_event(&problem)), None)),
        }
    })
}

/// Writes one event. JSON has no line breaks outside its texts, and inside them they are escaped.
fn written(id: &str, event: &Event) -> Bytes {
    let name = match event {
        Event::Reset => "reset",
        Event::Task(_) => "task",
        Event::Run(_) => "run",
        Event::Output(_) => "output",
    };
    match serde_json::to_string(event) {
        Ok(data) => format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into(),
        Err(error) => problem_event(&Problem::new(
            Code::Internal,
            format!("an event cannot be written: {error}"),
        )),
    }
}

/// The stream's status is long sent: a problem on the way is an event of its own, and the last one.
fn problem_event(problem: &Problem) -> Bytes {
    let data = serde_json::to_string(problem).unwrap_or_default();
    format!("event: problem\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use muster_model::wire::OutputEvent;
    use muster_model::{Stream as OutputStream, TaskId};

    use super::*;

    #[test]
    fn an_event_is_three_lines_whatever_a_host_printed() {
        let event = Event::Output(OutputEvent {
            task: TaskId(7),
            index: 0,
            host: "web1".into(),
            attempt: 1,
            stream: OutputStream::Stdout,
            offset: 0,
            data: Some("one\r\ndata: two\n\nid: 9\u{2028}".into()),
            data_base64: None,
        });
        let text = String::from_utf8(written("12.5", &event).to_vec()).expect("text");
        let lines: Vec<_> = text.split('\n').collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[..2], ["id: 12.5", "event: output"]);
        let data = lines[2].strip_prefix("data: ").expect("data");
        assert_eq!(serde_json::from_str::<Event>(data).ok(), Some(event));
        assert_eq!(lines[3..], ["", ""]);
    }
}
