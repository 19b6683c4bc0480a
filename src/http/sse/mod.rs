//! Answers that go on and on: server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! What all such streams have in common: signs of life, an end when the server stops or the token is in force no more,
//! and a bounded number ([`Places`]). What is told is the [`Source`]'s.

mod places;
mod query;
mod wire;

pub(super) use places::Place;
pub use places::Places;
pub(super) use query::{add, unknown};
pub(super) use wire::{block, reached};

use super::HttpState;
use super::auth::bearer;
use super::problem::ApiError;
use super::server::Stopping;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tripline_actors::access::Access;

/// Where a client that lost its connection goes on, as its browser or library says it.
const LAST_EVENT_ID: &str = "last-event-id";
/// How often there is a sign of life, and the token is looked at.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What a stream tells.
pub(super) trait Source: 'static {
    /// The place to go on from.
    type Place: Display;

    /// What is sent next; `None` at the end. May be dropped before it is done: then it is asked again, and nothing is
    /// lost by that.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError>;

    /// The place that was reached, if that is another than what was sent last tells.
    fn passed(&mut self) -> Option<Self::Place>;
}

/// A stream that has begun.
struct Open<S> {
    source: S,
    access: Arc<Access>,
    token: String,
    stopping: Option<Stopping>,
    alive: Interval,
    /// Free again when the stream ends.
    _place: Place,
}

/// The answer to a request for a stream. Its head means that the stream has begun.
pub(super) fn answer(
    request: &HttpRequest,
    state: &HttpState,
    place: Place,
    source: impl Source,
) -> HttpResponse {
    let mut alive = interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        source,
        access: state.access.clone(),
        token: bearer(request.headers()).unwrap_or_default().to_owned(),
        stopping: request.app_data::<Stopping>().cloned(),
        alive,
        _place: place,
    };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(open.stream())
}

impl<S: Source> Open<S> {
    fn stream(self) -> impl Stream<Item = Result<Bytes, ApiError>> {
        stream::try_unfold(self, async |mut open| {
            Ok(open.next().await?.map(|bytes| (bytes, open)))
        })
    }

    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        tokio::select! {
            () = stopped(&mut self.stopping) => Ok(None),
            _ = self.alive.tick() => match self.access.caller(&self.token) {
                Some(_) => Ok(Some(wire::alive(self.source.passed()))),
                None => Ok(None),
            },
            next = self.source.next() => next,
        }
    }
}

async fn stopped(stopping: &mut Option<Stopping>) {
    match stopping {
        Some(stopping) => stopping.stopped().await,
        None => std::future::pending().await,
    }
}

/// The place that the header of a client names which goes on. It comes before what its address once said.
pub(super) fn last_event_id<T: FromStr>(request: &HttpRequest) -> Result<Option<T>, ApiError> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let wrong =
        || ApiError::Parameter("header Last-Event-ID: expected the id of an event of this stream".into());
    match value.to_str().map_err(|_| wrong())? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_header_of_who_goes_on_is_a_place() {
        let id = |value: &str| {
            last_event_id::<u64>(
                &TestRequest::get()
                    .insert_header((LAST_EVENT_ID, value))
                    .to_http_request(),
            )
        };
        assert_eq!(id("41").expect("a sequence"), Some(41));
        assert_eq!(id("").expect("none"), None);
        for wrong in ["x", "-1", "1.5", "99999999999999999999"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
