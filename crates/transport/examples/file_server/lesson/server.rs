//! The server's side of the file protocol: bytes come in, and bytes and wishes go out.
//!
//! A request is a line, `GET name` or `LIST`. Its answer is `OK size`, a line, and then so many bytes; or `ERR word
//! sentence`, a line. Requests may be sent ahead; they are answered in their order.

use super::super::protocol::{PIECE, Protocol, Step};
use super::name::{FileName, NAME_BYTES, Refusal};

/// The longest line: a word, a space, a name.
const LINE_BYTES: usize = NAME_BYTES + 8;

/// What the server cannot do by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Open the file: see [`Server::opened`].
    Open(FileName),
    /// Read the next bytes of the file that is open, at most so many: see [`Server::read`].
    Read(usize),
    /// Name the files: see [`Server::listed`].
    List,
}

/// A connection, as the server sees it.
#[derive(Debug, Default)]
pub(crate) struct Server {
    heard: Vec<u8>,
    says: Vec<u8>,
    doing: Doing,
    is_over: bool,
}

#[derive(Debug, Default)]
enum Doing {
    /// Waiting for a request.
    #[default]
    Listening,
    /// The file is to be opened.
    Opening(FileName),
    /// The file is open, and so many bytes of it are to be sent.
    Sending(u64),
    /// The names are to be told.
    Listing,
    /// Nothing more is said.
    HangingUp,
}

impl Server {
    /// Learns that the file is open, and how large it is; or why it is not.
    pub(crate) fn opened(&mut self, size: Result<u64, Refusal>) {
        self.doing = Doing::Listening;
        match size {
            Ok(size) => {
                self.says.extend_from_slice(format!("OK {size}\n").as_bytes());
                self.doing = Doing::Sending(size);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Takes the next bytes of the file: none where it is shorter than it was. The size has been promised, and what
    /// would be said now would pass for the file's contents: so the connection ends, which the client sees.
    pub(crate) fn read(&mut self, bytes: Vec<u8>) {
        if let Doing::Sending(left) = &mut self.doing {
            let count = bytes.len() as u64;
            if count == 0 || count > *left {
                self.doing = Doing::HangingUp;
                return;
            }
            *left -= count;
            self.says = bytes;
        }
    }

    /// Takes the names of the files.
    pub(crate) fn listed(&mut self, names: Result<&[FileName], Refusal>) {
        self.doing = Doing::Listening;
        match names {
            Ok(names) => {
                let text: String = names.iter().map(|name| format!("{name}\n")).collect();
                self.says
                    .extend_from_slice(format!("OK {}\n{text}", text.len()).as_bytes());
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        let line = format!("ERR {} {refusal}\n", refusal.word());
        self.says.extend_from_slice(line.as_bytes());
    }

    /// Takes a request from what was heard; tells whether there was one.
    fn request(&mut self) -> bool {
        let Some(end) = self.heard.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') else {
            if self.heard.len() < LINE_BYTES {
                return false;
            }
            // Where the next request begins is anybody's guess.
            self.refuse(Refusal::Request);
            self.doing = Doing::HangingUp;
            return true;
        };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        match &line[..end] {
            b"LIST" => self.doing = Doing::Listing,
            [b'G', b'E', b'T', b' ', name @ ..] => match FileName::parse(name) {
                Ok(name) => self.doing = Doing::Opening(name),
                Err(refusal) => self.refuse(refusal),
            },
            _ => self.refuse(Refusal::Request),
        }
        true
    }
}

impl Protocol for Server {
    type Wish = Wish;

    fn received(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn ended(&mut self) {
        self.is_over = true;
    }

    fn next(&mut self) -> Step<Wish> {
        loop {
            if !self.says.is_empty() {
                return Step::Send(std::mem::take(&mut self.says));
            }
            match &self.doing {
                Doing::Opening(name) => return Step::Wish(Wish::Open(name.clone())),
                Doing::Sending(0) => self.doing = Doing::Listening,
                Doing::Sending(left) => {
                    let most = usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE));
                    return Step::Wish(Wish::Read(most));
                }
                Doing::Listing => return Step::Wish(Wish::List),
                Doing::HangingUp => return Step::Close,
                Doing::Listening => {
                    if !self.request() {
                        return if self.is_over { Step::Close } else { Step::Receive };
                    }
                }
            }
        }
    }
}
