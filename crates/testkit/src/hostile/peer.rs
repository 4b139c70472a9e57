//! One visitor of a hostile host, and the steps of an honest server up to the one at which a case begins.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use ring::signature::Ed25519KeyPair;

use super::cipher::{self, Gcm};
use super::exchange::{self, Proof, Said};
use super::host::{readable, until_hung_up};
use super::message as m;
use super::message::{Message, Reader};

const VERSION: &[u8] = b"SSH-2.0-stranger";

/// Our number of the client's first channel; those of later ones follow it.
const OURS: u32 = 40;

/// How far an honest server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The connection is accepted.
    Accepted,
    /// The version is said.
    Greeted,
    /// The first message of the key exchange is sent.
    KexInit,
    /// Both sides have new keys.
    NewKeys,
    /// The client has asked to be let in.
    AuthRequest,
    /// The client is in, and has asked for a channel.
    ChannelOpen,
    /// The channel is open, and the client has asked to run a command.
    Exec,
    /// The command runs, as far as the client knows.
    Running,
}

/// One visitor.
pub struct Peer {
    stream: TcpStream,
    key: Arc<Ed25519KeyPair>,
    /// What the client seals, and what we do.
    opening: Option<Gcm>,
    sealing: Option<Gcm>,
    client_version: Vec<u8>,
    session: Vec<u8>,
    step: Step,
    /// The client's number of its first channel, and the kind of window that it gets there.
    pub(super) channel: u32,
    pub(super) window: u32,
    pub(super) packet: u32,
    /// The command line of the first channel.
    pub(super) line: Vec<u8>,
    /// The client's numbers of its channels, by ours.
    channels: Vec<u32>,
    /// Whether a program that kills finds and ends the command.
    lets_kill: bool,
    resets: bool,
}

impl Peer {
    pub(super) fn new(stream: TcpStream, key: Arc<Ed25519KeyPair>) -> Self {
        Self {
            stream,
            key,
            opening: None,
            sealing: None,
            client_version: Vec::new(),
            session: Vec::new(),
            step: Step::Accepted,
            channel: 0,
            window: 1 << 21,
            packet: 1 << 15,
            line: Vec::new(),
            channels: Vec::new(),
            lets_kill: false,
            resets: false,
        }
    }

    /// From now on a command can be killed, also by way of another connection.
    pub(super) fn let_kill(&mut self) -> &mut Self {
        self.lets_kill = true;
        self
    }

    /// Does what an honest server does up to a step.
    pub(super) fn up_to(&mut self, step: Step) -> io::Result<()> {
        while self.step < step {
            self.step = match self.step {
                Step::Accepted => {
                    self.greet()?;
                    Step::Greeted
                }
                Step::Greeted => {
                    self.send(&exchange::usual())?;
                    Step::KexInit
                }
                Step::KexInit => {
                    let init = self.receive(m::KEXINIT)?;
                    self.exchange(&exchange::usual(), &init, Proof::Good)?;
                    Step::NewKeys
                }
                Step::NewKeys => {
                    self.receive(m::SERVICE_REQUEST)?;
                    self.send(&Message::new(m::SERVICE_ACCEPT).string("ssh-userauth").done())?;
                    self.receive(m::USERAUTH_REQUEST)?;
                    Step::AuthRequest
                }
                Step::AuthRequest => {
                    self.send(&[m::USERAUTH_SUCCESS])?;
                    let open = self.receive(m::CHANNEL_OPEN)?;
                    self.channel = opened(&open)?;
                    Step::ChannelOpen
                }
                Step::ChannelOpen => {
                    self.confirm(self.channel)?;
                    let request = self.receive(m::CHANNEL_REQUEST)?;
                    self.line = exec_line(&request)?.to_vec();
                    if self.lets_kill && self.attend_to(&request)? {
                        self.attend()?;
                    }
                    Step::Exec
                }
                Step::Exec => {
                    self.tell(m::CHANNEL_SUCCESS)?;
                    Step::Running
                }
                Step::Running => Step::Running,
            };
        }
        Ok(())
    }

    /// Says the version and reads the client's.
    pub(super) fn greet(&mut self) -> io::Result<()> {
        self.bytes(VERSION)?;
        self.bytes(b"\r\n")?;
        let mut byte = [0];
        while self.client_version.last() != Some(&b'\n') {
            self.stream.read_exact(&mut byte)?;
            self.client_version.extend_from_slice(&byte);
        }
        while self.client_version.last().is_some_and(u8::is_ascii_whitespace) {
            self.client_version.pop();
        }
        Ok(())
    }

