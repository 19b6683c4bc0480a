//! How many streams there may be: each costs some memory, and one of events a consumer of the broker.

use super::super::problem::ApiError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Most streams at a time.
const STREAMS_MAX: usize = 128;
/// Most streams of one token.
const STREAMS_PER_TOKEN_MAX: usize = 16;

/// The streams there are. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_token: HashMap<String, usize>,
    /// For the metric.
    by_kind: HashMap<&'static str, usize>,
}

/// The right to one stream, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Place {
    places: Places,
    token_id: String,
    kind: &'static str,
}

impl Places {
    /// A place for a stream of `events`, `jobs` or `hosts`. Refuses when there are enough.
    pub(in super::super) fn take(&self, token_id: &str, kind: &'static str) -> Result<Place, ApiError> {
        let mut taken = self.0.lock();
        if taken.all >= STREAMS_MAX {
            return Err(ApiError::TooManyStreams {
                limit: STREAMS_MAX,
                whose: "this server",
            });
        }
        let own = taken.by_token.entry(token_id.to_owned()).or_default();
        if *own >= STREAMS_PER_TOKEN_MAX {
            return Err(ApiError::TooManyStreams {
                limit: STREAMS_PER_TOKEN_MAX,
                whose: "one token",
            });
        }
        *own += 1;
        taken.all += 1;
        *taken.by_kind.entry(kind).or_default() += 1;
        taken.show(kind);
        Ok(Place {
            places: self.clone(),
            token_id: token_id.to_owned(),
            kind,
        })
    }
}

impl Taken {
    fn show(&self, kind: &'static str) {
        let count = self.by_kind.get(kind).copied().unwrap_or_default();
        // Far below 2^52.
        metrics::gauge!("tripline_http_event_streams", "of" => kind).set(count as f64);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_token.get_mut(&self.token_id) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_token.remove(&self.token_id);
            }
        }
        if let Some(count) = taken.by_kind.get_mut(self.kind) {
            *count = count.saturating_sub(1);
        }
        taken.show(self.kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    #[test]
    fn a_token_has_so_many_streams_and_gets_another_when_one_ends() {
        let places = Places::default();
        let mut held: Vec<Place> = (0..STREAMS_PER_TOKEN_MAX)
            .map(|_| places.take("a", "events").expect("a place"))
            .collect();
        let refused = places.take("a", "jobs").expect_err("no more");
        assert_eq!(refused.status_code(), 429);
        assert!(refused.to_string().contains("one token"), "{refused}");
        let _other = places.take("b", "jobs").expect("another token's");
        held.pop();
        held.push(places.take("a", "jobs").expect("again"));
        drop(held);
        assert_eq!(
            places.0.lock().by_token.len(),
            1,
            "tokens without streams are forgotten"
        );
    }

    #[test]
    fn all_tokens_together_have_so_many_streams() {
        let places = Places::default();
        let held: Vec<Place> = (0..STREAMS_MAX)
            .map(|number| places.take(&number.to_string(), "events").expect("a place"))
            .collect();
        assert!(
            places
                .take("more", "hosts")
                .expect_err("full")
                .to_string()
                .contains("this server")
        );
        drop(held);
        assert!(places.take("more", "jobs").is_ok());
    }
}
