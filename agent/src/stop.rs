//! When a command has to end: its deadline, a cancellation, or the agent's own end.
//!
//! Verbs run on blocking threads. They ask [`Stop::check`] between small pieces of work, and whoever waits
//! for something registers a waker with [`Stop::on_stop`]. Nothing here ends a thread by force.

use parking::Mutex;
use std::time::{Duration, Instant};
use tripline_protocol::Fault;
use tripline_protocol::frame::{CODE_CANCELLED, CODE_INTERRUPTED};

/// A lock that a panicking holder does not spoil: what it guards here is valid after every statement.
pub(crate) mod parking {
    use std::sync::{MutexGuard, PoisonError};

    /// [`std::sync::Mutex`] without poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

/// How far away "no deadline" is.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Why a command has to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The server cancelled it.
    Cancelled,
    /// The agent stops.
    AgentStops,
}

type Waker = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    cause: Option<Cause>,
    wakers: Vec<Waker>,
}

/// Tells a running command when to end.
pub struct Stop {
    deadline: Instant,
    state: Mutex<State>,
}

impl Stop {
    /// For a command that may take `remaining` from now.
    pub fn after(remaining: Duration) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(remaining.min(FAR)).unwrap_or(now);
        Self {
            deadline,
            state: Mutex::default(),
        }
    }

    /// When the command's time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends the command; only the first cause counts.
    pub fn set(&self, cause: Cause) {
        let wakers = {
            let mut state = self.state.lock();
            if state.cause.is_some() {
                return;
            }
            state.cause = Some(cause);
            std::mem::take(&mut state.wakers)
        };
        for wake in wakers {
            wake();
        }
    }

    /// Calls `wake` once when a cause is set, at once if it already is. A deadline wakes nobody: who waits
    /// does so no longer than until [`Stop::deadline`].
    pub fn on_stop(&self, wake: impl Fn() + Send + 'static) {
        let mut state = self.state.lock();
        if state.cause.is_none() {
            state.wakers.push(Box::new(wake));
            return;
        }
        drop(state);
        wake();
    }

    /// The fault to answer with, once the command has to end.
    pub fn fault(&self) -> Option<Fault> {
        match self.state.lock().cause {
            Some(Cause::Cancelled) => Some(cancelled()),
            Some(Cause::AgentStops) => Some(Fault::server(
                CODE_INTERRUPTED,
                "the agent was stopped while the command ran",
            )),
            None if Instant::now() >= self.deadline => Some(Fault::timeout(
                "command_timeout",
                "the command took longer than it was given",
            )),
            None => None,
        }
    }

    /// An error once the command has to end.
    pub fn check(&self) -> Result<(), Fault> {
        self.fault().map_or(Ok(()), Err)
    }
}

/// What a cancelled command answers.
pub fn cancelled() -> Fault {
    Fault::server(CODE_CANCELLED, "the command was cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn the_first_cause_counts_and_wakes_once() {
        let stop = Stop::after(Duration::MAX);
        assert_eq!(stop.check(), Ok(()));
        let woken = Arc::new(AtomicU32::new(0));
        let count = woken.clone();
        stop.on_stop(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        stop.set(Cause::Cancelled);
        stop.set(Cause::AgentStops);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(
            stop.fault().map(|fault| fault.code),
            Some(CODE_CANCELLED.to_owned())
        );
    }

    #[test]
    fn a_waker_registered_late_is_called_at_once() {
        let stop = Stop::after(Duration::MAX);
        stop.set(Cause::AgentStops);
        let woken = Arc::new(AtomicU32::new(0));
        let count = woken.clone();
        stop.on_stop(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_command_without_time_left_is_a_timeout() {
        let fault = Stop::after(Duration::ZERO).fault().expect("over");
        assert_eq!(
            (fault.class, &*fault.code),
            (tripline_protocol::FaultClass::Timeout, "command_timeout")
        );
    }
}