    /// Finishes a key exchange whose first messages have been said.
    pub(super) fn exchange(
        &mut self,
        server_init: &[u8],
        client_init: &[u8],
        proof: Proof,
    ) -> io::Result<()> {
        let asked = self.receive(m::ECDH_INIT)?;
        let mut reader = Reader(&asked);
        reader.byte()?;
        let said = Said {
            client_version: &self.client_version,
            server_version: VERSION,
            client_init,
            server_init,
            point: reader.string()?,
        };
        let answer = exchange::answer(&self.key, &said, proof)?;
        self.send(&answer.reply)?;
        self.send(&[m::NEWKEYS])?;
        self.receive(m::NEWKEYS)?;
        if self.session.is_empty() {
            self.session = answer.hash().to_vec();
        }
        let (opening, sealing) = answer.keys(&self.session)?;
        self.opening = Some(opening);
        self.sealing = Some(sealing);
        Ok(())
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a message.
    pub(super) fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let packet = cipher::seal(self.sealing.as_mut(), payload)?;
        self.bytes(&packet)
    }

    /// Sends messages that arrive together.
    pub(super) fn send_together(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        let mut packets = Vec::new();
        for payload in payloads {
            packets.extend(cipher::seal(self.sealing.as_mut(), payload)?);
        }
        self.bytes(&packets)
    }

    /// Sends a message with as much padding as one likes.
    pub(super) fn send_padded(&mut self, payload: &[u8], padding: usize) -> io::Result<()> {
        let packet = cipher::padded(self.sealing.as_mut(), payload, padding)?;
        self.bytes(&packet)
    }

    /// Sends a message of one kind about the first channel.
    pub(super) fn tell(&mut self, kind: u8) -> io::Result<()> {
        self.send(&Message::new(kind).number(self.channel).done())
    }

    /// Sends output on the first channel; `code` is the one of another stream than the first.
    pub(super) fn output(&mut self, code: Option<u32>, bytes: &[u8]) -> io::Result<()> {
        self.send(&output(self.channel, code, bytes))
    }

