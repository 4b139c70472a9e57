//! The options of `ssh_config` that Muster honours, and how their values are read.

use std::time::Duration;

use super::keywords::WITHOUT_EFFECT;
use super::line;

/// What to do with a host whose key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StrictHostKeyChecking {
    /// Refuse it.
    Yes,
    /// Take its key and write it down.
    AcceptNew,
    /// `no` or `off` was written; Muster reads it as accept-new.
    Off,
}

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressFamily {
    /// Both.
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// What stands between here and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// No jump host (`ProxyJump none`); a later `ProxyCommand` still counts, as in OpenSSH.
    NoJump,
    /// Nothing (`ProxyCommand none`).
    Direct,
    /// Jump hosts, as written: tokens are not expanded yet.
    Jump(String),
    /// A command, which Muster does not run.
    Command,
}

/// One option with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    HostName(String),
    User(String),
    Port(u16),
    IdentityFile(String),
    CertificateFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    Proxy(Proxy),
    UserKnownHostsFile(Vec<String>),
    GlobalKnownHostsFile(Vec<String>),
    RevokedHostKeys(String),
    StrictHostKeyChecking(StrictHostKeyChecking),
    HostKeyAlias(String),
    ConnectTimeout(Option<Duration>),
    ServerAliveInterval(Duration),
    ServerAliveCountMax(u32),
    AddressFamily(AddressFamily),
    Ciphers(String),
    KexAlgorithms(String),
    Macs(String),
    HostKeyAlgorithms(String),
    PubkeyAuthentication(bool),
    PasswordAuthentication(bool),
    KbdInteractiveAuthentication(bool),
    PreferredAuthentications(Vec<String>),
    IgnoreUnknown(Vec<String>),
    Tag(String),
    RefuseConnection(String),
}

/// What the files say about one host. The first value of each option counts; files accumulate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) host_name: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) identity_files: Vec<String>,
    pub(crate) certificate_files: Vec<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) identity_agent: Option<String>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) user_known_hosts: Option<Vec<String>>,
    pub(crate) global_known_hosts: Option<Vec<String>>,
    pub(crate) revoked_host_keys: Option<String>,
    pub(crate) strict: Option<StrictHostKeyChecking>,
    pub(crate) host_key_alias: Option<String>,
    pub(crate) connect_timeout: Option<Option<Duration>>,
    pub(crate) alive_interval: Option<Duration>,
    pub(crate) alive_count: Option<u32>,
    pub(crate) address_family: Option<AddressFamily>,
    pub(crate) ciphers: Option<String>,
    pub(crate) kex: Option<String>,
    pub(crate) macs: Option<String>,
    pub(crate) host_key_algorithms: Option<String>,
    pub(crate) pubkey: Option<bool>,
    pub(crate) password: Option<bool>,
    pub(crate) keyboard_interactive: Option<bool>,
    pub(crate) preferred_authentications: Option<Vec<String>>,
    pub(crate) ignore_unknown: Option<Vec<String>>,
    pub(crate) tag: Option<String>,
    pub(crate) refuse: Option<String>,
}

