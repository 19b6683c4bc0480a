//! `/v1/pause` and `/v1/drain`: what administrators do with the server as a whole.

use super::HttpState;
use super::auth::{Admin, Viewer};
use super::body::Body;
use super::problem::ApiError;
use actix_web::{HttpResponse, web};
use tripline_protocol::api::{DrainView, PauseView, SetPause};

/// `GET /v1/pause`
pub(super) async fn show_pause(_caller: Viewer, state: web::Data<HttpState>) -> web::Json<PauseView> {
    web::Json(state.core.pause_view())
}

/// `PUT /v1/pause`: no new jobs start.
pub(super) async fn pause(
    caller: Admin,
    state: web::Data<HttpState>,
    Body(SetPause { reason }): Body<SetPause>,
) -> Result<web::Json<PauseView>, ApiError> {
    Ok(web::Json(state.core.pause(&caller, reason).await?))
}

/// `DELETE /v1/pause`: they start again.
pub(super) async fn resume(
    caller: Admin,
    state: web::Data<HttpState>,
) -> Result<web::Json<PauseView>, ApiError> {
    Ok(web::Json(state.core.resume(&caller).await?))
}

/// `POST /v1/drain`: the server ends in order, as at SIGTERM.
pub(super) async fn drain(caller: Admin, state: web::Data<HttpState>) -> Result<HttpResponse, ApiError> {
    state.core.ask_drain(&caller)?;
    Ok(HttpResponse::Accepted().json(state.core.drain_view().await?))
}

/// `GET /v1/drain`: how far it has come.
pub(super) async fn show_drain(
    _caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<DrainView>, ApiError> {
    Ok(web::Json(state.core.drain_view().await?))
}
