//! What `/metrics` says, and how fast it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The figures of one moment.
#[derive(Debug, Default)]
pub(super) struct Scrape(BTreeMap<String, Vec<Sample>>);

#[derive(Debug)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

/// Labels that a sample must have.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Scrape {
    /// Reads Prometheus' text format; `None` if it is another.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, sample) = Sample::parse(line)?;
            samples.entry(name.to_owned()).or_default().push(sample);
        }
        Some(Self(samples))
    }

    /// Whether there is such a family at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All samples of a name that have these labels, together.
    pub(super) fn sum(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.matching(name, labels)
            .fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The values that a label has in the samples of a name.
    pub(super) fn values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        self.matching(name, &[])
            .filter_map(|sample| sample.label(label))
            .collect()
    }

    /// The value of a label beside others.
    pub(super) fn label(&self, name: &str, labels: Labels<'_>, label: &str) -> Option<&str> {
        self.matching(name, labels)
            .find_map(|sample| sample.label(label))
    }

    fn matching(&self, name: &str, labels: Labels<'_>) -> impl Iterator<Item = &Sample> {
        let samples = self.0.get(name).map_or(&[][..], Vec::as_slice);
        samples.iter().filter(move |sample| {
            let mut labels = labels.iter();
            labels.all(|(label, value)| sample.label(label) == Some(*value))
        })
    }

    /// Bounds of a histogram's buckets in ascending order, with the counts up to each.
    fn buckets(&self, histogram: &str, labels: Labels<'_>) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.matching(&format!("{histogram}_bucket"), labels) {
            let bound = sample.label("le").and_then(|le| le.parse().ok());
            let Some(bound) = bound else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        buckets
    }
}

impl Sample {
    fn parse(line: &str) -> Option<(&str, Self)> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, behind) = rest.split_once("=\"")?;
                let (value, behind) = quoted(behind)?;
                labels.push((label.to_owned(), value));
                rest = behind.strip_prefix(',').unwrap_or(behind);
            }
            rest = &rest[1..];
        }
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some((name, Self { labels, value }))
    }

    fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels
            .find(|(label, _)| label == name)
            .map(|(_, value)| &**value)
    }
}

/// A text up to the quote that ends it, and what stands behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        value.push(match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => match rest.next()? {
                'n' => '\n',
                other => other,
            },
            other => other,
        });
    }
}

/// What has changed between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) before: &'a Scrape,
    pub(super) now: &'a Scrape,
    /// The time between them.
    pub(super) time: Duration,
}

impl Change<'_> {
    /// By how much a counter has grown in a second, on average.
    pub(super) fn rate(&self, name: &str, labels: Labels<'_>) -> f64 {
        let grown = self.now.sum(name, labels) - self.before.sum(name, labels);
        (grown / self.time.as_secs_f64()).max(0.0)
    }

    /// The value that a share of what has come into a histogram does not exceed, as good as its buckets tell; infinite if
    /// that is beyond the last bound, and `None` if nothing has come.
    pub(super) fn quantile(&self, histogram: &str, labels: Labels<'_>, share: f64) -> Option<f64> {
        let before = self.before.buckets(histogram, labels);
        let now = self.now.buckets(histogram, labels);
        let count_before = |bound: f64| {
            let mut found = before.iter().filter(|(known, _)| *known == bound);
            found.next().map_or(0.0, |(_, count)| *count)
        };
        let grown: Vec<(f64, f64)> = now
            .into_iter()
            .map(|(bound, count)| (bound, count - count_before(bound)))
            .collect();
        let (_, all) = *grown.last()?;
        if all <= 0.0 {
            return None;
        }
        let rank = share * all;
        let (mut below, mut count_below) = (0.0, 0.0);
        for (bound, count) in grown {
            if count >= rank {
                let within = (rank - count_below) / (count - count_below).max(1.0);
                return Some(if bound.is_finite() {
                    below + (bound - below) * within
                } else {
                    f64::INFINITY
                });
            }
            (below, count_below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{listener=\"a\",outcome=\"ok\"} 10
calls_total{listener=\"b\",outcome=\"ok\"} 5
time_bucket{le=\"0.1\"} 100
time_bucket{le=\"1\"} 100
time_bucket{le=\"+Inf\"} 100
";

    const NOW: &str = "\
calls_total{listener=\"a\",outcome=\"ok\"} 30
calls_total{listener=\"b\",outcome=\"ok\"} 5
calls_total{listener=\"q\\\"\\\\\\n,}\",outcome=\"bad\"} 2
time_bucket{le=\"0.1\"} 150
time_bucket{le=\"1\"} 190
time_bucket{le=\"+Inf\"} 200
up 1
";

    fn check(test: impl FnOnce(Change<'_>)) {
        let (before, now) = (Scrape::parse(BEFORE).unwrap(), Scrape::parse(NOW).unwrap());
        test(Change {
            before: &before,
            now: &now,
            time: Duration::from_secs(2),
        });
    }

    #[test]
    fn figures_are_added_up_by_their_labels() {
        check(|change| {
            let now = change.now;
            assert!(now.has("up") && !now.has("down"));
            assert_eq!(now.sum("calls_total", &[]), 37.0);
            assert_eq!(now.sum("calls_total", &[("outcome", "ok")]), 35.0);
            let listeners = now.values("calls_total", "listener");
            assert_eq!(
                listeners.into_iter().collect::<Vec<_>>(),
                ["a", "b", "q\"\\\n,}"]
            );
            let outcome = now.label("calls_total", &[("listener", "a")], "outcome");
            assert_eq!(outcome, Some("ok"));
        });
    }

    #[test]
    fn rates_are_per_second() {
        check(|change| {
            assert_eq!(change.rate("calls_total", &[("listener", "a")]), 10.0);
            assert_eq!(change.rate("calls_total", &[("listener", "b")]), 0.0);
            assert_eq!(change.rate("calls_total", &[("outcome", "bad")]), 1.0);
        });
    }

    #[test]
    fn quantiles_are_of_what_has_come_meanwhile() {
        check(|change| {
            let close = |share, expected: f64| {
                let found = change.quantile("time", &[], share).unwrap();
                assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
            };
            close(0.25, 0.05);
            close(0.5, 0.1);
            close(0.7, 0.55);
            assert_eq!(change.quantile("time", &[], 0.99), Some(f64::INFINITY));
            let nothing = Change {
                before: change.now,
                ..change
            };
            assert_eq!(nothing.quantile("time", &[], 0.5), None);
            assert_eq!(change.quantile("none", &[], 0.5), None);
        });
    }

    #[test]
    fn another_text_is_none() {
        for bad in ["<html>", "a{b=\"c} 1", "a{b} 1", "a x"] {
            assert!(Scrape::parse(bad).is_none(), "{bad}");
        }
    }
}
