//! Quantities as people type them: durations (`1h30m`), sizes (`64MiB`), amounts (`20` or `25%`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;

/// A quantity that could not be read; the message says what would be right.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not a duration.
    #[error("'{0}' is not a duration: write a number with a unit, such as 30s, 5m, 2h, 1d or 1h30m")]
    Duration(String),
    /// Below zero.
    #[error("'{0}' is negative: a duration is at least 1ms, such as 30s or 5m")]
    Negative(String),
    /// Too long.
    #[error("'{0}' is too long: a duration is at most 366 days")]
    TooLong(String),
    /// Zero.
    #[error("'{0}' is zero: a duration is at least 1ms, such as 30s or 5m")]
    Zero(String),
    /// Not a size.
    #[error("'{0}' is not a size: write a number with a unit, such as 512KiB, 64MiB or 2GiB")]
    Size(String),
    /// Not an amount.
    #[error("'{0}' is not an amount: write a number of hosts such as 20, or a share of them such as 25%")]
    Amount(String),
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Reads a duration: numbers with the units `ms s m h d w`, added up; a bare number counts seconds.
///
/// # Errors
///
/// Where the text is no duration, is negative or zero, or longer than 366 days.
pub fn duration(text: &str) -> Result<Duration, Invalid> {
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix('-')
        && rest.starts_with(|first: char| first.is_ascii_digit())
    {
        return Err(Invalid::Negative(clip(trimmed)));
    }
    let invalid = || Invalid::Duration(clip(trimmed));
    let mut total: f64 = 0.0;
    let mut rest = trimmed;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" if digits == trimmed.len() => 1.0,
            "ms" => 0.001,
            "s" | "sec" | "secs" => 1.0,
            "m" | "min" | "mins" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(invalid()),
        };
        total += number * unit;
        rest = &rest[letters..];
    }
    if total > limits::LONGEST.as_secs_f64() {
        return Err(Invalid::TooLong(clip(trimmed)));
    }
    let duration = Duration::from_secs_f64(total);
    if duration < Duration::from_millis(1) {
        return Err(Invalid::Zero(clip(trimmed)));
    }
    Ok(duration)
}

/// Reads a size in bytes: a number with `B`, `KiB`, `MiB`, `GiB`, `TiB` or `K M G T` (powers of 1024),
/// or `kB`, `KB`, `MB`, `GB`, `TB` (powers of 1000).
///
/// # Errors
///
/// Where the text is no size or does not fit 63 bits.
pub fn size(text: &str) -> Result<u64, Invalid> {
    let trimmed = text.trim();
    let invalid = || Invalid::Size(clip(trimmed));
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let number: f64 = trimmed[..digits].parse().map_err(|_| invalid())?;
    let unit: f64 = match trimmed[digits..].trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "K" | "k" | "KiB" => 1024.0,
        "M" | "MiB" => 1024.0 * 1024.0,
        "G" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        "T" | "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(invalid()),
    };
    let bytes = number * unit;
    if bytes >= 9.2e18 {
        return Err(invalid());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    Ok(bytes as u64)
}

/// A number of hosts, or a share of a task's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Amount {
    /// So many hosts.
    Hosts(u32),
    /// So many hundredths of the task's hosts.
    Percent(u8),
}

impl Amount {
    /// Returns the number of hosts that this is of `total`, rounded up, so that a share of a few hosts is
    /// never none.
    #[must_use]
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Hosts(hosts) => hosts,
            Self::Percent(percent) => {
                u32::try_from((u64::from(total) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

impl FromStr for Amount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let invalid = || Invalid::Amount(clip(trimmed));
        match trimmed.strip_suffix('%') {
            Some(percent) => match percent.trim().parse::<u8>() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(invalid()),
            },
            None => trimmed.parse().map(Self::Hosts).map_err(|_| invalid()),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => write!(f, "{hosts}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_their_parts_up() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
    }

    #[test]
    fn what_is_no_duration_is_named() {
        assert_eq!(duration("-5s"), Err(Invalid::Negative("-5s".into())));
        assert_eq!(duration("0s"), Err(Invalid::Zero("0s".into())));
        assert_eq!(duration("400d"), Err(Invalid::TooLong("400d".into())));
        for text in ["", "s", "5x", "1h5", "5 m", "--5s", "NaN", "inf", "1..5s", "-"] {
            assert_eq!(duration(text), Err(Invalid::Duration(text.into())), "{text}");
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("1MB"), Ok(1_000_000));
        for text in ["", "-1", "5XB", "1e30", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_a_few_hosts_is_never_none() {
        assert_eq!("1%".parse::<Amount>().map(|amount| amount.of(3)), Ok(1));
        assert_eq!("50%".parse::<Amount>().map(|amount| amount.of(5)), Ok(3));
        assert_eq!("0".parse::<Amount>().map(|amount| amount.of(5)), Ok(0));
        for text in ["101%", "-1", "%", "x", "1.5"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}
