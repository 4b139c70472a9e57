//! A strict reader of the text form of OpenMetrics: what it does not know is wrong.

use std::collections::{BTreeMap, BTreeSet};

/// The kind of a family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts what falls below bounds.
    Histogram,
}

/// Labels in the order of their names.
type Labels = BTreeMap<String, String>;

/// What a server said at one moment.
#[derive(Debug, Default)]
pub struct Scrape {
    families: BTreeMap<String, Kind>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text
            .strip_suffix("# EOF\n")
            .ok_or("the text does not end with '# EOF' and a line break")?;
        let mut scrape = Self::default();
        let mut family: Option<(String, Kind)> = None;
        let mut helped: Option<String> = None;
        for (number, line) in body.lines().enumerate() {
            let read = match line.strip_prefix("# ") {
                Some(comment) => scrape.comment(comment, &mut helped, &mut family),
                None => scrape.sample(line, family.as_ref()),
            };
            read.map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
        }
        scrape.check_histograms()?;
        Ok(scrape)
    }

    /// Returns a sample; the labels stand in any order. None where there is none.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// Returns the sum of all samples of this name that have this label among theirs.
    #[must_use]
    pub fn sum(&self, name: &str, label: (&str, &str)) -> f64 {
        let has = |labels: &Labels| labels.get(label.0).is_some_and(|value| value == label.1);
        let samples = self.samples.iter();
        samples
            .filter(|((found, labels), _)| found == name && has(labels))
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns the names of all samples, as they stand in queries.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the values that a label has anywhere.
    #[must_use]
    pub fn label_values(&self) -> BTreeSet<&str> {
        let labels = self.samples.keys().flat_map(|(_, labels)| labels.values());
        labels.map(String::as_str).collect()
    }

    /// Returns the kind of a family, by its name without endings.
    #[must_use]
    pub fn kind(&self, family: &str) -> Option<Kind> {
        self.families.get(family).copied()
    }

    fn comment(
        &mut self,
        comment: &str,
        helped: &mut Option<String>,
        family: &mut Option<(String, Kind)>,
    ) -> Result<(), String> {
        let (word, rest) = comment.split_once(' ').ok_or("a comment without words")?;
        let (name, rest) = rest.split_once(' ').ok_or("nothing after the name")?;
        if !is_name(name) {
            return Err(format!("'{name}' is no name"));
        }
        match word {
            "HELP" if rest.ends_with('.') && !rest.ends_with("..") => {
                *helped = Some(name.to_owned());
                *family = None;
            }
            "HELP" => return Err("the help is no sentence".to_owned()),
            "TYPE" => {
                let kind = match rest {
                    "counter" => Kind::Counter,
                    "gauge" => Kind::Gauge,
                    "histogram" => Kind::Histogram,
                    _ => return Err(format!("'{rest}' is no kind")),
                };
                if helped.take().as_deref() != Some(name) {
                    return Err("there is no help before it".to_owned());
                }
                if self.families.insert(name.to_owned(), kind).is_some() {
                    return Err("it comes twice".to_owned());
                }
                *family = Some((name.to_owned(), kind));
            }
            _ => return Err(format!("'{word}' is not known")),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str, family: Option<&(String, Kind)>) -> Result<(), String> {
        let (family, kind) = family.ok_or("a sample outside of a family")?;
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, rest) = line.split_at(end);
        let ending = name
            .strip_prefix(family.as_str())
            .ok_or_else(|| format!("'{name}' is not of '{family}'"))?;
        let fits = match kind {
            Kind::Counter => ending == "_total",
            Kind::Gauge => ending.is_empty(),
            Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&ending),
        };
        if !fits {
            return Err(format!("the ending '{ending}' is none of a {kind:?}"));
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Labels::new(), rest),
        };
        let text = rest.strip_prefix(' ').ok_or("no space before the value")?;
        let value: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
        if *kind != Kind::Gauge && (value.is_nan() || value < 0.0) {
            return Err("it cannot be less than nothing".to_owned());
        }
        if self.samples.insert((name.to_owned(), labels), value).is_some() {
            return Err("it comes twice".to_owned());
        }
        Ok(())
    }

    /// Buckets grow with their bounds, and the last one counts all.
    fn check_histograms(&self) -> Result<(), String> {
        let mut series: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(family) = name.strip_suffix("_bucket") else {
                continue;
            };
            let mut labels = labels.clone();
            let bound = labels.remove("le").ok_or("a bucket without a bound")?;
            let bound = match bound.as_str() {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().map_err(|_| format!("'{bound}' is no bound"))?,
            };
            series.entry((family, labels)).or_default().push((bound, *value));
        }
        for ((family, labels), mut buckets) in series {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            if !buckets.is_sorted_by(|one, other| one.1 <= other.1) {
                return Err(format!("{family} {labels:?}: the buckets do not grow"));
            }
            let of = |ending| self.samples.get(&(format!("{family}{ending}"), labels.clone()));
            let last = buckets.last().copied();
            if last != of("_count").map(|count| (f64::INFINITY, *count)) || of("_sum").is_none() {
                return Err(format!("{family} {labels:?}: the last bucket is not the count"));
            }
        }
        Ok(())
    }
}

