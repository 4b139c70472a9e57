//! The first words with a server, before anybody is told a password: is this RabbitMQ, and new enough?
//!
//! The client library keeps the server's properties to itself, and on what is no AMQP it waits or says little. So one
//! connection is made for this alone: the protocol's header goes out, `connection.start` comes back, and that is all.

use std::io;

use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use muster_model::ErrorKind;

/// The oldest version that has what the port promises: expiry of messages in quorum queues came with it.
const LEAST: (u32, u32) = (3, 10);
const HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// Far more than any server's properties are.
const LARGEST: usize = 256 << 10;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    product: String,
    pub(super) version: String,
}

/// Why it is not what we look for.
pub(super) type Refusal = (ErrorKind, String);

/// Asks the other side what it is.
pub(super) async fn ask<S>(stream: &mut S) -> io::Result<Result<Server, Refusal>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(HEADER).await?;
    stream.flush().await?;
    let mut start = [0; 7];
    if let Err(error) = stream.read_exact(&mut start).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(Err((
                ErrorKind::Unavailable,
                "it hung up at AMQP's first words: something else answers at this port".to_owned(),
            )))
        } else {
            Err(error)
        };
    }
    let size = match frame_size(&start) {
        Ok(size) => size,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).await?;
    Ok(read_start(&payload).ok_or_else(no_amqp).and_then(judge))
}

fn no_amqp() -> Refusal {
    (
        ErrorKind::Invalid,
        "something that is no AMQP answers at this port: RabbitMQ's is 5672, over TLS 5671".to_owned(),
    )
}

/// Reads a frame's header: method, channel 0, and a size that can be.
fn frame_size(start: &[u8; 7]) -> Result<usize, Refusal> {
    match start {
        [1, 0, 0, size @ ..] => {
            let size = u32::from_be_bytes(*size) as usize;
            if size > LARGEST { Err(no_amqp()) } else { Ok(size) }
        }
        [0x15, 3, ..] => Err((
            ErrorKind::Invalid,
            "this port speaks TLS: write amqps:// in place of amqp://".to_owned(),
        )),
        [b'A', b'M', b'Q', b'P', ..] => Err((
            ErrorKind::Unsupported,
            "the server speaks another version of AMQP: 0-9-1 is needed, as RabbitMQ has it".to_owned(),
        )),
        _ => Err(no_amqp()),
    }
}

/// Reads `connection.start`: class 10, method 10, two bytes of version, the properties.
fn read_start(payload: &[u8]) -> Option<Server> {
    let mut rest = Reader(payload);
    if rest.take(4)? != [0, 10, 0, 10] {
        return None;
    }
    rest.take(2)?;
    let mut table = Reader(rest.long()?);
    let mut server = Server::default();
    while !table.0.is_empty() {
        let length = usize::from(*table.take(1)?.first()?);
        let name = table.take(length)?;
        let kind = *table.take(1)?.first()?;
        let value = table.value(kind)?;
        match name {
            b"product" => server.product = String::from_utf8_lossy(value).into_owned(),
            b"version" => server.version = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    Some(server)
}

/// Bytes that are read from the front, and never past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let size = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(size).ok()?)
    }

    /// Takes a value of a field table.
    fn value(&mut self, kind: u8) -> Option<&'a [u8]> {
        match kind {
            b'S' | b'F' | b'A' | b'x' => self.long(),
            b't' | b'b' | b'B' => self.take(1),
            b's' | b'u' | b'U' => self.take(2),
            b'I' | b'i' | b'f' => self.take(4),
            b'D' => self.take(5),
            b'l' | b'L' | b'd' | b'T' => self.take(8),
            b'V' => self.take(0),
            _ => None,
        }
    }
}

fn judge(server: Server) -> Result<Server, Refusal> {
    if server.product != "RabbitMQ" {
        let what: String = server.product.chars().take(60).collect();
        return Err((
            ErrorKind::Unsupported,
            format!("the server calls itself '{what}': RabbitMQ is needed"),
        ));
    }
    let mut numbers = server.version.split(['.', '-', '+']).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    };
    if version < LEAST {
        let found: String = server.version.chars().take(60).collect();
        return Err((
            ErrorKind::Unsupported,
            format!(
                "RabbitMQ {found} is too old: {}.{} or newer is needed",
                LEAST.0, LEAST.1
            ),
        ));
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `connection.start` as RabbitMQ sends it, with these properties.
    fn start(product: &str, version: &str) -> Vec<u8> {
        let mut table = Vec::new();
        let text = |table: &mut Vec<u8>, name: &str, value: &str| {
            table.push(name.len() as u8);
            table.extend(name.as_bytes());
            table.push(b'S');
            table.extend((value.len() as u32).to_be_bytes());
            table.extend(value.as_bytes());
        };
        table.extend(b"\x0ccapabilitiesF\0\0\0\x0a\x08confirmst\x01"[..].iter());
        // The inner table is read over by its length.
        let inner = b"\x08confirmst\x01";
        table.truncate(13);
        table.push(b'F');
        table.extend((inner.len() as u32).to_be_bytes());
        table.extend(inner);
        text(&mut table, "product", product);
        text(&mut table, "version", version);
        let mut payload = vec![0, 10, 0, 10, 0, 9];
        payload.extend((table.len() as u32).to_be_bytes());
        payload.extend(table);
        payload.extend(b"\0\0\0\x05PLAIN\0\0\0\x05en_US");
        payload
    }

    #[test]
    fn rabbitmq_is_known_by_its_first_words() {
        let server = read_start(&start("RabbitMQ", "3.10.8")).unwrap();
        assert_eq!(server.version, "3.10.8");
        assert!(judge(server).is_ok());
        for (version, ok) in [
            ("3.9.29", false),
            ("3.10.0", true),
            ("4.1.0-rc.1", true),
            ("", false),
            ("3", false),
        ] {
            let server = read_start(&start("RabbitMQ", version)).unwrap();
            assert_eq!(judge(server).is_ok(), ok, "{version}");
        }
        let (kind, why) = judge(read_start(&start("Else", "9.9")).unwrap()).unwrap_err();
        assert!(kind == ErrorKind::Unsupported && why.contains("'Else'"), "{why}");
    }

    #[test]
    fn a_start_that_ends_early_is_none() {
        let whole = start("RabbitMQ", "3.10.8");
        let table = whole.len() - 18;
        for length in 0..table {
            assert_eq!(read_start(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn other_answers_are_told_apart() {
        for (bytes, part) in [
            (b"HTTP/1.", "no AMQP"),
            (b"SSH-2.0", "no AMQP"),
            (b"AMQP\0\x01\0", "another version"),
            (b"\x15\x03\x03\0\x02\x02\x46", "amqps://"),
            (b"\x01\0\0\xff\xff\xff\xff", "no AMQP"),
        ] {
            let (_, why) = frame_size(bytes).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
