//! Memcached: several servers, each with its share of the keys. How a value is kept is told in `head`.
//!
//! A key's server is found by rendezvous hashing: without one server, its keys alone move. Where it is only away they
//! do not, since two doors to one cache must never look at two servers.

mod faults;
mod head;
mod server;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::{join_all, try_join_all};
use memcache::exp::{Delete, Get, Meta, MutationStatus, Op, OpResult, Set};
use muster_model::ErrorKind;
use muster_runtime::Backoff;
use muster_runtime::clock::{monotonic, now, sleep};
use sha2::{Digest, Sha256};

use self::head::{Head, Piece};
use self::server::Server;
use self::settings::Settings;
use crate::error::Error;
use crate::port::Cache;
use crate::rules::{APPENDED_BYTES, SET_BYTES, check, check_key, check_size, ends_elsewhere, kept, refuse};

/// The longest name of an item.
const NAME_BYTES: usize = 250;
/// What is longer is a point in time for Memcached, in seconds.
const LONGEST_SPAN: u64 = 30 * 24 * 3600;
/// Several Memcached servers.
pub(crate) struct Memcached {
    servers: Vec<Server>,
    /// What a server is called where keys are shared out.
    places: Vec<String>,
    prefix: String,
    timeout: Duration,
}

impl Memcached {
    /// Opens it. Where a server is away now that is said in the log, and it is used when it is there.
    ///
    /// # Errors
    ///
    /// What will not pass by itself: a wrong URL, a server that is too old or none.
    pub(crate) async fn open(rest: &str) -> Result<Self, Error> {
        let settings = Settings::parse(rest)?;
        let memcached = Self {
            places: settings
                .hosts
                .iter()
                .map(|(host, port)| format!("{host}:{port}"))
                .collect(),
            servers: settings
                .hosts
                .into_iter()
                .map(|(host, port)| Server::new(host, port, settings.timeout))
                .collect(),
            prefix: settings.prefix,
            timeout: settings.timeout,
        };
        for checked in join_all(memcached.servers.iter().map(Server::check)).await {
            match checked {
                Err(error) if !error.kind.may_pass() => return Err(error),
                _ => {}
            }
        }
        Ok(memcached)
    }

    /// Returns what a key is called in Memcached. Keys that it does not take, and those that look like the names of
    /// pieces, go by their digest.
    fn name(&self, key: &str) -> String {
        let is_taken = key.bytes().all(|byte| byte.is_ascii_graphic()) && !key.starts_with('#');
        if is_taken && self.prefix.len() + key.len() <= NAME_BYTES {
            return format!("{}{key}", self.prefix);
        }
        let digest = Sha256::digest(key.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}##{digest}", self.prefix)
    }

    fn piece(&self, piece: Piece) -> String {
        format!("{}#{:016x}", self.prefix, piece.id)
    }

    /// Returns the place of an item's server.
    fn place(&self, name: &str) -> usize {
        let weight = |place: &String| {
            let mut hasher = Sha256::new();
            hasher.update(place.as_bytes());
            hasher.update([0]);
            hasher.update(name.as_bytes());
            <[u8; 32]>::from(hasher.finalize())
        };
        if self.places.len() == 1 {
            return 0;
        }
        let heaviest = (0..self.places.len()).max_by_key(|place| weight(&self.places[*place]));
        heaviest.unwrap_or(0)
    }

    async fn run(&self, what: &str, name: &str, operation: impl Into<Op>) -> Result<OpResult, Error> {
        let mut answers = self.servers[self.place(name)]
            .run(what, vec![operation.into()])
            .await?;
        let none = || {
            Error::new(
                ErrorKind::Internal,
                format!("{what}: an operation was not answered"),
            )
        };
        answers.pop().ok_or_else(none)
    }

    /// Runs one operation for each name, one round trip to each server at a time, and returns the answers in order.
    async fn run_many(&self, what: &str, operations: Vec<(String, Op)>) -> Result<Vec<OpResult>, Error> {
        let mut places = Vec::with_capacity(operations.len());
        let mut shares: Vec<Vec<Op>> = self.servers.iter().map(|_| Vec::new()).collect();
        for (name, operation) in operations {
            let place = self.place(&name);
            places.push(place);
            shares[place].push(operation);
        }
        let asked = self
            .servers
            .iter()
            .zip(shares)
            .map(|(server, share)| server.run_all(what, share));
        let mut answers = try_join_all(asked).await?;
        Ok(places
            .into_iter()
            .filter_map(|place| answers[place].pop_front())
            .collect())
    }

    /// Returns the head under a key and what it is compared by.
    async fn head(&self, what: &What<'_>) -> Result<Option<(Head, u64)>, Error> {
        let get = Get::new(&what.name).meta(Meta::default().cas());
        let answer = self.run(&what.text, &what.name, get).await?;
        read_head(what, answer)
    }

