//! `POST /v1/detections`: reports a detection.

use super::HttpState;
use super::auth::Operator;
use super::body::Body;
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use crate::detections;
use actix_web::{HttpResponse, web};
use tripline_protocol::Org;
use tripline_protocol::api::ReportDetection;

pub(super) async fn report(
    caller: Operator,
    state: web::Data<HttpState>,
    key: IdempotencyKey,
    Body(request): Body<ReportDetection>,
) -> Result<HttpResponse, ApiError> {
    let once = key.once(&caller, "detections", &request)?;
    let org = caller
        .org_for(request.org.as_ref())?
        .unwrap_or_else(Org::default_org);
    let event = detections::event(request, org, &caller.name, state.clock.now())?;
    let published = state.core.by(&caller).publish_event_once(event, once).await?;
    Ok(HttpResponse::Accepted().json(published))
}
