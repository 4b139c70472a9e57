//! Redis: one server, one behind Sentinel, or a cluster. What has to be atomic is one command or one script of it, and
//! every call is one round trip.

mod channels;
mod faults;
mod link;
mod scripts;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_runtime::clock::sleep;
use redis::{Cmd, FromRedisValue, cmd, pipe};

use self::channels::Listener;
use self::link::{Link, What, Work};
use self::scripts::Scripts;
use self::settings::Settings;
use crate::error::Error;
use crate::port::{Bits, Cache, Channels, Subscription};
use crate::rules::{
    APPENDED_BYTES, SET_BYTES, check, check_channel, check_key, check_message, check_size, ends_elsewhere,
    kept,
};

/// How many values one command asks for.
const KEYS_AT_ONCE: usize = 1000;

/// A Redis.
pub(crate) struct Redis {
    link: Arc<Link>,
    scripts: Scripts,
}

/// How often a server that is opened over TLS is asked again whose connection broke.
const HEARD_WITHIN: u32 = 5;
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Redis {
    /// Opens it. Where it is away now that is said in the log, and it is used when it is there.
    ///
    /// # Errors
    ///
    /// What will not pass by itself: a wrong URL or password, a certificate that is not trusted, a server that is too old.
    pub(crate) async fn open(scheme: &str, rest: &str) -> Result<Self, Error> {
        let link = Link::new(Settings::parse(scheme, rest)?);
        let redis = Self {
            link: Arc::new(link),
            scripts: Scripts::new(),
        };
        let mut answer = redis.ping().await;
        if redis.link.settings.is_tls {
            // A server that wants a certificate of ours breaks off behind the handshake (TLS 1.3), and the reason may be
            // lost with the connection. Asked again, it is heard.
            for _ in 0..HEARD_WITHIN {
                if answer.as_ref().err().is_none_or(|error| !error.kind.may_pass()) {
                    break;
                }
                sleep(ASKED_AGAIN_AFTER).await;
                answer = redis.ping().await;
            }
        }
        match answer {
            Err(error) if !error.kind.may_pass() => Err(error),
            _ => Ok(redis),
        }
    }

    /// Returns what a key is called in Redis.
    fn name(&self, key: &str) -> String {
        let mut name = String::with_capacity(self.link.settings.prefix.len() + key.len());
        name.push_str(&self.link.settings.prefix);
        name.push_str(key);
        name
    }

    async fn ask<T: FromRedisValue>(&self, what: What<'_>, command: Cmd) -> Result<T, Error> {
        self.link.call(what, Work::Command(command)).await
    }
}

fn reads<'a>(operation: &'static str, key: &'a str) -> What<'a> {
    What {
        operation,
        key,
        writes: false,
    }
}

fn writes<'a>(operation: &'static str, key: &'a str) -> What<'a> {
    What {
        operation,
        key,
        writes: true,
    }
}

