//! Reads what the facts script says. Every byte of it comes from a stranger: what is too long, garbled or unknown is
//! left out, and no text keeps a character that could steer a terminal.

use std::net::{IpAddr, Ipv6Addr};

use super::{Disk, Facts, Os};
use crate::sanitise::is_treacherous;

/// The longest answer that is read, in bytes.
pub const ANSWER_BYTES: usize = 64 * 1024;
/// The longest text in [`Facts`], in bytes.
pub const TEXT_BYTES: usize = 256;
/// The most disks in [`Facts`].
pub const DISKS: usize = 64;
/// The most addresses in [`Facts`].
pub const ADDRESSES: usize = 256;
/// The most systems that one says it is like.
const LIKE: usize = 16;
/// The most processors that one machine can have.
const CPUS: u32 = 1 << 20;

/// What `df` lists on BSD and is no disk.
const NOT_DISKS: [&str; 6] = ["tmpfs", "devfs", "procfs", "fdescfs", "linprocfs", "linsysfs"];

const HEADER: &str = "muster-facts 1";
const END: &str = "end";

/// An answer that holds no facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Longer than any real answer.
    #[error(
        "the host's facts are {bytes} bytes long, the limit is {ANSWER_BYTES}: \
         look what the host prints for 'sh -c true', its login files may print much"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The script did not run, or something else answered.
    #[error(
        "the host did not answer with facts, but with '{shown}': \
         it needs a POSIX shell as 'sh', and an account that may run it"
    )]
    NotFacts {
        /// The beginning of what it said, harmless and clipped.
        shown: String,
    },
    /// The answer has a beginning and no end.
    #[error("the host's facts are cut off: the connection or the script ended early, gather them again")]
    CutOff,
}

/// Reads the answer of [`super::GATHER`]. Lines before its header, which login files print, are passed over.
///
/// # Errors
///
/// Where the answer is longer than [`ANSWER_BYTES`], or its header or its end is missing. What is wrong with a line
/// only leaves that fact empty.
pub fn parse(answer: &[u8]) -> Result<Facts, Error> {
    if answer.len() > ANSWER_BYTES {
        return Err(Error::TooLong { bytes: answer.len() });
    }
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
    if !lines.by_ref().any(|line| line == HEADER) {
        return Err(Error::NotFacts {
            shown: clean(&text, 60).unwrap_or_default(),
        });
    }
    let mut found = Found::default();
    for line in lines {
        if line == END {
            return Ok(found.facts());
        }
        if let Some((key, value)) = line.split_once('=') {
            found.take(key, value.trim());
        }
    }
    Err(Error::CutOff)
}

/// What the lines have said so far.
#[derive(Default)]
struct Found {
    facts: Facts,
    /// One line in place of os-release, on old systems.
    release: Option<String>,
    macos: Option<String>,
    /// When the machine started and what its clock says, in seconds, where it does not say for how long it is up.
    boot: Option<u64>,
    now: Option<u64>,
}

impl Found {
    fn take(&mut self, key: &str, value: &str) {
        let facts = &mut self.facts;
        match key {
            "kernel" => facts.kernel = text(value),
            "kernel_release" => facts.kernel_release = text(value),
            "arch" => facts.arch = text(value),
            "hostname" => facts.hostname = text(value),
            "virt" => facts.virt = text(value),
            "pkg" => facts.pkg = text(value),
            "init" => facts.init = text(value),
            "os-release.ID" => facts.os.id = text(&unquoted(value).to_lowercase()),
            "os-release.VERSION_ID" => facts.os.version = text(&unquoted(value)),
            "os-release.PRETTY_NAME" => facts.os.name = text(&unquoted(value)),
            "os-release.ID_LIKE" => facts.os.like = words(&unquoted(value)),
            "release" => self.release = text(value),
            "macos" => self.macos = text(value),
            "cpus" => facts.cpus = value.parse().ok().filter(|cpus| (1..=CPUS).contains(cpus)),
            "mem_kib" => facts.mem_bytes = kib(value),
            "mem_bytes" => facts.mem_bytes = value.parse().ok(),
            "swap_kib" => facts.swap_bytes = kib(value),
            "swap_bytes" => facts.swap_bytes = value.parse().ok(),
            "swapusage" => facts.swap_bytes = swapusage(value),
            "uptime" => facts.uptime_s = value.split(['.', ' ']).next().and_then(|s| s.parse().ok()),
            "boottime" => self.boot = boottime(value),
            "now" => self.now = value.parse().ok(),
            "disk" => self.disk(disk_of_statfs(value)),
            "df" => self.disk(disk_of_df(value)),
            "address" => self.address(value),
            _ => {}
        }
    }

    /// A later mount hides an earlier one at the same place.
    fn disk(&mut self, disk: Option<Disk>) {
        let Some(disk) = disk else { return };
        let disks = &mut self.facts.disks;
        match disks.iter().position(|known| known.mount == disk.mount) {
            Some(known) => disks[known] = disk,
            None if disks.len() < DISKS => disks.push(disk),
            None => {}
        }
    }

    fn address(&mut self, word: &str) {
        let addresses = &mut self.facts.addresses;
        if let Some(address) = address(word)
            && !address.is_loopback()
            && !address.is_unspecified()
            && addresses.len() < ADDRESSES
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }

    fn facts(mut self) -> Facts {
        if let (None, Some(boot), Some(now)) = (self.facts.uptime_s, self.boot, self.now) {
            self.facts.uptime_s = now.checked_sub(boot);
        }
        if self.facts.os.id.is_none() {
            self.facts.os = self.other_os();
        }
        self.facts
    }

