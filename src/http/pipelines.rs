//! `/v1/pipelines` and what is done with single ones.

use super::HttpState;
use super::auth::{Admin, Viewer};
use super::body::{Body, path_part};
use super::problem::ApiError;
use actix_web::web;
use tripline_protocol::api::{PipelinePauseView, PipelinesView, SetPause};

/// `GET /v1/pipelines`: the rules in force.
pub(super) async fn list(
    _caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<PipelinesView>, ApiError> {
    Ok(web::Json(state.core.pipelines().await?))
}

/// `PUT /v1/pipelines/{pipeline}/pause`: it does not act.
pub(super) async fn pause(
    caller: Admin,
    state: web::Data<HttpState>,
    path: web::Path<String>,
    Body(SetPause { reason }): Body<SetPause>,
) -> Result<web::Json<PipelinePauseView>, ApiError> {
    let pipeline = path_part(&path)?;
    Ok(web::Json(
        state.core.pause_pipeline(&caller, pipeline, reason).await?,
    ))
}

/// `DELETE /v1/pipelines/{pipeline}/pause`: it acts again.
pub(super) async fn resume(
    caller: Admin,
    state: web::Data<HttpState>,
    path: web::Path<String>,
) -> Result<web::Json<PipelinePauseView>, ApiError> {
    let pipeline = path_part(&path)?;
    Ok(web::Json(state.core.resume_pipeline(&caller, pipeline).await?))
}
