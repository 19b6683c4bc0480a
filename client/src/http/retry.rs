//! Asking again: what may be, how often, and for how long.

use super::Request;
use crate::error::{Error, Result};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause that is not the server's wish.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whenever it failed for a reason that passes: it may be taken twice.
    Freely,
    /// When it certainly was not taken: no connection came about, or the server itself said that it is busy.
    IfNotTaken,
}

impl Repeat {
    /// Whether what ended in `error` may be sent again, and has a chance to end otherwise.
    pub(crate) fn allows(self, error: &Error) -> bool {
        let (code, status) = (error.code(), error.status());
        let certainly_not_taken =
            (code == "unreachable" || code == "no_answer") && error.is_unsent() || is_polite(code, status);
        match self {
            Self::IfNotTaken => certainly_not_taken,
            Self::Freely => certainly_not_taken || is_passing(code, status),
        }
    }
}

/// The server refused it for now.
fn is_polite(code: &str, status: Option<u16>) -> bool {
    match status {
        Some(429) => true,
        Some(503) => matches!(code, "busy" | "unavailable"),
        _ => false,
    }
}

/// Connections that broke, gateways without a server.
fn is_passing(code: &str, status: Option<u16>) -> bool {
    match status {
        Some(status) => matches!(status, 408 | 502 | 503 | 504),
        None => matches!(code, "unreachable" | "no_answer"),
    }
}

/// A request that is sent until it is answered.
#[derive(Debug)]
pub(crate) struct Tries {
    pub(crate) request: Request,
    /// An answer was lost: only the server knows whether it took the request.
    is_lost: bool,
}

impl Tries {
    pub(crate) fn of(request: Request) -> Self {
        Self {
            request,
            is_lost: false,
        }
    }

    /// A server may keep as many keys as it can. As long as it certainly took nothing, it is asked without one then: a
    /// program that makes very much is not refused for that.
    pub(crate) fn failed(&mut self, error: &Error) {
        if !Repeat::IfNotTaken.allows(error) {
            self.is_lost = true;
        } else if !self.is_lost && error.status() == Some(503) && error.code() == "busy" {
            self.request = self.request.without_key();
        }
    }

    /// Nobody but the server knows whether it was taken.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }
}

/// Pauses that grow, until a stated time.
#[derive(Debug)]
pub(crate) struct Backoff {
    until: Instant,
    pause: Duration,
}

impl Backoff {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            until: Instant::now() + patience,
            pause: PAUSE_MIN,
        }
    }

    /// Waits before the next try after `error`; gives the error back when there is none.
    pub(crate) async fn again(&mut self, repeat: Repeat, error: Error) -> Result<()> {
        if repeat.allows(&error) && self.pause(error.retry_after()).await {
            tracing::debug!(%error, "asking again");
            return Ok(());
        }
        Err(error)
    }

    /// Waits before the next try; `false`: there is none, the time is over. What the server wishes counts.
    pub(crate) async fn pause(&mut self, wish: Option<Duration>) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Whoever wishes for no pause at all gets a short one.
        let pause = wish.map_or_else(|| jittered(self.pause), |wish| wish.max(PAUSE_MIN));
        let pause = pause.min(left);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        // Back-off with jitter: a server that restarts is not met by all its clients at once.
        tokio::time::sleep(pause).await;
        true
    }
}

/// Between a half and the whole, so that many clients do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 2000.0)
}
