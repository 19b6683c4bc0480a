//! The dialect's errors: statuses and bodies, and what a real client makes of them.
//!
//! A client takes 200 and 401 as contact with its server, and after 401 the events of its message are gone. After
//! any other status it sends them again with its next message.

use super::super::problem::ApiError;
use crate::limits::TooEarly;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use tripline_actors::Refusal;
use tripline_protocol::littlebrother::InvalidMessage;

/// The body of the real server, byte for byte.
const WRONG_SECRET: &str = r#"{ "error" : "invalid access code" }"#;

/// Why a request was not served.
///
/// The desktop app puts the text of an error into a template language in which braces mean something: no text has
/// any, and so none repeats what the caller sent, but for messages of clients.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The secret is not ours.
    #[error("invalid access code")]
    WrongSecret,
    /// Too many wrong ones came from the caller's address: this one was not looked at.
    #[error("too many wrong access codes came from here; come again in {retry_after_seconds} s")]
    TooEarly {
        /// When.
        retry_after_seconds: u64,
    },
    /// Nothing else is served here.
    #[error("nothing is served at this path")]
    NoSuchPath,
    /// Another method.
    #[error("this path takes {allow}")]
    Method {
        /// The one it takes.
        allow: &'static str,
    },
    /// Not JSON by its own word.
    #[error("the content type must be application/json")]
    ContentType,
    /// The body did not arrive, or not as JSON of the right shape.
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    /// The body did not arrive in full.
    #[error(transparent)]
    Body(#[from] ApiError),
    /// The actors say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A parameter that is needed.
    #[error("the parameter {0} is missing or wrong")]
    Parameter(&'static str),
    /// Not configured, or not active.
    #[error("the user is not known or not monitored")]
    NoSuchUser,
    /// There is none to grant.
    #[error(
        "no optional time is left: this version of Tripline has no activity rules and grants no time extensions"
    )]
    NoTimeLeft,
}

impl From<TooEarly> for Error {
    fn from(early: TooEarly) -> Self {
        Self::TooEarly {
            retry_after_seconds: early.retry_after_seconds,
        }
    }
}

impl Error {
    fn to_body(&self) -> String {
        match self {
            Self::WrongSecret => WRONG_SECRET.to_owned(),
            Self::Message(InvalidMessage::Key { key, .. }) => {
                json!({"error": self.to_string(), "key": key}).to_string()
            }
            _ => json!({"error": self.to_string()}).to_string(),
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::WrongSecret => StatusCode::UNAUTHORIZED,
            Self::TooEarly { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Message(_) | Self::Refused(Refusal::Invalid { .. }) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::Forbidden { .. }) => StatusCode::FORBIDDEN,
            // A client that keeps its events loses nothing by any other refusal.
            Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(error) => error.status_code(),
            Self::NoSuchPath | Self::Parameter(_) | Self::NoSuchUser => StatusCode::NOT_FOUND,
            Self::NoTimeLeft => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Method { allow } => {
                response.insert_header((ALLOW, *allow));
            }
            Self::TooEarly { retry_after_seconds } => {
                response.insert_header((RETRY_AFTER, retry_after_seconds.to_string()));
            }
            Self::Refused(Refusal::Busy { .. } | Refusal::Unavailable { .. }) => {
                response.insert_header((RETRY_AFTER, "5"));
            }
            _ => {}
        }
        response.content_type("application/json").body(self.to_body())
    }
}