    /// The operating system where there is no os-release.
    fn other_os(&self) -> Os {
        if let Some(release) = &self.release {
            return os_of_release(release);
        }
        if let Some(version) = &self.macos {
            return Os {
                id: Some("macos".to_owned()),
                version: Some(version.clone()),
                name: text(&format!("macOS {version}")),
                ..Os::default()
            };
        }
        match (self.facts.kernel.as_deref(), &self.facts.kernel_release) {
            (None | Some("Linux" | "Darwin"), _) | (_, None) => self.facts.os.clone(),
            // 14.0-RELEASE-p3 is version 14.0.
            (Some(kernel), Some(release)) => Os {
                id: text(&kernel.to_lowercase()),
                version: release.split('-').next().and_then(text),
                name: text(&format!("{kernel} {release}")),
                ..Os::default()
            },
        }
    }
}

/// "CentOS release 6.10 (Final)", "Red Hat Enterprise Linux Server release 6.9 (Santiago)".
fn os_of_release(release: &str) -> Os {
    let lower = release.to_lowercase();
    let first = lower.split_whitespace().next().unwrap_or_default();
    Os {
        id: Some(
            if lower.starts_with("red hat") {
                "rhel"
            } else {
                first
            }
            .to_owned(),
        ),
        like: Vec::new(),
        version: release
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .map(str::to_owned),
        name: Some(release.to_owned()),
    }
}

/// Returns at most [`TEXT_BYTES`] of a text, harmless; None where nothing is left.
fn text(value: &str) -> Option<String> {
    clean(value, TEXT_BYTES)
}

fn clean(value: &str, bytes: usize) -> Option<String> {
    let mut clean = String::new();
    for character in value.trim().chars() {
        let character = if matches!(character, '\n' | '\t') {
            ' '
        } else {
            character
        };
        if is_treacherous(character) {
            continue;
        }
        if clean.len() + character.len_utf8() > bytes {
            break;
        }
        clean.push(character);
    }
    (!clean.is_empty()).then_some(clean)
}

fn words(value: &str) -> Vec<String> {
    let words = value.split_whitespace().take(LIKE);
    words.filter_map(|word| text(&word.to_lowercase())).collect()
}

/// Takes the quoting of os-release(5) away, which is a shell's.
fn unquoted(value: &str) -> String {
    let inner = match value.as_bytes() {
        [b'\'', .., b'\''] => return value[1..value.len() - 1].to_owned(),
        [b'"', .., b'"'] => &value[1..value.len() - 1],
        _ => value,
    };
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => plain.extend(rest.next()),
            _ => plain.push(character),
        }
    }
    plain
}

fn kib(value: &str) -> Option<u64> {
    value.parse::<u64>().ok()?.checked_mul(1024)
}

/// macOS: `total = 2048.00M  used = 1024.00M  free = ...`.
fn swapusage(value: &str) -> Option<u64> {
    let total = value.strip_prefix("total = ")?.split_whitespace().next()?;
    crate::quantity::size(total).ok()
}

/// FreeBSD and macOS: `{ sec = 1699999999, usec = 0 } Tue ...`; OpenBSD: the number alone.
fn boottime(value: &str) -> Option<u64> {
    let number = value.strip_prefix("{ sec = ").unwrap_or(value);
    number.split([',', ' ']).next()?.parse().ok()
}

/// Size of a block, blocks, free blocks, device, mount; the last two as /proc/mounts writes them.
fn disk_of_statfs(value: &str) -> Option<Disk> {
    let mut words = value.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (block, blocks, free) = (number()?, number()?, number()?);
    let (device, mount) = (words.next()?, words.next()?);
    disk(
        &unescaped(device),
        &unescaped(mount),
        blocks.checked_mul(block)?,
        free.checked_mul(block)?,
    )
}

/// A line of `df -Pk`: device, size, used, free, share, mount. Device and mount may have spaces in them.
fn disk_of_df(value: &str) -> Option<Disk> {
    let (before, mount) = value.split_once("% ")?;
    let columns: Vec<&str> = before.split_whitespace().collect();
    let [device @ .., size, _used, free, _share] = columns.as_slice() else {
        return None;
    };
    let device = device.join(" ");
    if NOT_DISKS.contains(&device.as_str()) || device.starts_with("map ") {
        return None;
    }
    // Free space below what is kept for root is negative on BSD.
    let free = if free.starts_with('-') { Some(0) } else { kib(free) };
    disk(&device, mount.trim_start(), kib(size)?, free?)
}

fn disk(device: &str, mount: &str, size_bytes: u64, free_bytes: u64) -> Option<Disk> {
    let is_path = mount.starts_with('/') && mount.len() <= TEXT_BYTES;
    let disk = Disk {
        device: text(device)?,
        mount: text(mount).filter(|clean| is_path && clean == mount)?,
        size_bytes,
        free_bytes: free_bytes.min(size_bytes),
    };
    (size_bytes > 0).then_some(disk)
}

/// Takes the escapes of /proc/mounts away: `\040` is a space.
fn unescaped(word: &str) -> String {
    let mut parts = word.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// An address with a prefix or a zone, or the 32 digits of `/proc/net/if_inet6`.
fn address(word: &str) -> Option<IpAddr> {
    let plain = word.split(['/', '%']).next()?;
    if plain.len() == 32
        && let Ok(bits) = u128::from_str_radix(plain, 16)
    {
        return Some(IpAddr::V6(Ipv6Addr::from(bits)));
    }
    plain.parse().ok()
}

#[cfg(test)]
mod tests;
