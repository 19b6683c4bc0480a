//! `/v1/pipelines` and `/v1/slots`: what is in force, and who holds what.

use super::HttpState;
use super::auth::Viewer;
use super::problem::ApiError;
use actix_web::web;
use tripline_protocol::api::{PipelinesView, SlotsView};

pub(super) async fn pipelines(
    _caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<PipelinesView>, ApiError> {
    Ok(web::Json(state.core.pipelines().await?))
}

pub(super) async fn slots(
    _caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<SlotsView>, ApiError> {
    Ok(web::Json(state.core.slots().await?))
}