    /// Returns the bytes of pieces; None where one of them is gone, and with it the value.
    async fn pieces(&self, what: &What<'_>, pieces: &[Piece]) -> Result<Option<Vec<Bytes>>, Error> {
        let names = pieces.iter().map(|piece| self.piece(*piece));
        let operations = names.map(|name| {
            let get = Get::new(&name).into();
            (name, get)
        });
        let answers = self.run_many(&what.text, operations.collect()).await?;
        let bytes = answers
            .into_iter()
            .zip(pieces)
            .map(|(answer, piece)| match answer {
                OpResult::Get(found) => found
                    .value
                    .filter(|bytes| bytes.len() == piece.len as usize)
                    .map(Bytes::from),
                _ => None,
            });
        Ok(bytes.collect())
    }

    /// Reads a part of a value.
    async fn read(
        &self,
        what: &What<'_>,
        head: Head,
        cas: u64,
        from: u64,
        most: u64,
    ) -> Result<Option<Bytes>, Error> {
        let from = from.min(head.len());
        let to = from.saturating_add(most).min(head.len());
        let (pieces, begin) = head.within(from, to);
        let Some(found) = self.pieces(what, &pieces).await? else {
            self.forget(what, cas).await?;
            return Ok(None);
        };
        let tail_begin = head.len() - head.tail.len() as u64;
        let place = |at: u64, begin: u64, len: usize| {
            usize::try_from(at.saturating_sub(begin)).unwrap_or(len).min(len)
        };
        let mut part = BytesMut::with_capacity(usize::try_from(to - from).unwrap_or(0));
        let mut at = begin;
        for bytes in found {
            part.extend_from_slice(&bytes[place(from, at, bytes.len())..place(to, at, bytes.len())]);
            at += bytes.len() as u64;
        }
        if to > tail_begin {
            let tail = &head.tail;
            let (from, to) = (
                place(from, tail_begin, tail.len()),
                place(to, tail_begin, tail.len()),
            );
            if part.is_empty() {
                return Ok(Some(tail.slice(from..to)));
            }
            part.extend_from_slice(&tail[from..to]);
        }
        Ok(Some(part.freeze()))
    }

    /// Removes the head of a value that has lost a piece, unless it is another value by now.
    async fn forget(&self, what: &What<'_>, cas: u64) -> Result<(), Error> {
        let delete = Delete::new(&what.name).compare_cas(cas);
        self.run(&what.text, &what.name, delete).await.map(drop)
    }

    /// Writes new pieces.
    async fn write(&self, what: &What<'_>, pieces: Vec<(Piece, Bytes)>, until: u64) -> Result<(), Error> {
        for (piece, bytes) in pieces {
            let name = self.piece(piece);
            let set = Set::new(&name, &bytes).ttl_raw(at(until));
            self.run(&what.text, &name, set).await?;
        }
        Ok(())
    }

    /// Sees to it that a head's pieces live as long as it will; false where one of them is gone.
    async fn prolong(&self, what: &What<'_>, head: &mut Head, lifetime: Duration) -> Result<bool, Error> {
        if head.pieces.is_empty() || head.until >= wall() + seconds(lifetime) {
            return Ok(true);
        }
        // Twice as long, so that it is not asked for with each append.
        head.until = wall() + seconds(lifetime) * 2;
        let touch = |piece: &Piece| {
            let name = self.piece(*piece);
            let touch = Get::new(&name).without_value().touch_raw(at(head.until)).into();
            (name, touch)
        };
        let answers = self
            .run_many(&what.text, head.pieces.iter().map(touch).collect())
            .await?;
        Ok(answers
            .iter()
            .all(|answer| answer.as_get().is_some_and(|found| found.hit())))
    }

    /// Changes a value: `change` is asked until nobody else was faster.
    async fn change<T>(
        &self,
        what: &What<'_>,
        lifetime: Duration,
        change: impl Fn(Option<&Head>) -> Result<(Head, Vec<(Piece, Bytes)>, T), Error>,
    ) -> Result<T, Error> {
        let start = monotonic();
        let mut backoff = Backoff::new(Duration::from_micros(500), Duration::from_millis(20));
        loop {
            let mut there = self.head(what).await?;
            if let Some((head, cas)) = &mut there
                && !self.prolong(what, head, lifetime).await?
            {
                self.forget(what, *cas).await?;
                there = None;
            }
            let (mut head, new, result) = change(there.as_ref().map(|(head, _)| head))?;
            if !new.is_empty() {
                head.until = head.until.max(wall() + seconds(lifetime) * 2);
                self.write(what, new, head.until).await?;
            }
            let set = Set::new(&what.name, head.encode()).ttl_raw(span(lifetime));
            let set = match &there {
                Some((_, cas)) => set.compare_cas(*cas),
                None => set.add(),
            };
            if status(&self.run(&what.text, &what.name, set).await?) == Some(MutationStatus::Applied) {
                return Ok(result);
            }
            if monotonic().saturating_sub(start) > self.timeout {
                let what = format!("{}: too many change it at once", what.text);
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
            sleep(backoff.step()).await;
        }
    }

    fn what<'a>(&self, operation: &'static str, key: &'a str) -> What<'a> {
        let short: String = key.chars().take(60).collect();
        What {
            key,
            name: self.name(key),
            text: format!("{operation} {short:?}"),
        }
    }
}

/// What a call is about.
struct What<'a> {
    key: &'a str,
    /// What the key is called in Memcached.
    name: String,
    /// What is said in errors.
    text: String,
}

