//! The client's side of the file protocol: requests go out one after the other, and what comes is handed on piece by
//! piece. The server is a stranger, and what it says is bounded.

use std::collections::VecDeque;

use super::super::protocol::{Protocol, Step};
use super::name::Refusal;

/// The longest line of an answer: more is no answer.
const LINE_BYTES: usize = 255;

/// What came, to be done something with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The answer to this request begins, and has so many bytes.
    Begins(String, u64),
    /// The next bytes of it.
    Bytes(Vec<u8>),
    /// It is whole.
    Whole,
    /// The request was refused.
    Refused(String, Refusal),
    /// The server is not to be understood, or hung up. Nothing more will come.
    Broken(String),
}

/// A connection, as the client sees it.
#[derive(Debug)]
pub(crate) struct Client {
    requests: VecDeque<String>,
    heard: Vec<u8>,
    doing: Doing,
    is_over: bool,
}

#[derive(Debug)]
enum Doing {
    /// Nothing is asked.
    Idle,
    /// This was asked.
    Asked(String),
    /// So many bytes are to come, of so many.
    Taking(u64, u64),
    /// Nothing more is to be had.
    HangingUp,
}

impl Client {
    /// Makes a client that has these requests, each without the end of its line.
    pub(crate) fn new(requests: impl IntoIterator<Item = String>) -> Self {
        Self {
            requests: requests.into_iter().collect(),
            heard: Vec::new(),
            doing: Doing::Idle,
            is_over: false,
        }
    }

    fn broken(&mut self, why: String) -> Step<Got> {
        self.doing = Doing::HangingUp;
        Step::Wish(Got::Broken(why))
    }

    /// Returns the first line of an answer, None where it is not whole yet.
    fn line(&mut self) -> Result<Option<String>, String> {
        match self.heard.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = self.heard.drain(..=end).take(end).collect();
                let line = String::from_utf8(line).map_err(|_| "the answer is no text".to_owned())?;
                Ok(Some(line))
            }
            None if self.heard.len() >= LINE_BYTES => Err("the answer has no end of line".to_owned()),
            None if self.is_over => Err("the server hung up before it answered".to_owned()),
            None => Ok(None),
        }
    }

    fn answered(&mut self, request: String) -> Step<Got> {
        let line = match self.line() {
            Ok(Some(line)) => line,
            Ok(None) => {
                self.doing = Doing::Asked(request);
                return Step::Receive;
            }
            Err(why) => return self.broken(why),
        };
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next()) {
            (Some("OK"), Some(size)) => match size.parse() {
                Ok(size) => {
                    self.doing = Doing::Taking(size, size);
                    Step::Wish(Got::Begins(request, size))
                }
                Err(_) => self.broken("the answer has no size".to_owned()),
            },
            (Some("ERR"), Some(word)) => match Refusal::named(word) {
                Some(refusal) => Step::Wish(Got::Refused(request, refusal)),
                None => self.broken("the server refuses for a reason that is not known".to_owned()),
            },
            _ => self.broken("the answer is neither OK nor ERR".to_owned()),
        }
    }
}

impl Protocol for Client {
    type Wish = Got;

    fn received(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn ended(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> Step<Got> {
        match std::mem::replace(&mut self.doing, Doing::Idle) {
            Doing::Idle => match self.requests.pop_front() {
                Some(request) => {
                    let line = format!("{request}\n").into_bytes();
                    self.doing = Doing::Asked(request);
                    Step::Send(line)
                }
                None => Step::Close,
            },
            Doing::Asked(request) => self.answered(request),
            Doing::Taking(0, _) => Step::Wish(Got::Whole),
            Doing::Taking(left, size) if self.heard.is_empty() => {
                if self.is_over {
                    return self.broken(format!(
                        "the server hung up after {} of {size} bytes",
                        size - left
                    ));
                }
                self.doing = Doing::Taking(left, size);
                Step::Receive
            }
            Doing::Taking(left, size) => {
                let count = usize::try_from(left).map_or(self.heard.len(), |left| left.min(self.heard.len()));
                let bytes: Vec<u8> = self.heard.drain(..count).collect();
                self.doing = Doing::Taking(left - count as u64, size);
                Step::Wish(Got::Bytes(bytes))
            }
            Doing::HangingUp => {
                self.doing = Doing::HangingUp;
                Step::Close
            }
        }
    }
}
