//! The clock of the actors: a trait, so that tests can pause and turn it.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::SystemTime;
use tripline_protocol::{Span, Timestamp};

/// Tells the time of day. Never goes backwards within a process.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, held still while it is set back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: Mutex<Timestamp>,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let mut latest = self.latest.lock();
        *latest = (*latest).max(SystemTime::now().into());
        *latest
    }
}

/// A clock that stands still until it is turned.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// Turns it on.
    pub fn advance(&self, by: Span) {
        let mut now = self.0.lock();
        *now = now.after(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A time as people read it in reasons.
pub(crate) fn clock_text(time: Timestamp) -> String {
    Timestamp::from_micros(time.as_micros() / 1_000_000 * 1_000_000).to_string()
}
