//! What a process counts, for whoever watches it: counters, gauges and histograms, in the text form of OpenMetrics.
//!
//! Counting is an atomic add; nothing is done with what was counted until somebody asks, so that a server that has
//! nothing to do stays asleep. A label says one of a few things that are known beforehand (a state, a route, a
//! reason): never the name of a host, a user, a task or a command.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{counter, gauge, histogram};
use prometheus_client::registry::Registry;

/// The media type of [`Meters::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds, in seconds, for what is done in a moment: a commit, an answer.
pub const MOMENTS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Bounds, in seconds, for what may take its time: a login, a command.
pub const SPANS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
];
/// Bounds for how many there are of something.
pub const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// The value of a label.
pub type Word = Cow<'static, str>;
/// What one of a family is told apart by.
type Labels<const N: usize> = [(&'static str, Word); N];

/// Everything that one server counts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Meters(Arc<Mutex<Registry>>);

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

/// Grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(counter::Counter);

impl Counter {
    /// Counts one more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.inc_by(more);
    }
}

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(gauge::Gauge);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Counts one more for as long as what is returned is kept.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.0.inc();
        Entered(self.0.clone())
    }
}

/// See [`Gauge::enter`].
#[derive(Debug)]
pub struct Entered(gauge::Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How large something was, each time.
#[derive(Clone, Debug)]
pub struct Histogram(histogram::Histogram);

impl Histogram {
    /// Takes note of a value.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }

    /// Takes note of how long something took, in seconds.
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// Counters that labels tell apart.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    keys: [&'static str; N],
    family: Family<Labels<N>, counter::Counter>,
}

impl<const N: usize> Counters<N> {
    /// Returns the counter with these values of the labels, in the order of their keys. It is there from now on.
    #[must_use]
    pub fn of(&self, words: [Word; N]) -> Counter {
        Counter(self.family.get_or_create_owned(&labelled(self.keys, words)))
    }
}

/// Gauges that labels tell apart.
#[derive(Clone, Debug)]
pub struct Gauges<const N: usize> {
    keys: [&'static str; N],
    family: Family<Labels<N>, gauge::Gauge>,
}

impl<const N: usize> Gauges<N> {
    /// Returns the gauge with these values of the labels. It is there from now on.
    #[must_use]
    pub fn of(&self, words: [Word; N]) -> Gauge {
        Gauge(self.family.get_or_create_owned(&labelled(self.keys, words)))
    }

    /// Lets all of them go: what is not known is not said.
    pub fn forget(&self) {
        self.family.clear();
    }
}

/// Histograms that labels tell apart.
#[derive(Clone, Debug)]
pub struct Histograms<const N: usize> {
    keys: [&'static str; N],
    family: Family<Labels<N>, histogram::Histogram, Bounds>,
}

impl<const N: usize> Histograms<N> {
    /// Returns the histogram with these values of the labels. It is there from now on.
    #[must_use]
    pub fn of(&self, words: [Word; N]) -> Histogram {
        Histogram(self.family.get_or_create_owned(&labelled(self.keys, words)))
    }
}

fn labelled<const N: usize>(keys: [&'static str; N], words: [Word; N]) -> Labels<N> {
    let mut keys = keys.into_iter();
    words.map(|word| (keys.next().unwrap_or_default(), word))
}

#[derive(Clone, Debug)]
struct Bounds(&'static [f64]);

impl MetricConstructor<histogram::Histogram> for Bounds {
    fn new_metric(&self) -> histogram::Histogram {
        histogram::Histogram::new(self.0.iter().copied())
    }
}

/// What is looked up when somebody asks.
struct Sampled<F> {
    name: &'static str,
    help: String,
    grows: bool,
    read: F,
}

impl<F> fmt::Debug for Sampled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<F: Fn() -> Option<f64> + Send + Sync + 'static> Collector for Sampled<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(value) = (self.read)() else {
            return Ok(());
        };
        if self.grows {
            let value = ConstCounter::new(value);
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor(self.name, &self.help, None, kind)?)
        } else {
            let value = ConstGauge::new(value);
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor(self.name, &self.help, None, kind)?)
        }
    }
}

