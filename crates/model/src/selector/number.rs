//! Numbers with units: `8`, `1.5`, `8G`, `512MiB`, `30d`.

use std::fmt;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Things: it takes no unit.
    Count,
    /// Bytes.
    Size,
    /// Seconds.
    Time,
}

/// A unit: its name, what it measures, and how many bytes or seconds it is.
#[derive(Debug, PartialEq)]
pub(super) struct Unit {
    name: &'static str,
    pub(super) measure: Measure,
    factor: f64,
}

const KIB: f64 = 1024.0;

/// The units.
static UNITS: [Unit; 22] = [
    size("B", 1.0),
    size("K", KIB),
    size("k", KIB),
    size("KiB", KIB),
    size("M", KIB * KIB),
    size("MiB", KIB * KIB),
    size("G", KIB * KIB * KIB),
    size("GiB", KIB * KIB * KIB),
    size("T", KIB * KIB * KIB * KIB),
    size("TiB", KIB * KIB * KIB * KIB),
    size("kB", 1e3),
    size("KB", 1e3),
    size("MB", 1e6),
    size("GB", 1e9),
    size("TB", 1e12),
    time("ms", 0.001),
    time("s", 1.0),
    time("m", 60.0),
    time("min", 60.0),
    time("h", 3600.0),
    time("d", 86_400.0),
    time("w", 604_800.0),
];

const fn size(name: &'static str, factor: f64) -> Unit {
    Unit {
        name,
        measure: Measure::Size,
        factor,
    }
}

const fn time(name: &'static str, factor: f64) -> Unit {
    Unit {
        name,
        measure: Measure::Time,
        factor,
    }
}

/// Returns the unit of this name.
pub(super) fn unit(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.name == name)
}

/// A number as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) unit: Option<&'static Unit>,
}

impl Number {
    /// Returns it in bytes, seconds or things; without a unit it counts in `scale`.
    pub(super) fn absolute(self, scale: f64) -> f64 {
        self.value * self.unit.map_or(scale, |unit| unit.factor)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.unit.map_or("", |unit| unit.name))
    }
}
