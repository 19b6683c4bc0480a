//! `GET /v1/events/{event_key}/explain`: why an event did what it did.
//!
//! What is recorded the actors know; the event itself is got from its stream (`look`), as conditions need it.

mod look;

use super::HttpState;
use super::auth::Viewer;
use super::body::path_part;
use super::moment::moment;
use super::problem::ApiError;
use actix_web::web;
use look::Look;
pub(super) use look::MESSAGES_MAX;
use serde::Deserialize;
use tripline_actors::{Located, LookedUp};
use tripline_protocol::api::{EventLookup, Explanation, LookupState};
use tripline_protocol::{Org, Span, Timestamp};
use utoipa::IntoParams;
use uuid::Uuid;

/// How far back an event is searched when the caller does not say.
const SINCE_DEFAULT: Span = Span::from_secs(3600);

/// Query.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    since: Option<String>,
}

/// `GET /v1/events/{event_key}/explain`
pub(super) async fn explain(
    caller: Viewer,
    state: web::Data<HttpState>,
    path: web::Path<String>,
    query: web::Query<Explain>,
) -> Result<web::Json<Explanation>, ApiError> {
    let org = caller.org_for(None)?;
    let asked: Uuid = path_part(&path)?;
    let since = moment("since", query.since.as_deref(), &state)?;
    let since = since.unwrap_or_else(|| state.clock.now().before(SINCE_DEFAULT));
    let located = state.core.locate(org.clone(), asked).await?;
    let _place = state.places.take(&caller.token_id, "events")?;
    let looked_up = look_up(&state, org.as_ref(), &located, since).await;
    Ok(web::Json(state.core.explain(org, located, looked_up).await?))
}

/// Gets the event from its stream. Who asks has a place among those who follow the events: this is one of them for a
/// while.
async fn look_up(state: &HttpState, org: Option<&Org>, located: &Located, since: Timestamp) -> LookedUp {
    let Some(key) = located.key else {
        return LookedUp {
            found: None,
            lookup: EventLookup::of(LookupState::NoEvent),
        };
    };
    let look = Look {
        feed: state.feed.as_ref(),
        core: &state.core,
        org,
        key,
    };
    match located.sequence {
        Some(sequence) => look.at(sequence).await,
        None => look.search(since).await,
    }
}
