//! The word between a server that was started on demand and its starter: one line of JSON on the server's
//! standard output, after which the server lets go of everything that it has of its starter.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use muster_model::Problem;
use muster_model::problem::Code;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::paths::cannot;

/// The longest word.
const WORD_BYTES: u64 = 64 * 1024;

/// How the start went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// The socket answers.
    Ready(bool),
    /// The server cannot serve.
    Problem(Box<Problem>),
}

/// Tells the starter how the start went.
pub(super) fn tell(outcome: Result<(), &Problem>) {
    let word = match outcome {
        Ok(()) => Word::Ready(true),
        Err(problem) => Word::Problem(Box::new(problem.clone())),
    };
    let mut out = std::io::stdout().lock();
    // The starter may have gone; the next client finds the server all the same.
    let _ = serde_json::to_writer(&mut out, &word)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

/// Closes standard input and output to the outside: the starter sees the end of the pipe.
pub(super) fn let_go() -> Result<(), Problem> {
    let null = Path::new("/dev/null");
    let opened = File::options().read(true).write(true).open(null);
    let opened = opened.map_err(|error| cannot(null, "opened", &error))?;
    nix::unistd::dup2_stdin(&opened)
        .and_then(|()| nix::unistd::dup2_stdout(&opened))
        .map_err(|errno| cannot(null, "used", &errno.into()))
}

/// Reads how the start went.
pub(super) async fn hear(from_server: impl AsyncRead + Unpin, log: &Path) -> Result<(), Problem> {
    let mut line = String::new();
    let read = BufReader::new(from_server.take(WORD_BYTES))
        .read_line(&mut line)
        .await;
    match (read, serde_json::from_str(&line)) {
        (Ok(_), Ok(Word::Ready(true))) => Ok(()),
        (Ok(_), Ok(Word::Problem(problem))) => Err(*problem),
        _ => Err(
            Problem::new(Code::Unavailable, "the server ended before it was ready")
                .hint(format!("its log may say why: {}", log.display())),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_starter_hears_what_went_wrong() {
        let log = Path::new("/x/server.log");
        let problem = Problem::new(Code::InvalidDatabase, "it is a picture");
        let word = serde_json::to_string(&Word::Problem(Box::new(problem.clone()))).expect("a word");
        assert_eq!(hear(format!("{word}\n").as_bytes(), log).await, Err(problem));
        assert_eq!(hear(&b"{\"ready\":true}\n"[..], log).await, Ok(()));
        for silence in ["", "{\"ready\":false}\n", "{\"rea", "Segmentation fault\n"] {
            let problem = hear(silence.as_bytes(), log).await.expect_err(silence);
            assert_eq!(problem.code, Code::Unavailable);
            assert!(problem.hint.is_some_and(|hint| hint.contains("/x/server.log")));
        }
    }
}
