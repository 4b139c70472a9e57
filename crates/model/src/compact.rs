//! Hosts and facts in little memory, for those who keep all of an inventory: the texts of each lie in one piece.
//!
//! They are read from JSON without a detour, and tell as much as the records that they stand for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::facts::{Disk, Os};
use crate::host::{HostRecord, InvalidTarget};
use crate::inventory::CredentialName;
use crate::selector::{self, Mounted, Word};
use crate::{HostName, Reach};

/// Texts one after the other, some of them absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    text: Box<str>,
    /// Where each ends; with [`ABSENT`] where there is none.
    ends: Box<[u32]>,
}

const ABSENT: u32 = 1 << 31;

impl Texts {
    /// Puts texts together; None where they are gigabytes.
    fn of<'a>(texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Option<Self> {
        let bytes: usize = texts.clone().flatten().map(str::len).sum();
        if bytes >= ABSENT as usize {
            return None;
        }
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(texts.clone().count());
        for one in texts {
            text.push_str(one.unwrap_or_default());
            let end = u32::try_from(text.len()).ok()?;
            ends.push(if one.is_some() { end } else { end | ABSENT });
        }
        Some(Self {
            text: text.into_boxed_str(),
            ends: ends.into_boxed_slice(),
        })
    }

    fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        if end & ABSENT != 0 {
            return None;
        }
        let start = match place {
            0 => 0,
            _ => self.ends.get(place - 1)? & !ABSENT,
        };
        self.text.get(start as usize..end as usize)
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// What is wrong with a host or with facts that are kept so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name.
    #[error("its name is none")]
    Name(#[source] InvalidTarget),
    /// The name of the credential.
    #[error("the name of its credential is none")]
    Credential(#[source] crate::inventory::InvalidName),
    /// Larger than anything that is kept.
    #[error("its texts are gigabytes long")]
    TooLarge,
}

/// A text as JSON has it, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A host's labels as JSON has them.
#[derive(Default)]
pub struct Labels<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Labels(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| (&key.0, &value.0)))
            .finish()
    }
}

/// What a host is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its name.
    pub name: &'a str,
    /// The address.
    pub address: Option<&'a str>,
    /// The user.
    pub user: Option<&'a str>,
    /// The port.
    pub port: Option<u16>,
    /// How it is reached.
    pub reach: Option<Reach>,
    /// The name of its credential.
    pub credential: Option<&'a str>,
    /// The labels.
    pub labels: Labels<'a>,
}

/// A host of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name, address, user, credential; then the keys of labels, each with its value.
    texts: Texts,
    /// How long the name is: it is asked for most of all.
    name: usize,
    port: Option<u16>,
    reach: Option<Reach>,
}

/// Where the labels begin.
const LABELS: usize = 4;

impl Host {
    /// Makes a host of its parts.
    ///
    /// # Errors
    ///
    /// Where a name is none.
    pub fn new(parts: &Parts<'_>) -> Result<Self, Error> {
        HostName::check(parts.name).map_err(Error::Name)?;
        if let Some(name) = parts.credential {
            CredentialName::check(name).map_err(Error::Credential)?;
        }
        let labels = &parts.labels.0;
        let labels = labels.iter().flat_map(|(key, value)| [key, value]);
        let texts = [Some(parts.name), parts.address, parts.user, parts.credential]
            .into_iter()
            .chain(labels.map(|text| Some(text.0.as_ref())));
        Ok(Self {
            texts: Texts::of(texts).ok_or(Error::TooLarge)?,
            name: parts.name.len(),
            port: parts.port,
            reach: parts.reach,
        })
    }

    /// Returns the host as a record.
    ///
    /// # Errors
    ///
    /// Never, as long as names stay names.
    pub fn record(&self) -> Result<HostRecord, Error> {
        use selector::Host as _;
        let text = |place| self.texts.get(place).map(str::to_owned);
        let credential = self.credential().map(str::parse).transpose();
        Ok(HostRecord {
            name: self.name().parse().map_err(Error::Name)?,
            address: text(1),
            user: text(2),
            port: self.port,
            reach: self.reach,
            credential: credential.map_err(Error::Credential)?,
            labels: self
                .labels()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<BTreeMap<String, String>>(),
        })
    }

    fn labels(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        let count = self.texts.len().saturating_sub(LABELS) / 2;
        (0..count).filter_map(|label| {
            let place = LABELS + 2 * label;
            Some((self.texts.get(place)?, self.texts.get(place + 1)?))
        })
    }
}

impl selector::Host for Host {
    fn name(&self) -> &str {
        self.texts.text.get(..self.name).unwrap_or_default()
    }

    fn address(&self) -> Option<&str> {
        self.texts.get(1)
    }

    fn user(&self) -> Option<&str> {
        self.texts.get(2)
    }

    fn port(&self) -> Option<u16> {
        self.port
    }

    fn reach(&self) -> Option<Reach> {
        self.reach
    }

    fn credential(&self) -> Option<&str> {
        self.texts.get(3)
    }

