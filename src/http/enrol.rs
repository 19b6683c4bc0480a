//! `POST /v1/agent/enrol`.

use super::HttpState;
use super::auth;
use super::body::Body;
use super::place::note_forbidden;
use super::problem::ApiError;
use actix_web::web;
use tripline_actors::Refusal;
use tripline_protocol::api::{Enrol, Enrolled};

pub(super) async fn enrol(
    caller: auth::Enrol,
    state: web::Data<HttpState>,
    Body(request): Body<Enrol>,
) -> Result<web::Json<Enrolled>, ApiError> {
    let enrolled = state
        .core
        .by(&caller)
        .enrol(caller.token_id.clone(), request)
        .await;
    if matches!(enrolled, Err(Refusal::Forbidden { .. })) {
        note_forbidden(&state, &caller);
    }
    Ok(web::Json(enrolled?))
}
