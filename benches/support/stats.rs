//! Medians and percentiles.

use std::time::Duration;

/// The middle value; 0 without any.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Durations, to be asked for percentiles.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Adds those of another.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The mean in milliseconds; 0 without any.
    pub(crate) fn mean_ms(&self) -> f64 {
        let sum: Duration = self.0.iter().sum();
        sum.as_secs_f64() * 1e3 / self.0.len().max(1) as f64
    }

    /// The duration that `percent` of the samples do not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let at = self.0.get(self.0.len() * percent / 100);
        at.map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }

    /// Three cells of a table in milliseconds: what 50, 90 and 99 % of the samples do not exceed.
    pub(crate) fn cells(&mut self) -> String {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| self.percentile_ms(percent));
        format!("{p50:.2} | {p90:.2} | {p99:.2}")
    }
}
