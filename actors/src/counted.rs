//! What code under test counts.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: String = key.labels().map(|label| format!(" {}", label.value())).collect();
        let mut counters = self.0.lock();
        let counter = counters.entry(format!("{}{labels}", key.name())).or_default();
        Counter::from_arc(Arc::clone(counter))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// What `work` gives, and what it counts on this thread under `name`: a metric, and the values of its labels behind it.
pub(crate) fn counted<T>(name: &str, work: impl FnOnce() -> T) -> (T, u64) {
    let counters = Counters::default();
    let given = metrics::with_local_recorder(&counters, work);
    let count = counters
        .0
        .lock()
        .get(name)
        .map_or(0, |counter| counter.load(Ordering::Relaxed));
    (given, count)
}