impl Meters {
    /// Adds a counter. Its name ends in `_total`, as it is exported.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let counter = counter::Counter::default();
        self.registry().register(stem(name), help, counter.clone());
        Counter(counter)
    }

    /// Adds counters that these labels tell apart. Their name ends in `_total`, as it is exported.
    #[must_use]
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        keys: [&'static str; N],
    ) -> Counters<N> {
        let family = Family::default();
        self.registry().register(stem(name), help, family.clone());
        Counters { keys, family }
    }

    /// Adds a gauge.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = gauge::Gauge::default();
        self.registry().register(name, help, gauge.clone());
        Gauge(gauge)
    }

    /// Adds gauges that these labels tell apart.
    #[must_use]
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        keys: [&'static str; N],
    ) -> Gauges<N> {
        let family = Family::default();
        self.registry().register(name, help, family.clone());
        Gauges { keys, family }
    }

    /// Adds a histogram with these upper bounds.
    #[must_use]
    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &'static [f64]) -> Histogram {
        let histogram = Bounds(bounds).new_metric();
        self.registry().register(name, help, histogram.clone());
        Histogram(histogram)
    }

    /// Adds histograms with these upper bounds that these labels tell apart.
    #[must_use]
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        keys: [&'static str; N],
        bounds: &'static [f64],
    ) -> Histograms<N> {
        let family = Family::new_with_constructor(Bounds(bounds));
        self.registry().register(name, help, family.clone());
        Histograms { keys, family }
    }

    /// Adds a value that is looked up when somebody asks; None: it is not known, and left out. `read` must not block,
    /// nor keep alive what holds these meters.
    pub fn sampled(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        let grows = name.ends_with("_total");
        self.registry().register_collector(Box::new(Sampled {
            name: stem(name),
            // As the registry has it for all others.
            help: format!("{help}."),
            grows,
            read,
        }));
    }

    /// Returns everything as text, of the type [`MEDIA_TYPE`].
    ///
    /// # Errors
    ///
    /// Where it cannot be written, which is a fault of ours.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The form adds the ending of counters itself.
fn stem(name: &'static str) -> &'static str {
    name.strip_suffix("_total").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_said_when_somebody_asks() {
        let meters = Meters::default();
        let runs = meters.counters("x_runs_total", "Runs", ["state"]);
        runs.of(["failed".into()]).add(2);
        runs.of(["failed".into()]).inc();
        let open = meters.gauge("x_open", "Open");
        let entered = open.enter();
        let times = meters.histogram("x_seconds", "Time", &[0.1, 1.0]);
        times.took(Duration::from_millis(500));
        meters.sampled("x_age_seconds", "Age", || Some(1.5));
        meters.sampled("x_unknown", "Not known", || None);
        meters.sampled("x_cpu_seconds_total", "Time of a processor", || Some(0.25));
        let text = meters.text().expect("text");
        for line in [
            "# HELP x_runs Runs.",
            "# TYPE x_runs counter",
            "x_runs_total{state=\"failed\"} 3",
            "x_open 1",
            "x_seconds_bucket{le=\"0.1\"} 0",
            "x_seconds_bucket{le=\"1.0\"} 1",
            "x_seconds_bucket{le=\"+Inf\"} 1",
            "x_seconds_sum 0.5",
            "# HELP x_age_seconds Age.",
            "x_age_seconds 1.5",
            "# TYPE x_cpu_seconds counter",
            "x_cpu_seconds_total 0.25",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert!(!text.contains("x_unknown"), "{text}");
        drop(entered);
        assert!(meters.text().expect("text").contains("\nx_open 0\n"));
    }
}