impl Options {
    /// Takes a setting, unless an earlier one has decided.
    pub(crate) fn apply(&mut self, setting: &Setting) {
        fn first<T: Clone>(place: &mut Option<T>, value: &T) {
            if place.is_none() {
                *place = Some(value.clone());
            }
        }
        fn add(list: &mut Vec<String>, value: &String) {
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        match setting {
            Setting::HostName(value) => first(&mut self.host_name, value),
            Setting::User(value) => first(&mut self.user, value),
            Setting::Port(value) => first(&mut self.port, value),
            Setting::IdentityFile(value) => add(&mut self.identity_files, value),
            Setting::CertificateFile(value) => add(&mut self.certificate_files, value),
            Setting::IdentitiesOnly(value) => first(&mut self.identities_only, value),
            Setting::IdentityAgent(value) => first(&mut self.identity_agent, value),
            Setting::Proxy(value @ (Proxy::Direct | Proxy::Command)) if self.proxy == Some(Proxy::NoJump) => {
                self.proxy = Some(value.clone());
            }
            Setting::Proxy(value) => first(&mut self.proxy, value),
            Setting::UserKnownHostsFile(value) => first(&mut self.user_known_hosts, value),
            Setting::GlobalKnownHostsFile(value) => first(&mut self.global_known_hosts, value),
            Setting::RevokedHostKeys(value) => first(&mut self.revoked_host_keys, value),
            Setting::StrictHostKeyChecking(value) => first(&mut self.strict, value),
            Setting::HostKeyAlias(value) => first(&mut self.host_key_alias, value),
            Setting::ConnectTimeout(value) => first(&mut self.connect_timeout, value),
            Setting::ServerAliveInterval(value) => first(&mut self.alive_interval, value),
            Setting::ServerAliveCountMax(value) => first(&mut self.alive_count, value),
            Setting::AddressFamily(value) => first(&mut self.address_family, value),
            Setting::Ciphers(value) => first(&mut self.ciphers, value),
            Setting::KexAlgorithms(value) => first(&mut self.kex, value),
            Setting::Macs(value) => first(&mut self.macs, value),
            Setting::HostKeyAlgorithms(value) => first(&mut self.host_key_algorithms, value),
            Setting::PubkeyAuthentication(value) => first(&mut self.pubkey, value),
            Setting::PasswordAuthentication(value) => first(&mut self.password, value),
            Setting::KbdInteractiveAuthentication(value) => first(&mut self.keyboard_interactive, value),
            Setting::PreferredAuthentications(value) => first(&mut self.preferred_authentications, value),
            Setting::IgnoreUnknown(value) => first(&mut self.ignore_unknown, value),
            Setting::Tag(value) => first(&mut self.tag, value),
            Setting::RefuseConnection(value) => first(&mut self.refuse, value),
        }
    }
}

/// What a keyword means to Muster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An option with its value.
    Set(Setting),
    /// A known keyword without effect here.
    WithoutEffect,
    /// No keyword of OpenSSH.
    Unknown,
}

/// Reads the value of an option.
///
/// # Errors
///
/// What would be right, for people.
pub(crate) fn read(line: &line::Line) -> Result<Meaning, String> {
    let arguments = &line.arguments;
    let one = || match arguments.as_slice() {
        [value] if !value.is_empty() => Ok(value.clone()),
        [] => Err("it needs a value".to_owned()),
        _ => Err("it takes one value".to_owned()),
    };
    let many = || match arguments.as_slice() {
        [] => Err("it needs at least one value".to_owned()),
        values => Ok(values.to_vec()),
    };
    let setting = match line.keyword.as_str() {
        "hostname" => Setting::HostName(one()?),
        "user" => Setting::User(one()?),
        "port" => Setting::Port(port(&one()?)?),
        "identityfile" | "identityfile2" => Setting::IdentityFile(one()?),
        "certificatefile" => Setting::CertificateFile(one()?),
        "identitiesonly" => Setting::IdentitiesOnly(flag(&one()?)?),
        "identityagent" => Setting::IdentityAgent(one()?),
        "proxyjump" => match one()? {
            value if value.eq_ignore_ascii_case("none") => Setting::Proxy(Proxy::NoJump),
            value => Setting::Proxy(Proxy::Jump(value)),
        },
        // The rest of the line is the command: it may hold any number of words.
        "proxycommand" => match many()?.as_slice() {
            [value] if value.eq_ignore_ascii_case("none") => Setting::Proxy(Proxy::Direct),
            _ => Setting::Proxy(Proxy::Command),
        },
        "userknownhostsfile" => Setting::UserKnownHostsFile(many()?),
        "globalknownhostsfile" => Setting::GlobalKnownHostsFile(many()?),
        "revokedhostkeys" => Setting::RevokedHostKeys(one()?),
        "stricthostkeychecking" => Setting::StrictHostKeyChecking(strict(&one()?)?),
        "hostkeyalias" => Setting::HostKeyAlias(one()?),
        "connecttimeout" => Setting::ConnectTimeout(match one()? {
            value if value.eq_ignore_ascii_case("none") => None,
            value => Some(seconds(&value)?),
        }),
        "serveraliveinterval" => Setting::ServerAliveInterval(seconds(&one()?)?),
        "serveralivecountmax" => Setting::ServerAliveCountMax(
            one()?
                .parse()
                .map_err(|_| "it takes a number, such as 3".to_owned())?,
        ),
        "addressfamily" => Setting::AddressFamily(match one()?.to_ascii_lowercase().as_str() {
            "any" => AddressFamily::Any,
            "inet" => AddressFamily::Inet,
            "inet6" => AddressFamily::Inet6,
            _ => return Err("it is any, inet or inet6".to_owned()),
        }),
        "ciphers" => Setting::Ciphers(one()?),
        "kexalgorithms" => Setting::KexAlgorithms(one()?),
        "macs" => Setting::Macs(one()?),
        "hostkeyalgorithms" => Setting::HostKeyAlgorithms(one()?),
        "pubkeyauthentication" => Setting::PubkeyAuthentication(match one()?.to_ascii_lowercase().as_str() {
            "unbound" | "host-bound" => true,
            value => flag(value)?,
        }),
        "passwordauthentication" => Setting::PasswordAuthentication(flag(&one()?)?),
        "kbdinteractiveauthentication" => Setting::KbdInteractiveAuthentication(flag(&one()?)?),
        "preferredauthentications" => Setting::PreferredAuthentications(
            one()?.split(',').map(|method| method.trim().to_owned()).collect(),
        ),
        "ignoreunknown" => Setting::IgnoreUnknown(
            one()?
                .split(',')
                .map(|pattern| pattern.trim().to_ascii_lowercase())
                .collect(),
        ),
        "tag" => Setting::Tag(one()?),
        "refuseconnection" => Setting::RefuseConnection(one()?),
        keyword if WITHOUT_EFFECT.binary_search(&keyword).is_ok() => return Ok(Meaning::WithoutEffect),
        _ => return Ok(Meaning::Unknown),
    };
    Ok(Meaning::Set(setting))
}

