//! Latencies in a histogram, and how they are reported.

use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Nanos;

/// Latencies between a microsecond and two minutes, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

/// What is told of a histogram, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        const LONGEST: Duration = Duration::from_secs(120);
        let histogram = Histogram::new_with_bounds(1_000, LONGEST.as_nanos() as u64, 3)
            .context("cannot make a histogram")?;
        Ok(Self { histogram })
    }

    pub(crate) fn record(&mut self, latency: Nanos) {
        self.histogram.saturating_record(latency);
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let us = |nanos: u64| nanos as f64 / 1_000.0;
        Quantiles {
            count: self.histogram.len(),
            p50_us: us(self.histogram.value_at_quantile(0.5)),
            p99_us: us(self.histogram.value_at_quantile(0.99)),
            p999_us: us(self.histogram.value_at_quantile(0.999)),
            max_us: us(self.histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new().unwrap();
        for us in 1..=1_000 {
            latencies.record(us * 1_000);
        }
        let quantiles = latencies.quantiles();
        assert_eq!(quantiles.count, 1_000);
        assert!((quantiles.p50_us - 500.0).abs() < 1.0, "{quantiles:?}");
        assert!((quantiles.p99_us - 990.0).abs() < 2.0, "{quantiles:?}");
        assert!((quantiles.max_us - 1_000.0).abs() < 2.0, "{quantiles:?}");
    }

    #[test]
    fn nothing_is_too_long_to_be_counted() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(u64::MAX);
        assert_eq!(latencies.quantiles().count, 1);
    }
}
