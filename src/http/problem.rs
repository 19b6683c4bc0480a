//! Errors of `/v1` as RFC 9457 `application/problem+json`: the only place that knows an HTTP status for a
//! refusal. Deliberately not here: the dialects' own error bodies.

use crate::limits::TooEarly;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use std::time::Duration;
use tripline_actors::Refusal;
use tripline_protocol::api::Problem;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The actors say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No token, or none that is in force.
    #[error("{}", if *presented { "the token is unknown, revoked or expired" } else { "a bearer token is needed: Authorization: Bearer <token>" })]
    Unauthenticated {
        /// Whether one was presented.
        presented: bool,
    },
    /// The agent's key is not known or was revoked.
    #[error(
        "the agent's key is unknown or revoked, or its host was forgotten; to bring the machine back as a new host, \
         remove the agent's state directory and enrol it again"
    )]
    UnknownAgentKey,
    /// No such route.
    #[error("nothing is served at {0}")]
    NoSuchPath(String),
    /// The route does not take this method.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// The methods it takes.
        allow: &'static str,
    },
    /// The body is longer than the route takes.
    #[error("the body is longer than the {limit} bytes this path takes")]
    BodyTooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {patience:?}")]
    BodyTooSlow {
        /// The limit.
        patience: Duration,
    },
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken(#[source] actix_web::error::PayloadError),
    /// The body is no JSON, or not of the shape expected; the text says line, column and field.
    #[error("the body is not what is expected: {0}")]
    Json(String),
    /// A query parameter or part of the path; the text names it.
    #[error("{0}")]
    Parameter(String),
    /// The range lies outside the content.
    #[error("the range lies outside the {bytes} bytes of the content")]
    Range {
        /// Its length.
        bytes: u64,
    },
    /// As many streams as there may be.
    #[error("{whose} can have {limit} streams of events at a time; end one, or try again later")]
    TooManyStreams {
        /// How many.
        limit: usize,
        /// Whose limit it is.
        whose: &'static str,
    },
    /// The token asks too often, or too many wrong tokens and keys came from the caller's address.
    #[error("too many requests; come again in {retry_after_seconds} s")]
    TooManyRequests {
        /// When.
        retry_after_seconds: u64,
    },
    /// No WebSocket handshake, or not of our subprotocol.
    #[error("{0}")]
    Handshake(String),
    /// The server's own fault; the cause is logged, not told.
    #[error("the server could not do it: {what}")]
    Internal {
        /// What it could not do, as far as a caller should know.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<TooEarly> for ApiError {
    fn from(early: TooEarly) -> Self {
        Self::TooManyRequests {
            retry_after_seconds: early.retry_after_seconds,
        }
    }
}

impl ApiError {
    /// The server's own fault.
    pub(super) fn internal(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal {
            what,
            source: source.into(),
        }
    }

    /// The stable word for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::UnknownAgentKey => "unknown_agent_key",
            Self::NoSuchPath(_) => "no_such_path",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::BodyBroken(_) => "body_broken",
            Self::Json(_) => "bad_json",
            Self::Parameter(_) => "bad_parameter",
            Self::Range { .. } => "range_not_satisfiable",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Handshake(_) => "bad_handshake",
            Self::Internal { .. } => "internal",
        }
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let text = |name, value: String| {
            HeaderValue::try_from(value)
                .ok()
                .map(|value| (name, value))
                .into_iter()
                .collect()
        };
        match self {
            Self::Refused(Refusal::Busy { retry_after, .. }) => text(
                RETRY_AFTER,
                retry_after.as_millis().div_ceil(1000).max(1).to_string(),
            ),
            Self::Refused(Refusal::Unavailable { .. }) | Self::TooManyStreams { .. } => {
                text(RETRY_AFTER, "5".to_owned())
            }
            Self::TooManyRequests { retry_after_seconds } => {
                text(RETRY_AFTER, retry_after_seconds.to_string())
            }
            Self::Unauthenticated { presented: false } => {
                text(WWW_AUTHENTICATE, r#"Bearer realm="tripline""#.to_owned())
            }
            Self::Unauthenticated { presented: true } | Self::UnknownAgentKey => text(
                WWW_AUTHENTICATE,
                r#"Bearer realm="tripline", error="invalid_token""#.to_owned(),
            ),
            Self::MethodNotAllowed { allow } => text(ALLOW, (*allow).to_owned()),
            Self::Range { bytes } => text(CONTENT_RANGE, format!("bytes */{bytes}")),
            _ => Vec::new(),
        }
    }

    /// The body.
    pub(super) fn to_problem(&self) -> Problem {
        let (status, code) = (self.status_code(), self.code());
        Problem {
            kind: format!("urn:tripline:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
        }
    }
}

fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
        Refusal::AmbiguousHost { .. } | Refusal::Conflict { .. } => StatusCode::CONFLICT,
        Refusal::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Forbidden { .. } => StatusCode::FORBIDDEN,
        Refusal::Busy { .. } | Refusal::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal_status(refusal),
            Self::Unauthenticated { .. } | Self::UnknownAgentKey => StatusCode::UNAUTHORIZED,
            Self::NoSuchPath(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken(_) | Self::Json(_) | Self::Parameter(_) | Self::Handshake(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooManyStreams { .. } | Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Internal { what, source } = self {
            tracing::error!(what, error = %source, "request failed");
        }
        let mut response = HttpResponse::build(self.status_code());
        for header in self.headers() {
            response.insert_header(header);
        }
        // A body of strings and a number always serialises.
        let body = serde_json::to_vec(&self.to_problem()).unwrap_or_default();
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("application/problem+json")
            .body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use tripline_protocol::Span;

    async fn answer(error: ApiError) -> (u16, Vec<(String, String)>, Problem) {
        let response = error.error_response();
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect();
        let body = to_bytes(response.into_body()).await.expect("a body");
        (status, headers, serde_json::from_slice(&body).expect("a problem"))
    }

    fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[actix_web::test]
    async fn every_refusal_has_its_status_and_its_word() {
        let cases: [(Refusal, u16, &str); 7] = [
            (
                Refusal::NotFound {
                    what: "job",
                    id: "x".into(),
                },
                404,
                "not_found",
            ),
            (
                Refusal::AmbiguousHost {
                    name: "pc".into(),
                    count: 2,
                },
                409,
                "ambiguous_host",
            ),
            (
                Refusal::Invalid {
                    code: "no_steps",
                    detail: "give steps".into(),
                },
                422,
                "no_steps",
            ),
            (
                Refusal::Conflict {
                    code: "job_ended",
                    detail: "it ended".into(),
                },
                409,
                "job_ended",
            ),
            (
                Refusal::Forbidden {
                    detail: "operators only".into(),
                },
                403,
                "forbidden",
            ),
            (
                Refusal::Busy {
                    what: "outbox",
                    retry_after: Span::from_millis(1500),
                },
                503,
                "busy",
            ),
            (Refusal::Unavailable { detail: "it stops" }, 503, "unavailable"),
        ];
        for (refusal, status, code) in cases {
            let detail = refusal.to_string();
            let (found, headers, problem) = answer(refusal.into()).await;
            assert_eq!((found, problem.status), (status, status), "{code}");
            assert_eq!(problem.code, code);
            assert_eq!(problem.kind, format!("urn:tripline:problem:{code}"));
            assert_eq!(problem.detail, detail);
            assert_eq!(header(&headers, "content-type"), Some("application/problem+json"));
            assert_eq!(header(&headers, "retry-after").is_some(), status == 503, "{code}");
        }
    }

    #[actix_web::test]
    async fn busy_says_when_to_try_again_in_whole_seconds() {
        let busy = Refusal::Busy {
            what: "outbox",
            retry_after: Span::from_millis(1500),
        };
        assert_eq!(header(&answer(busy.into()).await.1, "retry-after"), Some("2"));
    }

    #[actix_web::test]
    async fn a_missing_and_a_wrong_token_are_told_apart() {
        let (status, headers, _) = answer(ApiError::Unauthenticated { presented: false }).await;
        assert_eq!(status, 401);
        assert_eq!(
            header(&headers, "www-authenticate"),
            Some(r#"Bearer realm="tripline""#)
        );
        let (status, headers, _) = answer(ApiError::Unauthenticated { presented: true }).await;
        assert_eq!(status, 401);
        assert!(header(&headers, "www-authenticate").is_some_and(|text| text.contains("invalid_token")));
    }

    #[actix_web::test]
    async fn the_cause_of_an_internal_error_is_not_told() {
        let (status, _, problem) = answer(ApiError::internal("read the artifact", "/secret/path")).await;
        assert_eq!(status, 500);
        assert!(!problem.detail.contains("secret"), "{}", problem.detail);
    }
}
