//! A row of a table of figures, as it is kept in the file of results.

use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
    /// Billionths of a second.
    Nanoseconds,
    /// 2^20 bytes.
    MiB,
    /// 10^6 bytes a second.
    MegabytesPerSecond,
    /// So many a second.
    PerSecond,
    /// A number of things.
    Count,
    /// One number over another.
    Ratio,
    /// Hundredths.
    Percent,
}

impl Unit {
    /// The unit behind a column's name; empty where the number speaks for itself.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::MiB => "MiB",
            Self::MegabytesPerSecond => "MB/s",
            Self::PerSecond => "a second",
            Self::Percent => "%",
            Self::Count | Self::Ratio => "",
        }
    }

    /// A number in this unit as people read it: three digits that matter.
    pub(crate) fn show(self, value: f64) -> String {
        let size = value.abs();
        if self == Self::Count || size >= 1000.0 {
            return thousands(value);
        }
        match size {
            _ if size >= 100.0 => format!("{value:.0}"),
            _ if size >= 10.0 => format!("{value:.1}"),
            _ if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
            _ => format!("{value:.3}"),
        }
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// Returns the median of samples; NaN of none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// A number of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The column.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// The median of the samples.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// How many there were.
    pub samples: usize,
}

/// A row: one thing that was measured, with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The table that it stands in.
    pub table: String,
    /// What was measured; the first column.
    pub label: String,
    /// For plots of lines: the line that it is a point of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// What printed the figures.
    #[serde(default)]
    pub command: String,
    /// What a reader must know of this row; for example that three runs failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The numbers, in the order of the columns.
    pub figures: Vec<Figure>,
    /// When, to the minute, in UTC. Set when the row is added to results.
    #[serde(default)]
    pub at: String,
    /// On what machine. Set when the row is added to results.
    #[serde(default)]
    pub machine: String,
}

impl Row {
    /// Makes a row of a table.
    #[must_use]
    pub fn new(table: &str, label: &str) -> Self {
        Self {
            table: table.to_owned(),
            label: label.to_owned(),
            series: None,
            command: String::new(),
            note: String::new(),
            figures: Vec::new(),
            at: String::new(),
            machine: String::new(),
        }
    }

    /// Says what printed the figures.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        command.clone_into(&mut self.command);
        self
    }

    /// Says which line of a plot it is a point of.
    #[must_use]
    pub fn series(mut self, series: &str) -> Self {
        self.series = Some(series.to_owned());
        self
    }

    /// Says what a reader must know.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// Adds the median of samples; nothing where there are none.
    #[must_use]
    pub fn figure(mut self, name: &str, unit: Unit, samples: &[f64]) -> Self {
        if samples.is_empty() {
            return self;
        }
        self.figures.push(Figure {
            name: name.to_owned(),
            unit,
            median: median(samples),
            low: samples.iter().copied().fold(f64::INFINITY, f64::min),
            high: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            samples: samples.len(),
        });
        self
    }

    /// Returns a figure by the name of its column.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn numbers_are_shown_with_the_digits_that_matter() {
        let show = |value| Unit::Seconds.show(value);
        assert_eq!(show(0.0123), "0.012");
        assert_eq!(show(1.256), "1.26");
        assert_eq!(show(12.345), "12.3");
        assert_eq!(show(123.4), "123");
        assert_eq!(show(1_234_567.0), "1,234,567");
        assert_eq!(Unit::Count.show(7.0), "7");
        assert_eq!(show(-1500.0), "-1,500");
    }

    #[test]
    fn a_figure_keeps_its_spread_and_no_samples_are_no_figure() {
        let row = Row::new("t", "a")
            .figure("wall", Unit::Seconds, &[2.0, 1.0, 9.0])
            .figure("CPU", Unit::Seconds, &[]);
        let wall = row.get("wall").expect("is there");
        assert_eq!(
            (wall.median, wall.low, wall.high, wall.samples),
            (2.0, 1.0, 9.0, 3)
        );
        assert_eq!(row.get("CPU"), None);
    }
}
