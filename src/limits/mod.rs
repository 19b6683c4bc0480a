//! How often a token may ask, and how often an address, or the micro service, may come with a wrong one.
//!
//! What is counted is in `bucket` and `logins`, which know no clock. Deliberately not here: whether a token is right
//! (`tripline_actors::access`), and the words of a dialect for a refusal.

mod bucket;
mod logins;

use bucket::Buckets;
pub(crate) use logins::Origin;
use logins::{Login, Logins};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;
use tripline_protocol::Span;

/// Settings of the limits; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitOptions {
    /// `limits.requests_per_second`: of one token, in the long run.
    pub requests_per_second: u32,
    /// `limits.requests_burst`: of one token, at once.
    pub requests_burst: u32,
    /// `limits.failed_logins_max`: from one address, or over the micro service, within a minute.
    pub failed_logins_max: u32,
}

/// A request that comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooEarly {
    /// After so many seconds it may come again.
    pub(crate) retry_after_seconds: u64,
}

impl TooEarly {
    fn after(wait: Span) -> Self {
        Self {
            retry_after_seconds: wait.as_millis().div_ceil(1000).max(1),
        }
    }
}

/// The limits, and what was counted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    requests: Mutex<Buckets>,
    logins: Mutex<Logins>,
}

/// Whose try a log-in is, and with what.
#[derive(Debug, Clone, Copy)]
struct Try {
    origin: Option<Origin>,
    credential: [u8; 32],
}

impl Limits {
    /// Nothing counted yet.
    pub fn new(options: LimitOptions) -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            requests: Mutex::new(Buckets::new(options.requests_per_second, options.requests_burst)),
            logins: Mutex::new(Logins::new(options.failed_logins_max)),
        }))
    }

    fn now(&self) -> Span {
        Span::from_millis(u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// A request of this token, or how long it has to wait.
    pub(crate) fn request(&self, token_id: &str) -> Result<(), TooEarly> {
        let taken = self.0.requests.lock().take(token_id, self.now());
        taken.map_err(|wait| {
            metrics::counter!("tripline_http_rate_limited_total").increment(1);
            TooEarly::after(wait)
        })
    }

    /// Looks a credential up, unless too many wrong ones came from there; `None`: it is wrong.
    ///
    /// # Errors
    /// It was not looked at, or what looks says so.
    pub(crate) fn log_in<T, E: From<TooEarly>>(
        &self,
        origin: Option<Origin>,
        credential: &str,
        look: impl FnOnce(&str) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let attempt = self.begin(origin, credential)?;
        let found = look(credential)?;
        self.end(&attempt, found.is_some());
        Ok(found)
    }

    /// Somebody comes with a credential. Refused, it is not to be looked at.
    fn begin(&self, origin: Option<Origin>, credential: &str) -> Result<Try, TooEarly> {
        let credential = Sha256::digest(credential).into();
        let attempt = Try { origin, credential };
        let Some(origin) = origin else {
            return Ok(attempt);
        };
        match self.0.logins.lock().begin(origin, &credential, self.now()) {
            Login::Look => Ok(attempt),
            Login::Wait(wait) => {
                metrics::counter!("tripline_http_logins_refused_total").increment(1);
                Err(TooEarly::after(wait))
            }
        }
    }

    /// How it went.
    fn end(&self, attempt: &Try, was_right: bool) {
        let Some(origin) = attempt.origin else { return };
        let mut logins = self.0.logins.lock();
        if was_right {
            return logins.right(origin, &attempt.credential, self.now());
        }
        metrics::counter!("tripline_http_logins_failed_total").increment(1);
        if logins.wrong(origin, self.now()) {
            tracing::warn!(
                address = %origin,
                "too many wrong tokens, keys and secrets; for a minute only those that were right from there before are looked at"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<Origin> {
        Some(Origin::Address([10, 0, 0, last].into()))
    }

    fn limits(requests: u32, logins: u32) -> Limits {
        Limits::new(LimitOptions {
            requests_per_second: requests,
            requests_burst: requests,
            failed_logins_max: logins,
        })
    }

    #[test]
    fn the_next_request_after_the_last_that_is_allowed_says_when_to_come_again() {
        let limits = limits(3, 0);
        // Frozen: three requests take no second.
        let refused = (0..4).find_map(|_| limits.request("a").err());
        assert_eq!(
            refused,
            Some(TooEarly {
                retry_after_seconds: 1
            })
        );
        assert_eq!(limits.request("b"), Ok(()));
    }

    #[test]
    fn wrong_credentials_close_an_address_to_all_but_those_that_were_right_there() {
        let limits = limits(0, 2);
        let (here, there) = (address(1), address(2));
        let good = limits.begin(here, "good").expect("looked at");
        limits.end(&good, true);
        for wrong in ["a", "b", "c"] {
            let attempt = limits.begin(here, wrong).expect("looked at");
            limits.end(&attempt, false);
        }
        let refused = limits.begin(here, "d").expect_err("not looked at");
        assert!((1..=60).contains(&refused.retry_after_seconds), "{refused:?}");
        assert!(limits.begin(here, "good").is_ok());
        assert!(limits.begin(there, "d").is_ok());
        assert!(limits.begin(None, "d").is_ok());
    }
}
