//! `/metrics`: the process's metrics in Prometheus' text format.
//!
//! Open to callers on the loopback interface, as a local Prometheus or a person with curl; everybody else
//! needs a token of role viewer. A reverse proxy on the same machine is such a caller and has to guard it.
//! Deliberately not here: what the metrics mean (`crate::metric`).

use super::HttpState;
use super::auth;
use super::problem::ApiError;
use crate::metric;
use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use tripline_protocol::Timestamp;
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
    metric::describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Says once when the process began to serve, and which version it is.
pub(super) fn note_start(now: Timestamp) {
    metrics::gauge!("tripline_server_start_time_seconds").set(now.as_micros() as f64 / 1e6);
    metrics::gauge!("tripline_server_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
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
    look(&state);
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(complete(recorder.render())))
}

/// Figures that nobody counts and that are read when they are asked for.
fn look(state: &HttpState) {
    let readiness = state.core.readiness();
    let parts = [
        ("store", readiness.store),
        ("disk", readiness.disk),
        ("outbox", readiness.outbox),
        ("actors", readiness.actors),
        ("broker", state.broker.connected()),
    ];
    for (part, works) in parts {
        metrics::gauge!("tripline_server_ready", "part" => part).set(f64::from(u8::from(works)));
    }
    metrics::gauge!("tripline_artifact_bytes").set(state.artifacts.bytes_used() as f64);
    metrics::gauge!("tripline_artifact_bytes_max").set(state.artifacts.bytes_max() as f64);
}

/// Adds what there is to know of metrics that have no series yet, so that nobody has to wait for one to learn of them.
fn complete(mut text: String) -> String {
    let shown: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let missing: Vec<_> = metric::all()
        .filter(|metric| !shown.contains(metric.name))
        .collect();
    for metric in missing {
        let (name, kind) = (metric.name, metric.kind.as_str());
        // Writing to a text cannot fail.
        let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n\n", metric.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_without_a_series_are_named_and_others_are_not_named_twice() {
        let text = complete("# TYPE tripline_outbox_waiting gauge\ntripline_outbox_waiting 3\n\n".to_owned());
        assert_eq!(text.matches("# TYPE tripline_outbox_waiting ").count(), 1);
        for metric in metric::all() {
            let line = format!("# TYPE {} {}\n", metric.name, metric.kind.as_str());
            assert!(text.contains(&line), "{line}");
        }
    }
}
