//! Errors as `cbapi` understands them: a status that becomes the right exception, and a text that is its
//! message.
//!
//! Of a 404 on a session's commands the client reads the first word: with `Session` or `Sensor` it opens
//! another session and goes on, so texts about other things must not begin so.

use super::super::problem::ApiError;
use crate::limits::TooEarly;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use tripline_actors::Refusal;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct DialectError {
    status: StatusCode,
    text: String,
    retry_after_seconds: Option<u64>,
}

impl DialectError {
    /// With this status and text.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status,
            text,
            retry_after_seconds: None,
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// There is no such thing.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// No such session of this caller, or none any more: the client may open another one.
    pub(super) fn no_session(which: impl std::fmt::Display, why: &str) -> Self {
        Self::not_found(format!("Session {which} {why}"))
    }

    /// The server does not do this.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }
}

impl From<Refusal> for DialectError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotFound { what, id } => {
                let what = match what {
                    "host" => "Sensor",
                    "session" => "Session",
                    "command" => "Command",
                    "file" => "File",
                    "artifact" => "Content",
                    _ => "Object",
                };
                Self::not_found(format!("{what} {id} not found"))
            }
            Refusal::Conflict { code, .. } if code == "session_ended" || code == "session_pending" => {
                Self::not_found(format!("Session is not active: {text}"))
            }
            Refusal::AmbiguousHost { .. } | Refusal::Conflict { .. } => Self::new(StatusCode::CONFLICT, text),
            Refusal::Invalid { .. } => Self::bad(text),
            Refusal::Forbidden { .. } => Self::refused(text),
            Refusal::Busy { .. } | Refusal::Unavailable { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

impl From<TooEarly> for DialectError {
    fn from(early: TooEarly) -> Self {
        let seconds = early.retry_after_seconds;
        Self {
            retry_after_seconds: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too many requests; come again in {seconds} s"),
            )
        }
    }
}

impl From<ApiError> for DialectError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(refusal) => refusal.into(),
            ApiError::Internal { what, ref source } => {
                tracing::error!(what, error = %source, "request failed");
                Self::new(error.status_code(), error.to_string())
            }
            error => Self::new(error.status_code(), error.to_string()),
        }
    }
}

impl ResponseError for DialectError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("text/plain; charset=utf-8")
            .body(self.text.clone())
    }
}

impl actix_web::Responder for DialectError {
    type Body = actix_web::body::BoxBody;
    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::Span;

    fn of(refusal: Refusal) -> (u16, String) {
        let error = DialectError::from(refusal);
        (error.status.as_u16(), error.text)
    }

    fn missing(what: &'static str) -> (u16, String) {
        let id = "7".into();
        of(Refusal::NotFound { what, id })
    }

    #[test]
    fn only_a_session_or_a_sensor_that_is_gone_makes_the_client_open_another() {
        assert_eq!(missing("session"), (404, "Session 7 not found".into()));
        assert_eq!(missing("host"), (404, "Sensor 7 not found".into()));
        for code in ["session_ended", "session_pending"] {
            let detail = "it ended".into();
            let (status, text) = of(Refusal::Conflict { code, detail });
            assert_eq!(status, 404);
            assert!(text.starts_with("Session"), "{text}");
        }
        for what in ["command", "file", "artifact", "job"] {
            let (status, text) = missing(what);
            assert_eq!(status, 404);
            assert!(!text.starts_with('S'), "{text}");
        }
    }

    #[test]
    fn every_refusal_is_the_exception_it_should_be() {
        let detail = || "why".to_owned();
        let code = "other";
        assert_eq!(
            of(Refusal::Conflict {
                code,
                detail: detail()
            }),
            (409, "why".into())
        );
        assert_eq!(
            of(Refusal::Invalid {
                code,
                detail: detail()
            }),
            (400, "why".into())
        );
        assert_eq!(of(Refusal::Forbidden { detail: detail() }), (403, "why".into()));
        let busy = Refusal::Busy {
            what: "disk",
            retry_after: Span::from_secs(1),
        };
        assert_eq!(of(busy).0, 503);
    }
}
