//! What every request leaves behind: a request id in log and answer, a count and a duration by route.
//!
//! Deliberately not here: headers, queries and bodies, which may hold secrets, in the log.

use super::cut::Whole;
use super::strangers::Visit;
use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

/// By which a caller finds its request in the log; a caller's own is kept when it is short and plain.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest `x-request-id` of a caller that is kept, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// A request's id, among its extensions.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

pub(super) async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Whole>, actix_web::Error> {
    if let Some(visit) = request.conn_data::<Visit>() {
        visit.note_request();
    }
    let begun = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = method_label(request.method());
    let span = tracing::info_span!("http.request", request_id = %id, method, path = request.path());
    let result = next.call(request).instrument(span.clone()).await;
    let (status, route) = match &result {
        Ok(response) => (response.status(), response.request().match_pattern()),
        Err(error) => (error.as_response_error().status_code(), None),
    };
    let elapsed = begun.elapsed().as_secs_f64();
    span.in_scope(|| log(status, elapsed));
    count(method, route.clone(), status, elapsed);
    result.map(|mut response| {
        if let Ok(value) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let is_socket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        response.map_body(|_, body| Whole::new(body.boxed(), route, is_socket))
    })
}

fn log(status: StatusCode, elapsed_seconds: f64) {
    let code = status.as_u16();
    if status.is_server_error() {
        tracing::warn!(status = code, elapsed_seconds, "request answered");
    } else if status.is_client_error() {
        tracing::info!(status = code, elapsed_seconds, "request answered");
    } else {
        tracing::debug!(status = code, elapsed_seconds, "request answered");
    }
}

fn count(method: &'static str, route: Option<String>, status: StatusCode, elapsed_seconds: f64) {
    let route = route.unwrap_or_else(|| "none".to_owned());
    let status = status.as_u16().to_string();
    metrics::counter!(
        "tripline_http_requests_total", "method" => method, "route" => route.clone(), "status" => status
    )
    .increment(1);
    metrics::histogram!("tripline_http_request_duration_seconds", "method" => method, "route" => route)
        .record(elapsed_seconds);
}

/// Methods are labels, so their number is bounded.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(given).expect("a header"));
        request_id(&headers)
    }

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("abc-1.2_3"), "abc-1.2_3");
        for odd in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert_ne!(id_for(odd), odd);
            assert!(Uuid::parse_str(&id_for(odd)).is_ok());
        }
    }
}