/// Returns a lifetime as Redis counts it, rounded up.
fn milliseconds(lifetime: Duration) -> u64 {
    u64::try_from(kept(lifetime).as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[async_trait]
impl Cache for Redis {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        check_key("get", key)?;
        self.ask(reads("get", key), Cmd::get(self.name(key))).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        keys.iter().try_for_each(|key| check_key("get", key))?;
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut command = cmd("MGET");
            for key in keys {
                command.arg(self.name(key));
            }
            let key = keys.first().map_or("", String::as_str);
            let some: Vec<Option<Bytes>> = self.ask(reads("get many from", key), command).await?;
            values.extend(some);
        }
        Ok(values)
    }

    async fn set(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<(), Error> {
        check("set", key, lifetime)?;
        check_size(value.len() as u64, SET_BYTES, "set", key)?;
        let mut command = cmd("SET");
        command
            .arg(self.name(key))
            .arg(&value[..])
            .arg("PX")
            .arg(milliseconds(lifetime));
        self.ask(writes("set", key), command).await
    }

    async fn add(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<bool, Error> {
        check("add", key, lifetime)?;
        check_size(value.len() as u64, SET_BYTES, "add", key)?;
        let mut command = cmd("SET");
        command
            .arg(self.name(key))
            .arg(&value[..])
            .arg("PX")
            .arg(milliseconds(lifetime))
            .arg("NX");
        // It answers OK, or nothing where there is a value.
        let added: Option<String> = self.ask(writes("add", key), command).await?;
        Ok(added.is_some())
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key("delete", key)?;
        self.ask(writes("delete", key), Cmd::unlink(self.name(key))).await
    }

    async fn increment(&self, key: &str, by: i64, lifetime: Duration) -> Result<i64, Error> {
        check("increment", key, lifetime)?;
        let (name, lifetime) = (self.name(key), milliseconds(lifetime));
        let arguments = [by.to_string(), lifetime.to_string()];
        let arguments = arguments.each_ref().map(String::as_bytes);
        // As text: a script's numbers have 53 bits.
        let work = Work::Script(&self.scripts.increment, &name, &arguments);
        let count: String = self.link.call(writes("increment", key), work).await?;
        let broken = |error: std::num::ParseIntError| {
            Error::new(
                muster_model::ErrorKind::Corrupt,
                format!("increment {key:?}: a counter is no number"),
            )
            .caused_by(error)
        };
        count.parse().map_err(broken)
    }

    async fn append(&self, key: &str, at: u64, bytes: Bytes, lifetime: Duration) -> Result<u64, Error> {
        check("append", key, lifetime)?;
        let len = at.saturating_add(bytes.len() as u64);
        check_size(len, APPENDED_BYTES, "append", key)?;
        let (name, place, lifetime) = (self.name(key), at.to_string(), milliseconds(lifetime).to_string());
        let arguments = [place.as_bytes(), &bytes[..], lifetime.as_bytes()];
        let work = Work::Script(&self.scripts.append, &name, &arguments);
        let there: u64 = self.link.call(writes("append", key), work).await?;
        // The script tells where it found the end.
        if there != at {
            return Err(ends_elsewhere(key, there, at));
        }
        Ok(len)
    }

    async fn range(&self, key: &str, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        check_key("range", key)?;
        let name = self.name(key);
        let from = from.min(APPENDED_BYTES);
        let most = (most as u64).min(APPENDED_BYTES);
        let mut commands = pipe();
        commands.atomic();
        if most > 0 {
            let last = from + most - 1;
            commands.cmd("GETRANGE").arg(&name).arg(from).arg(last);
        } else {
            commands.cmd("ECHO").arg("");
        }
        // An empty part may be one of a value, or of none.
        commands.cmd("EXISTS").arg(&name);
        let what = reads("range", key);
        let (part, is_there): (Bytes, bool) = self.link.call(what, Work::Commands(commands)).await?;
        Ok(is_there.then_some(part))
    }

    async fn touch(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        check("touch", key, lifetime)?;
        let mut command = cmd("PEXPIRE");
        command.arg(self.name(key)).arg(milliseconds(lifetime));
        self.ask(writes("touch", key), command).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let pass = self.link.circuit.ask();
        let _pong: String = self
            .link
            .pass(pass, reads("ping", ""), Work::Command(Cmd::ping()))
            .await?;
        Ok(())
    }

    fn bits(&self) -> Result<&dyn Bits, Error> {
        Ok(self)
    }

    fn channels(&self) -> Result<&dyn Channels, Error> {
        Ok(self)
    }
}

#[async_trait]
impl Bits for Redis {
    async fn set_bit(&self, key: &str, at: u64, bit: bool, lifetime: Duration) -> Result<bool, Error> {
        check("set a bit of", key, lifetime)?;
        check_size(at / 8 + 1, APPENDED_BYTES, "set a bit of", key)?;
        let (name, lifetime) = (self.name(key), milliseconds(lifetime));
        let arguments = [at.to_string(), u8::from(bit).to_string(), lifetime.to_string()];
        let arguments = arguments.each_ref().map(String::as_bytes);
        let work = Work::Script(&self.scripts.set_bit, &name, &arguments);
        self.link.call(writes("set a bit of", key), work).await
    }

    async fn bit(&self, key: &str, at: u64) -> Result<bool, Error> {
        check_key("read a bit of", key)?;
        if at / 8 >= APPENDED_BYTES {
            return Ok(false);
        }
        let mut command = cmd("GETBIT");
        command.arg(self.name(key)).arg(at);
        self.ask(reads("read a bit of", key), command).await
    }

    async fn count_bits(&self, key: &str) -> Result<u64, Error> {
        check_key("count the bits of", key)?;
        let mut command = cmd("BITCOUNT");
        command.arg(self.name(key));
        self.ask(reads("count the bits of", key), command).await
    }
}

#[async_trait]
impl Channels for Redis {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), Error> {
        check_channel("publish to", channel)?;
        check_message(channel, &message)?;
        let mut command = cmd("PUBLISH");
        command.arg(self.name(channel)).arg(&message[..]);
        let _listeners: u64 = self.ask(writes("publish to", channel), command).await?;
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>, Error> {
        check_channel("subscribe to", channel)?;
        let listener = Listener::open(Arc::clone(&self.link), channel, self.name(channel)).await?;
        Ok(Box::new(listener))
    }
}