    fn label(&self, key: &str) -> Option<&str> {
        // Where a key stands twice, the last one counts, as in every reader of JSON.
        self.labels()
            .rfind(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }
}

/// What is known of a host's system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The words, in the order of [`Word`]; then what it is like; then the device and the mount of each disk.
    texts: Texts,
    cpus: Option<u32>,
    mem_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    uptime_s: Option<u64>,
    /// The size of each disk, and what is free on it.
    disks: Box<[(u64, u64)]>,
    addresses: Box<[IpAddr]>,
}

/// How many words there are.
const WORDS: usize = 10;

impl Facts {
    fn likes(&self) -> usize {
        self.texts.len().saturating_sub(WORDS + 2 * self.disks.len())
    }

    /// Returns the facts as a record.
    #[must_use]
    pub fn record(&self) -> crate::facts::Facts {
        use selector::System as _;
        let word = |word| self.word(word).map(str::to_owned);
        let text = |place| self.texts.get(place).unwrap_or_default().to_owned();
        let first = WORDS + self.likes();
        let disks = self.disks.iter().enumerate();
        crate::facts::Facts {
            os: Os {
                id: word(Word::OsId),
                like: (WORDS..first).map(text).collect(),
                version: word(Word::OsVersion),
                name: word(Word::OsName),
            },
            kernel: word(Word::Kernel),
            kernel_release: word(Word::KernelRelease),
            arch: word(Word::Arch),
            hostname: word(Word::Hostname),
            cpus: self.cpus,
            mem_bytes: self.mem_bytes,
            swap_bytes: self.swap_bytes,
            disks: disks
                .map(|(place, (size_bytes, free_bytes))| Disk {
                    device: text(first + 2 * place),
                    mount: text(first + 2 * place + 1),
                    size_bytes: *size_bytes,
                    free_bytes: *free_bytes,
                })
                .collect(),
            addresses: self.addresses.to_vec(),
            virt: word(Word::Virt),
            uptime_s: self.uptime_s,
            pkg: word(Word::Pkg),
            init: word(Word::Init),
        }
    }
}

impl selector::System for Facts {
    fn word(&self, word: Word) -> Option<&str> {
        self.texts.get(word as usize)
    }

    fn cpus(&self) -> Option<u32> {
        self.cpus
    }

    fn mem_bytes(&self) -> Option<u64> {
        self.mem_bytes
    }

    fn swap_bytes(&self) -> Option<u64> {
        self.swap_bytes
    }

    fn uptime_s(&self) -> Option<u64> {
        self.uptime_s
    }

    fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    fn like(&self, place: usize) -> Option<&str> {
        (place < self.likes()).then(|| self.texts.get(WORDS + place))?
    }

    fn disk(&self, place: usize) -> Option<Mounted<'_>> {
        let (size_bytes, free_bytes) = *self.disks.get(place)?;
        Some(Mounted {
            mount: self.texts.get(WORDS + self.likes() + 2 * place + 1)?,
            size_bytes,
            free_bytes,
        })
    }
}

/// [`crate::facts::Facts`] with its texts borrowed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    os: SaidOs<'a>,
    kernel: Option<Text<'a>>,
    kernel_release: Option<Text<'a>>,
    arch: Option<Text<'a>>,
    hostname: Option<Text<'a>>,
    cpus: Option<u32>,
    mem_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    disks: Vec<SaidDisk<'a>>,
    addresses: Vec<IpAddr>,
    virt: Option<Text<'a>>,
    uptime_s: Option<u64>,
    pkg: Option<Text<'a>>,
    init: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidOs<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    like: Vec<Text<'a>>,
    version: Option<Text<'a>>,
    name: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidDisk<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    #[serde(borrow)]
    mount: Cow<'a, str>,
    size_bytes: u64,
    free_bytes: u64,
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = Said::deserialize(deserializer)?;
        // In the order of `Word`.
        let words: [&Option<Text<'_>>; WORDS] = [
            &said.os.id,
            &said.os.version,
            &said.os.name,
            &said.kernel,
            &said.kernel_release,
            &said.arch,
            &said.hostname,
            &said.virt,
            &said.pkg,
            &said.init,
        ];
        let words = words
            .into_iter()
            .map(|text| text.as_ref().map(|text| text.0.as_ref()));
        let like = said.os.like.iter().map(|text| Some(text.0.as_ref()));
        let disks = said.disks.iter();
        let disks = disks.flat_map(|disk| [Some(disk.device.as_ref()), Some(disk.mount.as_ref())]);
        let texts = Texts::of(words.chain(like).chain(disks));
        Ok(Self {
            texts: texts.ok_or_else(|| serde::de::Error::custom(Error::TooLarge))?,
            cpus: said.cpus,
            mem_bytes: said.mem_bytes,
            swap_bytes: said.swap_bytes,
            uptime_s: said.uptime_s,
            disks: said
                .disks
                .iter()
                .map(|disk| (disk.size_bytes, disk.free_bytes))
                .collect(),
            addresses: said.addresses.into_boxed_slice(),
        })
    }
}

#[cfg(test)]
mod tests;
