//! `/v1/slots` and `/v1/status`: who holds what, and everything at once.

use super::HttpState;
use super::auth::Viewer;
use super::problem::ApiError;
use actix_web::web;
use tripline_protocol::api::{BrokerState, SlotsView, StatusView};

pub(super) async fn slots(
    _caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<SlotsView>, ApiError> {
    Ok(web::Json(state.core.slots().await?))
}

/// `GET /v1/status`: the server at one moment, for whoever watches it.
pub(super) async fn status(
    caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<StatusView>, ApiError> {
    let broker = BrokerState {
        connected: state.broker.connected(),
        detail: state.broker.detail(),
    };
    Ok(web::Json(state.core.status(&caller, broker).await?))
}
