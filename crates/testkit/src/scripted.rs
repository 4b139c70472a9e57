//! A server that a script plays, for what no package installs: an old version, or something that is none of ours.
//!
//! It says what it is told to and knows nothing of what it plays: it stands in for no server in a test of how one works.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// How it speaks with a client.
type Conversation = dyn Fn(TcpStream) -> io::Result<()> + Send + Sync;

/// A scripted server. Dropping it ends it.
#[derive(Debug)]
pub struct Scripted {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    clients: Mutex<Vec<TcpStream>>,
}

impl Scripted {
    /// Starts one that answers each piece it hears; with nothing where that is empty.
    ///
    /// # Errors
    ///
    /// Where it cannot listen.
    pub fn start(script: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Result<Self> {
        Self::speaking(move |client| talk(client, &script))
    }

    /// Starts one that speaks with each client in this way, on a thread for each.
    pub(crate) fn speaking(
        conversation: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let failed = |error: io::Error| Error::io(Path::new("a scripted server"))(error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let shared = Arc::new(Shared::default());
        let inside = Arc::clone(&shared);
        let conversation: Arc<Conversation> = Arc::new(conversation);
        let thread = std::thread::Builder::new()
            .name("scripted".to_owned())
            .spawn(move || inside.listen(&listener, &conversation))
            .map_err(failed)?;
        Ok(Self {
            port,
            shared,
            thread: Some(thread),
        })
    }

    /// Starts a RabbitMQ of some version, which answers AMQP's first words and no others.
    ///
    /// # Errors
    ///
    /// As [`Scripted::start`].
    pub fn rabbitmq(version: &str) -> Result<Self> {
        let hello = connection_start(version);
        Self::start(move |heard| {
            if heard.starts_with(b"AMQP") {
                hello.clone()
            } else {
                Vec::new()
            }
        })
    }

    /// Starts a Redis of some version, which knows the begin of a conversation and no more.
    ///
    /// # Errors
    ///
    /// As [`Scripted::start`].
    pub fn redis(version: &str) -> Result<Self> {
        let told = format!("# Server\r\nredis_version:{version}\r\n");
        Self::start(move |heard| {
            let text = String::from_utf8_lossy(heard).to_uppercase();
            let commands = text.split('*').filter(|command| command.contains("\r\n$"));
            let answers = commands.map(|command| {
                if command.contains("\r\nINFO\r\n") {
                    format!("${}\r\n{told}\r\n", told.len())
                } else {
                    "+OK\r\n".to_owned()
                }
            });
            answers.collect::<String>().into_bytes()
        })
    }

    /// Starts a Memcached of some version, which tells that and no more.
    ///
    /// # Errors
    ///
    /// As [`Scripted::start`].
    pub fn memcached(version: &str) -> Result<Self> {
        let told = format!("VERSION {version}\r\n");
        Self::start(move |heard| {
            if heard == b"version\r\n" {
                told.clone().into_bytes()
            } else {
                b"ERROR\r\n".to_vec()
            }
        })
    }

    /// Returns its port of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Shared {
    fn listen(&self, listener: &TcpListener, conversation: &Arc<Conversation>) {
        std::thread::scope(|scope| {
            for client in listener.incoming() {
                if self.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let Ok(other) = client.try_clone() else { continue };
                let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
                clients.push(other);
                drop(clients);
                scope.spawn(move || drop(conversation(client)));
            }
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            for client in clients.iter() {
                let _ = client.shutdown(Shutdown::Both);
            }
        });
    }
}

/// Returns AMQP's `connection.start`, byte by byte as RabbitMQ sends it.
fn connection_start(version: &str) -> Vec<u8> {
    let long = |text: &[u8]| [&length(text).to_be_bytes(), text].concat();
    let property = |name: &[u8], value: &str| {
        let mut bytes = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
        bytes.extend(name);
        bytes.push(b'S');
        bytes.extend(long(value.as_bytes()));
        bytes
    };
    let table = [property(b"product", "RabbitMQ"), property(b"version", version)].concat();
    // Class 10, method 10, version 0-9.
    let mut method = vec![0, 10, 0, 10, 0, 9];
    for part in [table.as_slice(), b"PLAIN", b"en_US"] {
        method.extend(long(part));
    }
    // A method on channel 0, and the end of a frame.
    let mut frame = vec![1, 0, 0];
    frame.extend(long(&method));
    frame.push(0xce);
    frame
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn talk(mut client: TcpStream, script: &impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut heard = [0; 4096];
    loop {
        let count = client.read(&mut heard)?;
        if count == 0 {
            return Ok(());
        }
        client.write_all(&script(&heard[..count]))?;
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