/// Reads labels up to the bracket that ends them, and returns what follows.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || name.contains(':') {
            return Err(format!("'{name}' is no name of a label"));
        }
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().ok_or("a value without an end")? {
                (at, '"') => break at,
                (_, '\\') => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    _ => return Err("what is escaped need not be".to_owned()),
                },
                (_, c) => value.push(c),
            }
        };
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label '{name}' comes twice"));
        }
        let after = &after[end + 1..];
        if let Some(after) = after.strip_prefix('}') {
            return Ok((labels, after));
        }
        rest = after.strip_prefix(',').ok_or("no comma between labels")?;
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_read() {
        let text = "# HELP a A.\n# TYPE a counter\na_total{x=\"1\\\"\",y=\"\"} 3\n# HELP b B.\n# TYPE b histogram\n\
                    b_sum 2.5\nb_count 2\nb_bucket{le=\"1.0\"} 1\nb_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let scrape = Scrape::parse(text).expect("it is right");
        assert_eq!(scrape.value("a_total", &[("y", ""), ("x", "1\"")]), Some(3.0));
        assert_eq!(scrape.value("a_total", &[]), None);
        assert_eq!(scrape.sum("a_total", ("y", "")), 3.0);
        assert_eq!(scrape.kind("b"), Some(Kind::Histogram));
        assert_eq!(scrape.names().len(), 4);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let head = "# HELP a A.\n# TYPE a gauge\n";
        for body in [
            "a 1\na 1\n",
            "a_total 1\n",
            "b 1\n",
            "a\n",
            "a  1\n",
            "a 1 \n",
            "a one\n",
            "a{} 1\n",
            "a{x=\"1} 1\n",
            "a{x=\"1\"y=\"2\"} 1\n",
            "a{x=\"1\",x=\"2\"} 1\n",
            "a{x=\"\\t\"} 1\n",
            "\n",
            "# TYPE b gauge\n",
            "# HELP b\n",
            "# HELP a A.\n# TYPE a gauge\n",
        ] {
            assert!(Scrape::parse(&format!("{head}{body}# EOF\n")).is_err(), "{body}");
        }
        assert!(Scrape::parse(&format!("{head}a 1\n")).is_err(), "no end");
        assert!(Scrape::parse("a 1\n# EOF\n").is_err(), "no family");
        let histogram = "# HELP a A.\n# TYPE a histogram\na_sum 1\na_count 2\n";
        for buckets in [
            "a_bucket{le=\"1\"} 3\na_bucket{le=\"+Inf\"} 2\n",
            "a_bucket{le=\"+Inf\"} 1\n",
            "a_bucket{le=\"1\"} 2\n",
        ] {
            assert!(
                Scrape::parse(&format!("{histogram}{buckets}# EOF\n")).is_err(),
                "{buckets}"
            );
        }
    }
}
