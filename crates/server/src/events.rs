//! The live events of a task, as server-sent events or as frames.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::Stream;
use muster_engine::Watcher;
use muster_model::Problem;
use muster_model::problem::Code;
use muster_model::wire::{Event, framed};
use muster_runtime::meter::Entered;
use muster_runtime::{CancellationToken, clock};

/// A sign of life is sent after this much silence, so that both ends find out when the other has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For browsers and programs.
    ServerSent,
    /// [`framed`]: for who asks for it.
    Framed,
}

impl Form {
    /// Returns the form that a client takes: frames where its `Accept` names them.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let names_frames = |value: &HeaderValue| {
            let kinds = value.to_str().unwrap_or_default().split(',');
            kinds
                .filter_map(|kind| kind.split(';').next())
                .any(|kind| kind.trim().eq_ignore_ascii_case(framed::MEDIA_TYPE))
        };
        if headers.get_all(header::ACCEPT).iter().any(names_frames) {
            Self::Framed
        } else {
            Self::ServerSent
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::ServerSent => "text/event-stream",
            Self::Framed => framed::MEDIA_TYPE,
        }
    }

    fn alive(self) -> Bytes {
        Bytes::from_static(match self {
            Self::ServerSent => b":\n\n",
            Self::Framed => framed::ALIVE,
        })
    }

    /// Writes one event, in two pieces, of which the second may be empty.
    fn event(self, id: &str, event: Event) -> (Bytes, Bytes) {
        let written = match self {
            Self::ServerSent => server_sent(id, &event).map(|whole| (whole, Bytes::new())),
            Self::Framed => framed::event(id, event),
        };
        written.unwrap_or_else(|error| {
            let problem = Problem::new(Code::Internal, format!("an event cannot be written: {error}"));
            (self.problem(&problem), Bytes::new())
        })
    }

    /// The stream's status is long sent: a problem on the way is an event of its own, and the last one.
    fn problem(self, problem: &Problem) -> Bytes {
        match self {
            Self::ServerSent => {
                let data = serde_json::to_string(problem).unwrap_or_default();
                format!("event: problem\ndata: {data}\n\n").into()
            }
            Self::Framed => framed::problem(problem).unwrap_or_default(),
        }
    }
}

/// Returns the answer that tells what `watcher` sees, until the task is done or `work` is cancelled.
///
/// The watcher is asked for the next event when the client has taken the last one, and is dropped with the
/// answer's body when the client goes.
pub(crate) fn answer(
    watcher: Watcher,
    form: Form,
    work: CancellationToken,
    counted: Entered,
) -> Response<Body> {
    let telling = Telling {
        watcher,
        form,
        work,
        rest: Bytes::new(),
        _counted: counted,
    };
    let mut response = Response::new(Body::from_stream(stream(telling)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    response
}

/// What is left to tell.
struct Telling {
    watcher: Watcher,
    form: Form,
    work: CancellationToken,
    /// The second piece of the event whose first was told last.
    rest: Bytes,
    /// One who follows, for as long as this lives.
    _counted: Entered,
}

fn stream(telling: Telling) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    futures_util::stream::unfold(Some(telling), |telling| async move {
        let mut telling = telling?;
        let rest = std::mem::take(&mut telling.rest);
        if !rest.is_empty() {
            return Some((Ok(rest), Some(telling)));
        }
        let next = tokio::select! {
            // The client comes back with the last id it saw, to this server's successor.
            () = telling.work.cancelled() => return None,
            next = clock::deadline(KEEP_ALIVE, telling.watcher.next()) => next,
        };
        let form = telling.form;
        match next {
            Err(clock::Elapsed) => Some((Ok(form.alive()), Some(telling))),
            Ok(Ok(Some((id, event)))) => {
                let (first, rest) = form.event(&id, event);
                telling.rest = rest;
                Some((Ok(first), Some(telling)))
            }
            Ok(Ok(None)) => None,
            Ok(Err(problem)) => Some((Ok(form.problem(&problem)), None)),
        }
    })
}

/// Writes one event. JSON has no line breaks outside its texts, and inside them they are escaped.
fn server_sent(id: &str, event: &Event) -> serde_json::Result<Bytes> {
    let (name, size) = match event {
        Event::Reset => ("reset", 0),
        Event::Task(_) => ("task", 0),
        Event::Run(_) => ("run", 0),
        Event::Output(output) => ("output", output.bytes.len()),
    };
    // Room for output with few characters to escape.
    let mut text = Vec::with_capacity(size + size / 16 + 512);
    text.extend_from_slice(format!("id: {id}\nevent: {name}\ndata: ").as_bytes());
    serde_json::to_writer(&mut text, event)?;
    text.extend_from_slice(b"\n\n");
    Ok(text.into())
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
            bytes: "one\r\ndata: two\n\nid: 9\u{2028}".into(),
        });
        let text = String::from_utf8(server_sent("12.5", &event).expect("JSON").to_vec()).expect("text");
        let lines: Vec<_> = text.split('\n').collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[..2], ["id: 12.5", "event: output"]);
        let data = lines[2].strip_prefix("data: ").expect("data");
        assert_eq!(serde_json::from_str::<Event>(data).ok(), Some(event));
        assert_eq!(lines[3..], ["", ""]);
    }

    #[test]
    fn frames_are_for_who_asks_for_them() {
        for (accept, form) in [
            ("application/vnd.muster.events, text/event-stream", Form::Framed),
            (
                "text/event-stream;q=0.5,Application/vnd.Muster.Events;q=1",
                Form::Framed,
            ),
            ("text/event-stream", Form::ServerSent),
            ("*/*", Form::ServerSent),
            ("application/vnd.muster.events2", Form::ServerSent),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(Form::wanted(&headers), Form::ServerSent);
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Form::wanted(&headers), form, "{accept}");
        }
    }
}
