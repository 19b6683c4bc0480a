//! `GET /v1/streams/jobs` and `GET /v1/streams/hosts`: changes of jobs and hosts as server-sent events.
//!
//! They come from the actors, not from the broker: they go on while it is away. What all streams have in common is in
//! `sse`; which changes there are, and how many are kept for slow readers, in `tripline_actors::changes`.

mod hosts;
mod jobs;

pub(super) use hosts::follow as hosts;
pub(super) use jobs::WORDS_MAX;
pub(super) use jobs::follow as jobs;

use super::problem::ApiError;
use super::sse::block;
use actix_web::web::Bytes;
use std::fmt::Display;
use tripline_protocol::api::{ChangeGap, EVENT_GAP};

/// Says that changes are missing, and counts them.
fn gap(place: Option<impl Display>, of: &'static str, missed: Option<u64>) -> Result<Bytes, ApiError> {
    metrics::counter!("tripline_http_stream_gaps_total", "of" => of).increment(1);
    block(place, EVENT_GAP, &ChangeGap { missed })
}
