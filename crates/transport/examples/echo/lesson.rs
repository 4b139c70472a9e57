//! The echo protocol, its client, and a show of both: first in memory, then over TCP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::io::Write;

use futures_util::future::try_join_all;
use muster_runtime::CancellationToken;
use tokio::net::{TcpListener, TcpStream};

use super::protocol::{Protocol, Step, converse, serve};

/// As many clients at a time.
pub(crate) const MOST: usize = 1000;

/// The server's side: what comes goes back.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    heard: Vec<u8>,
    is_over: bool,
}

impl Protocol for Echo {
    type Wish = Infallible;

    fn received(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn ended(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> Step<Infallible> {
        match (self.heard.is_empty(), self.is_over) {
            (false, _) => Step::Send(std::mem::take(&mut self.heard)),
            (true, false) => Step::Receive,
            (true, true) => Step::Close,
        }
    }
}

/// The client's side: says one word after the other, each when the one before has come back.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    words: VecDeque<String>,
    /// How many bytes are to come back for the word that was said last.
    wanted: Option<usize>,
    heard: Vec<u8>,
    /// What came back, word by word.
    pub(crate) answers: Vec<String>,
    is_over: bool,
}

impl Caller {
    pub(crate) fn new(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Self::default()
        }
    }
}

impl Protocol for Caller {
    type Wish = Infallible;

    fn received(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn ended(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> Step<Infallible> {
        if let Some(wanted) = self.wanted {
            if self.heard.len() < wanted {
                return if self.is_over { Step::Close } else { Step::Receive };
            }
            let answer: Vec<u8> = self.heard.drain(..wanted).collect();
            self.answers.push(String::from_utf8_lossy(&answer).into_owned());
        }
        let word = self.words.pop_front();
        self.wanted = word.as_ref().map(String::len);
        word.map_or(Step::Close, |word| Step::Send(word.into_bytes()))
    }
}

/// Says words to a server, and returns what came back.
pub(crate) async fn say(address: &str, words: &[&str]) -> std::io::Result<Vec<String>> {
    let mut caller = Caller::new(words);
    let stream = TcpStream::connect(address).await?;
    converse(&mut caller, (), stream).await?;
    if caller.answers.len() < words.len() {
        let heard = format!(
            "the server hung up after {} of {} words",
            caller.answers.len(),
            words.len()
        );
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, heard));
    }
    Ok(caller.answers)
}

/// Shows it.
pub(crate) async fn show(out: &mut impl Write) -> Result<(), Box<dyn Error + Send + Sync>> {
    // A protocol needs nothing to run: no socket, no runtime.
    let mut echo = Echo::default();
    echo.received(b"hel");
    echo.received(b"lo");
    if let Step::Send(bytes) = echo.next() {
        writeln!(out, "in memory: hel + lo -> {}", String::from_utf8_lossy(&bytes))?;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let stop = CancellationToken::new();
    let clients = async {
        let all = [["one", "two"], ["uno", "dos"], ["eins", "zwei"]];
        let answers = try_join_all(all.iter().map(|words| say(&address, words))).await;
        stop.cancel();
        answers
    };
    // The server and its clients are one task on one thread: whoever waits makes room for the others.
    let (served, answers) = tokio::join!(
        serve(&listener, MOST, &stop, || (Echo::default(), ()), |_| ()),
        clients,
    );
    served?;
    for (number, answers) in (1..).zip(answers?) {
        writeln!(out, "client {number} over TCP: {}", answers.join(", "))?;
    }
    Ok(())
}
