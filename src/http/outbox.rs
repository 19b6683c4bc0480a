//! `/v1/outbox`: what waits for the broker, and what it will never take.

use super::HttpState;
use super::auth::{Admin, Viewer};
use super::body::{Body, cursor, page_limit, path_part};
use super::problem::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use tripline_protocol::api::{OutboxEntry, OutboxView, Page, Retried, RetryQuarantined};
use utoipa::IntoParams;

/// `GET /v1/outbox`
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<OutboxView>, ApiError> {
    Ok(web::Json(state.core.outbox(&caller).await?))
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuarantine {
    after: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/outbox/quarantine`: oldest first.
pub(super) async fn quarantine(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListQuarantine>,
) -> Result<web::Json<Page<OutboxEntry>>, ApiError> {
    let after = cursor(query.after.as_deref())?;
    let limit = page_limit(query.limit.as_deref())?;
    Ok(web::Json(state.core.quarantine(&caller, after, limit).await?))
}

/// `POST /v1/outbox/quarantine/retry`
pub(super) async fn retry(
    caller: Admin,
    state: web::Data<HttpState>,
    Body(RetryQuarantined { sequences }): Body<RetryQuarantined>,
) -> Result<web::Json<Retried>, ApiError> {
    Ok(web::Json(state.core.retry_quarantined(&caller, sequences).await?))
}

/// `DELETE /v1/outbox/quarantine/{sequence}`
pub(super) async fn drop_entry(
    caller: Admin,
    state: web::Data<HttpState>,
    sequence: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    state
        .core
        .drop_quarantined(&caller, path_part(&sequence)?)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
