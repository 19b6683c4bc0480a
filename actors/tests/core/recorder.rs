//! A recorder of metrics through which tests see figures of the actors and make one of them panic: an actor
//! that touches an armed metric on an armed thread does. Nothing in the actors knows of it.

use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;

#[derive(Default)]
struct Shared {
    gauges: Mutex<HashMap<(ThreadId, String), f64>>,
    counters: Mutex<HashMap<(ThreadId, String), Arc<AtomicU64>>>,
    armed: Mutex<HashMap<ThreadId, &'static str>>,
}

static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();

struct PanickingRecorder(Arc<Shared>);

struct Kept {
    shared: Arc<Shared>,
    name: (ThreadId, String),
}

impl GaugeFn for Kept {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.shared
            .gauges
            .lock()
            .unwrap()
            .insert(self.name.clone(), value);
    }
}

impl PanickingRecorder {
    fn touch(&self, key: &Key) {
        let thread = std::thread::current().id();
        let mut armed = self.0.armed.lock().unwrap();
        if armed.get(&thread).is_some_and(|name| *name == key.name()) {
            armed.remove(&thread);
            drop(armed);
            panic!("this test wants {} to panic", key.name());
        }
    }
}

impl Recorder for PanickingRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.touch(key);
        let labels: String = key.labels().map(|label| format!(" {}", label.value())).collect();
        let name = (std::thread::current().id(), format!("{}{labels}", key.name()));
        let mut counters = self.0.counters.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(name).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.touch(key);
        Gauge::from_arc(Arc::new(Kept {
            shared: Arc::clone(&self.0),
            name: (std::thread::current().id(), key.name().to_owned()),
        }))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.touch(key);
        Histogram::noop()
    }
}

/// Records from now on, once for all tests of the process.
pub(crate) fn install() {
    SHARED.get_or_init(|| {
        let shared = Arc::new(Shared::default());
        let recorder = PanickingRecorder(Arc::clone(&shared));
        assert!(
            metrics::set_global_recorder(recorder).is_ok(),
            "somebody else records"
        );
        shared
    });
}

/// The last value of a gauge on a thread.
pub(crate) fn gauge(thread: ThreadId, name: &str) -> Option<f64> {
    let gauges = SHARED.get().unwrap().gauges.lock().unwrap();
    gauges.get(&(thread, name.to_owned())).copied()
}

/// What was counted on a thread under a name with the values of its labels behind it.
pub(crate) fn counter(thread: ThreadId, name: &str) -> u64 {
    let counters = SHARED.get().unwrap().counters.lock().unwrap();
    let counter = counters.get(&(thread, name.to_owned()));
    counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// Makes the next actor on this thread that touches this metric panic, once.
pub(crate) fn arm(thread: ThreadId, name: &'static str) {
    SHARED.get().unwrap().armed.lock().unwrap().insert(thread, name);
}
