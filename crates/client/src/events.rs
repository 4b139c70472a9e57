//! Reading what an event stream tells, in either of its two forms. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use muster_model::Problem;
use muster_model::problem::Code;
use muster_model::wire::framed::{self, Told};

use crate::body::Download;
use crate::sse;

/// Reads one connection's worth of events.
pub(crate) enum Reader {
    Framed(framed::Parser),
    ServerSent(sse::Parser),
}

impl Reader {
    /// Returns the reader for the form that the server has chosen.
    pub(crate) fn of(download: &Download) -> Self {
        if download.is(framed::MEDIA_TYPE) {
            Self::Framed(framed::Parser::new())
        } else {
            Self::ServerSent(sse::Parser::new())
        }
    }

    /// Takes the next bytes and appends what they tell; the error says why the stream is of no use.
    pub(crate) fn feed(&mut self, bytes: Bytes, ready: &mut VecDeque<Told>) -> Result<(), String> {
        match self {
            Self::Framed(parser) => {
                let mut told = Vec::new();
                let fed = parser.feed(bytes, &mut told);
                ready.extend(told);
                match fed {
                    // Asked for again, it would come again.
                    Err(framed::Invalid::Head(error)) => ready.push_back(unreadable(&error)),
                    other => other.map_err(|error| error.to_string())?,
                }
            }
            Self::ServerSent(parser) => {
                let mut events = Vec::new();
                parser
                    .feed(&bytes, &mut events)
                    .map_err(|error| error.to_string())?;
                ready.extend(events.into_iter().map(told));
            }
        }
        Ok(())
    }
}

/// Reads a server-sent event.
fn told(raw: sse::Raw) -> Told {
    if raw.event == "problem" {
        return Told::Problem(serde_json::from_str(&raw.data).unwrap_or_else(|_| {
            Problem::new(Code::Internal, "the server broke off the events of the task")
        }));
    }
    match serde_json::from_str(&raw.data) {
        Ok(event) => Told::Event(raw.id, event),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &serde_json::Error) -> Told {
    Told::Problem(Problem::new(
        Code::Internal,
        format!("an event of the server cannot be read: {error}"),
    ))
}
