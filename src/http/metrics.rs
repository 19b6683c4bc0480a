//! `/metrics`: the process's metrics in Prometheus' text format.
//!
//! Open to callers on the loopback interface, as a local Prometheus or a person with curl; everybody else
//! needs a token of role viewer. A reverse proxy on the same machine is such a caller and has to guard it.

use super::HttpState;
use super::auth;
use super::problem::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, PoisonError};
use tripline_protocol::api::Role;

/// Bounds of the histograms of metrics in seconds.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// The process's recorder of metrics; installed by the first call, so call it before anything counts.
pub fn recorder() -> Result<PrometheusHandle, BuildError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    *installed = Some(handle.clone());
    Ok(handle)
}

pub(super) async fn show(
    request: HttpRequest,
    state: web::Data<HttpState>,
    recorder: web::Data<PrometheusHandle>,
) -> Result<HttpResponse, ApiError> {
    if !request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback())
    {
        auth::authenticate(&request, &state)?.require(Role::Viewer)?;
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(recorder.render()))
}
