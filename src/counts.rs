//! What code under test counts.

use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// The counters of a test.
pub(crate) struct Counts(PrometheusRecorder);

impl Counts {
    pub(crate) fn new() -> Self {
        Self(PrometheusBuilder::new().build_recorder())
    }

    /// Takes what this thread counts, until the guard is dropped.
    pub(crate) fn listen(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(&self.0)
    }

    /// What was counted under a name, with its labels as Prometheus writes them.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let text = self.0.handle().render();
        let count = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(count).unwrap_or_default()
    }
}