fn port(value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "'{value}' is not a port: a port is a number from 1 to 65535"
        )),
    }
}

fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("'{value}' is neither yes nor no")),
    }
}

fn strict(value: &str) -> Result<StrictHostKeyChecking, String> {
    match value.to_ascii_lowercase().as_str() {
        // Nobody is there to be asked: the key is not known, so it is refused.
        "yes" | "true" | "ask" => Ok(StrictHostKeyChecking::Yes),
        "accept-new" => Ok(StrictHostKeyChecking::AcceptNew),
        "no" | "false" | "off" => Ok(StrictHostKeyChecking::Off),
        _ => Err(format!("'{value}' is not one of yes, accept-new, ask, no, off")),
    }
}

/// Reads a time as OpenSSH writes it: seconds, or parts with units, such as `1h30m`.
fn seconds(value: &str) -> Result<Duration, String> {
    let wrong = || format!("'{value}' is not a time: write seconds, or 30s, 5m, 1h30m");
    let mut total = 0_u64;
    let mut number = None;
    for c in value.chars() {
        if let Some(digit) = c.to_digit(10) {
            let grown = number
                .unwrap_or(0_u64)
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(grown.ok_or_else(wrong)?);
        } else {
            let unit = match c.to_ascii_lowercase() {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(wrong()),
            };
            let part = number.take().ok_or_else(wrong)?.checked_mul(unit);
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        }
    }
    if value.is_empty() {
        return Err(wrong());
    }
    total = total.checked_add(number.unwrap_or(0)).ok_or_else(wrong)?;
    // A year is as good as for ever, and keeps later sums from overflowing.
    Ok(Duration::from_secs(total.min(366 * 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_parts_with_units() {
        assert_eq!(seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(seconds("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(seconds("1m10"), Ok(Duration::from_secs(70)));
        for text in ["", "m", "-1", "1x", "99999999999999999999", "1.5"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (text, wanted) in [
            ("Port 0", "1 to 65535"),
            ("Port", "needs a value"),
            ("Port 1 2", "one value"),
            ("IdentitiesOnly maybe", "yes nor no"),
            ("StrictHostKeyChecking never", "accept-new"),
            ("AddressFamily ipv4", "inet6"),
        ] {
            let line = line::read(text).unwrap().unwrap();
            let problem = read(&line).unwrap_err();
            assert!(problem.contains(wanted), "{text}: {problem}");
        }
    }
}