    /// Reads a message.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        cipher::open(self.opening.as_mut(), &mut self.stream)
    }

    /// Reads up to a message of this kind.
    pub(super) fn receive(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        loop {
            let message = self.read()?;
            if message.first() == Some(&kind) {
                return Ok(message);
            }
        }
    }

    /// Waits for a request about the connection (a keepalive, or whether we are there) and reads those that come with
    /// it; returns how many answers are due.
    pub(super) fn requests(&mut self) -> io::Result<usize> {
        let mut due = 0;
        loop {
            if self.read()?.first() == Some(&m::GLOBAL_REQUEST) {
                due += 1;
            }
            if due > 0 {
                std::thread::sleep(Duration::from_millis(50));
                if !readable(&self.stream) {
                    return Ok(due);
                }
            }
        }
    }

    /// Opens a channel for the client.
    pub(super) fn confirm(&mut self, channel: u32) -> io::Result<()> {
        let ours = OURS + u32::try_from(self.channels.len()).map_err(io::Error::other)?;
        self.channels.push(channel);
        let (window, packet) = (self.window, self.packet);
        self.send(&confirmation(channel, ours, window, packet))
    }

    /// Ends the command of the first channel.
    pub(super) fn exit(&mut self, code: u32) -> io::Result<()> {
        self.send(&exit_status(self.channel, code))?;
        self.tell(m::CHANNEL_EOF)?;
        self.tell(m::CHANNEL_CLOSE)
    }

    /// Says nothing, reads nothing, and stays until the client has hung up.
    pub(super) fn silence(&mut self) -> io::Result<()> {
        until_hung_up(&self.stream, false)
    }

    /// Says one byte after the other, of something that never becomes whole.
    pub(super) fn drip(&mut self) -> io::Result<()> {
        if self.step >= Step::Greeted {
            self.bytes(&2000_u32.to_be_bytes())?;
        }
        loop {
            self.bytes(b"x")?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Says one thing for ever, and reads nothing.
    pub(super) fn flood(&mut self, payload: &[u8]) -> io::Result<()> {
        loop {
            self.send(payload)?;
        }
    }

    /// Says these things for ever, reads all, and lets its command be killed.
    pub(super) fn flood_until_killed(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        loop {
            for payload in payloads {
                self.send(payload)?;
            }
            while readable(&self.stream) {
                let message = self.read()?;
                if self.attend_to(&message)? {
                    return self.attend();
                }
            }
        }
    }

    /// Answers as an honest server does, and lets its command be killed, until the client hangs up.
    pub(super) fn attend(&mut self) -> io::Result<()> {
        loop {
            let message = self.read()?;
            self.attend_to(&message)?;
        }
    }

    /// Reads all and says nothing.
    pub(super) fn swallow(&mut self) -> io::Result<()> {
        until_hung_up(&self.stream, true)
    }

    /// Answers one message; tells whether that has killed the command.
    pub(super) fn attend_to(&mut self, message: &[u8]) -> io::Result<bool> {
        match message.first() {
            Some(&m::GLOBAL_REQUEST) => self.send(&[m::REQUEST_FAILURE])?,
            // Clients change keys after a gibibyte, and a flood gets there.
            Some(&m::KEXINIT) => {
                self.send(&exchange::usual())?;
                self.exchange(&exchange::usual(), message, Proof::Good)?;
            }
            Some(&m::CHANNEL_OPEN) => self.confirm(opened(message)?)?,
            Some(&m::CHANNEL_REQUEST)
                if exec_line(message).is_ok_and(|line| contains(line, b"muster-kill")) =>
            {
                self.kill(message)?;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Answers the program that kills: it found one process, which has ended.
    fn kill(&mut self, request: &[u8]) -> io::Result<()> {
        let ours = Reader(request.get(1..).unwrap_or_default()).number()?;
        let place = usize::try_from(ours.wrapping_sub(OURS)).map_err(io::Error::other)?;
        let channel = *self.channels.get(place).ok_or(io::ErrorKind::InvalidData)?;
        for answer in [
            Message::new(m::CHANNEL_SUCCESS).number(channel).done(),
            output(channel, None, b"muster-kill 1 1 0\n"),
            exit_status(channel, 0),
            Message::new(m::CHANNEL_EOF).number(channel).done(),
            Message::new(m::CHANNEL_CLOSE).number(channel).done(),
        ] {
            self.send(&answer)?;
        }
        if channel != self.channel {
            self.send(&exit_signal(self.channel, b"TERM", b""))?;
            self.tell(m::CHANNEL_CLOSE)?;
        }
        Ok(())
    }

    /// Closes its side of the connection.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Resets the connection.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&self.stream, sockopt::Linger, &linger)?;
        self.resets = true;
        Ok(())
    }

    /// Whether the connection is to be closed at once.
    pub(super) fn resets(&self) -> bool {
        self.resets
    }
}

/// The client's number of the channel that it asks for.
fn opened(open: &[u8]) -> io::Result<u32> {
    let mut reader = Reader(open);
    reader.byte()?;
    reader.string()?;
    reader.number()
}

/// The command line of a request to run one.
fn exec_line(request: &[u8]) -> io::Result<&[u8]> {
    let mut reader = Reader(request);
    reader.byte()?;
    reader.number()?;
    if reader.string()? != b"exec" {
        return Err(io::ErrorKind::InvalidData.into());
    }
    reader.byte()?;
    reader.string()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// A channel that is opened for the client.
pub(super) fn confirmation(theirs: u32, ours: u32, window: u32, packet: u32) -> Vec<u8> {
    Message::new(m::CHANNEL_OPEN_CONFIRMATION)
        .number(theirs)
        .number(ours)
        .number(window)
        .number(packet)
        .done()
}

/// Output on a channel.
pub(super) fn output(channel: u32, code: Option<u32>, bytes: &[u8]) -> Vec<u8> {
    match code {
        None => Message::new(m::CHANNEL_DATA).number(channel),
        Some(code) => Message::new(m::CHANNEL_EXTENDED_DATA)
            .number(channel)
            .number(code),
    }
    .string(bytes)
    .done()
}

/// A command's end.
pub(super) fn exit_status(channel: u32, code: u32) -> Vec<u8> {
    request(channel, "exit-status").number(code).done()
}

/// A command's end by a signal.
pub(super) fn exit_signal(channel: u32, name: &[u8], words: &[u8]) -> Vec<u8> {
    request(channel, "exit-signal")
        .string(name)
        .byte(0)
        .string(words)
        .string("")
        .done()
}

/// A request of the server about a channel, without a wish for an answer.
pub(super) fn request(channel: u32, what: &str) -> Message {
    Message::new(m::CHANNEL_REQUEST)
        .number(channel)
        .string(what)
        .byte(0)
}