fn read_head(what: &What<'_>, answer: OpResult) -> Result<Option<(Head, u64)>, Error> {
    let OpResult::Get(found) = answer else {
        return Ok(None);
    };
    let cas = found.item.cas.unwrap_or(0);
    let Some(bytes) = found
        .value
        .filter(|_| found.status == memcache::exp::GetStatus::Hit)
    else {
        return Ok(None);
    };
    let foreign = || {
        let why = "the key holds a value of another program: give Muster a prefix of its own by ?prefix=";
        Error::new(ErrorKind::Conflict, format!("{}: {why}", what.text))
    };
    Head::decode(bytes)
        .map(|head| Some((head, cas)))
        .ok_or_else(foreign)
}

fn status(answer: &OpResult) -> Option<MutationStatus> {
    answer.as_mutation().map(|result| result.status)
}

/// Returns a lifetime as Memcached counts it. Its clock goes in steps of a second, so that one more is asked for: a
/// value lives no shorter than it was told.
fn seconds(lifetime: Duration) -> u64 {
    let lifetime = kept(lifetime);
    lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0) + 1
}

/// Returns the wall clock in seconds.
fn wall() -> u64 {
    u64::try_from(now().0 / 1_000_000).unwrap_or(0)
}

/// Returns a lifetime that begins now, as it is sent.
fn span(lifetime: Duration) -> u32 {
    let seconds = seconds(lifetime);
    if seconds <= LONGEST_SPAN {
        return u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    at(wall() + seconds)
}

/// Returns a point in time as it is sent.
fn at(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[async_trait]
impl Cache for Memcached {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        check_key("get", key)?;
        let what = self.what("get", key);
        match self.head(&what).await? {
            Some((head, cas)) => self.read(&what, head, cas, 0, u64::MAX).await,
            None => Ok(None),
        }
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        keys.iter().try_for_each(|key| check_key("get", key))?;
        let whats: Vec<What<'_>> = keys.iter().map(|key| self.what("get", key)).collect();
        let get = |what: &What<'_>| {
            let get = Get::new(&what.name).meta(Meta::default().cas()).into();
            (what.name.clone(), get)
        };
        let answers = self.run_many("get many", whats.iter().map(get).collect()).await?;
        let mut values = Vec::with_capacity(keys.len());
        for (what, answer) in whats.iter().zip(answers) {
            values.push(match read_head(what, answer)? {
                Some((head, cas)) => self.read(what, head, cas, 0, u64::MAX).await?,
                None => None,
            });
        }
        Ok(values)
    }

    async fn set(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<(), Error> {
        check("set", key, lifetime)?;
        check_size(value.len() as u64, SET_BYTES, "set", key)?;
        let what = self.what("set", key);
        let (mut head, new) = Head::of(value);
        head.until = wall() + seconds(lifetime) * 2;
        self.write(&what, new, head.until).await?;
        let set = Set::new(&what.name, head.encode()).ttl_raw(span(lifetime));
        self.run(&what.text, &what.name, set).await.map(drop)
    }

    async fn add(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<bool, Error> {
        check("add", key, lifetime)?;
        check_size(value.len() as u64, SET_BYTES, "add", key)?;
        let what = self.what("add", key);
        let (mut head, new) = Head::of(value);
        head.until = wall() + seconds(lifetime) * 2;
        self.write(&what, new, head.until).await?;
        let set = Set::new(&what.name, head.encode()).add().ttl_raw(span(lifetime));
        let answer = self.run(&what.text, &what.name, set).await?;
        Ok(status(&answer) == Some(MutationStatus::Applied))
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key("delete", key)?;
        let what = self.what("delete", key);
        let answer = self.run(&what.text, &what.name, Delete::new(&what.name)).await?;
        Ok(status(&answer) == Some(MutationStatus::Applied))
    }

    async fn increment(&self, key: &str, by: i64, lifetime: Duration) -> Result<i64, Error> {
        check("increment", key, lifetime)?;
        let what = self.what("increment", key);
        let refuse = |why| refuse(ErrorKind::Invalid, "increment", key, why);
        // Memcached's own counters have no sign and wrap around.
        let change = |there: Option<&Head>| {
            let before = there
                .map_or(Some(0), count)
                .ok_or_else(|| refuse("its value is no counter"))?;
            let after = before.checked_add(by);
            let after = after.ok_or_else(|| refuse("the counter would pass 63 bits"))?;
            let (head, new) = Head::of(after.to_string().into());
            Ok((head, new, after))
        };
        self.change(&what, lifetime, change).await
    }

    async fn append(&self, key: &str, at: u64, bytes: Bytes, lifetime: Duration) -> Result<u64, Error> {
        check("append", key, lifetime)?;
        let len = at.saturating_add(bytes.len() as u64);
        check_size(len, APPENDED_BYTES, "append", key)?;
        let what = self.what("append", key);
        let nothing = Head::default();
        let change = |there: Option<&Head>| {
            let head = there.unwrap_or(&nothing);
            if head.len() != at {
                return Err(ends_elsewhere(what.key, head.len(), at));
            }
            let (head, new) = head.appended(&bytes);
            Ok((head, new, len))
        };
        self.change(&what, lifetime, change).await
    }

    async fn range(&self, key: &str, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        check_key("range", key)?;
        let what = self.what("range", key);
        match self.head(&what).await? {
            Some((head, cas)) => self.read(&what, head, cas, from, most as u64).await,
            None => Ok(None),
        }
    }

    async fn touch(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        check("touch", key, lifetime)?;
        let what = self.what("touch", key);
        let get = Get::new(&what.name)
            .meta(Meta::default().cas())
            .touch_raw(span(lifetime));
        let answer = self.run(&what.text, &what.name, get).await?;
        let Some((mut head, cas)) = read_head(&what, answer)? else {
            return Ok(false);
        };
        let until = head.until;
        if !self.prolong(&what, &mut head, lifetime).await? {
            self.forget(&what, cas).await?;
            return Ok(false);
        }
        if head.until != until {
            // Who was faster has prolonged them too.
            let set = Set::new(&what.name, head.encode())
                .compare_cas(cas)
                .ttl_raw(span(lifetime));
            self.run(&what.text, &what.name, set).await?;
        }
        Ok(true)
    }

    async fn ping(&self) -> Result<(), Error> {
        try_join_all(self.servers.iter().map(Server::check))
            .await
            .map(drop)
    }
}

/// Reads a value as a counter, as strictly as it is printed.
fn count(head: &Head) -> Option<i64> {
    if !head.pieces.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(&head.tail).ok()?;
    let count: i64 = text.parse().ok()?;
    (count.to_string() == text).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memcached(places: &[&str]) -> Memcached {
        let server = |place: &&str| Server::new((*place).to_owned(), 1, Duration::from_secs(1));
        Memcached {
            servers: places.iter().map(server).collect(),
            places: places.iter().map(|place| (*place).to_owned()).collect(),
            prefix: "muster:".to_owned(),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn without_one_server_its_keys_alone_move() {
        let (three, two) = (memcached(&["a", "b", "c"]), memcached(&["a", "c"]));
        let mut counts = [0; 3];
        for number in 0..3000 {
            let name = three.name(&format!("output.{number}"));
            let place = three.place(&name);
            counts[place] += 1;
            if place != 1 {
                assert_eq!(three.places[place], two.places[two.place(&name)]);
            }
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn every_key_has_a_name_of_its_own_that_memcached_takes() {
        let memcached = memcached(&["a"]);
        let long = "k".repeat(250);
        let longer = format!("{}x", "k".repeat(249));
        let digest = memcached.name(&long).split_off("muster:".len());
        let keys = [
            "key",
            "#key",
            "ключ",
            &long,
            &longer,
            &digest,
            "#0000000000000001",
        ];
        let names: std::collections::HashSet<String> = keys.iter().map(|key| memcached.name(key)).collect();
        assert_eq!(names.len(), keys.len());
        for name in names {
            assert!(
                name.len() <= NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic()),
                "{name}"
            );
        }
    }

    #[test]
    fn lifetimes_are_rounded_up_and_long_ones_are_points_in_time() {
        for (lifetime, sent) in [(1, 2), (1000, 2), (1001, 3), (4000, 5)] {
            assert_eq!(span(Duration::from_millis(lifetime)), sent, "{lifetime}");
        }
        let month = Duration::from_secs(LONGEST_SPAN - 1);
        assert_eq!(u64::from(span(month)), LONGEST_SPAN);
        let longer = u64::from(span(Duration::from_secs(LONGEST_SPAN)));
        let expected = wall() + LONGEST_SPAN + 1;
        assert!((expected - 2..=expected).contains(&longer));
    }
}
