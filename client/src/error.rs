//! What can go wrong, in the four classes that Tripline has everywhere, and what to do about it.
//!
//! | what happened | class |
//! | --- | --- |
//! | a deadline passed: of a command, of the wait for a session or for its host | [`Error::Timeout`] |
//! | the host itself reported an error; `code` is its errno name, `text` its own words | [`Error::LiveResponse`] |
//! | the host, its agent or the server does not offer what was asked, or the request is wrong (400, 405, 413, 416, 422) | [`Error::Unsupported`] |
//! | anything else: the server refuses (401, 403, 404, 409, 429, 503), breaks (5xx) or cannot be reached; this program's own files | [`Error::Server`] |
//!
//! A refusal's `code` is that of the server's `application/problem+json`, such as `forbidden`, `not_found`,
//! `ambiguous_host`, `session_ended`, `busy`; [`Error::status`] is its HTTP status.

mod advice;
mod transport;

use serde_json::Value;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::api::Problem;
use tripline_protocol::{Fault, FaultClass};

pub(crate) use transport::unreachable;

/// What the crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Arc<dyn StdError + Send + Sync>;

/// What went wrong. Its text is one line: what happened, the code, what to do next. Causes are its sources.
///
/// ```
/// use tripline_client::Error;
///
/// fn explain(error: &Error) -> String {
///     match error {
///         Error::LiveResponse(host) if host.code == "ENOENT" => "it is not there".to_owned(),
///         Error::LiveResponse(host) => format!("the host says: {}", host.text),
///         Error::Timeout(_) => "it took too long".to_owned(),
///         Error::Unsupported(what) => format!("not there: {}", what.text),
///         Error::Server(server) => format!("Tripline could not: {}", server.text),
///     }
/// }
/// # let fault = tripline_client::Fault::live_response("ENOENT", "No such file or directory");
/// # assert_eq!(explain(&fault.into()), "it is not there");
/// ```
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A deadline passed.
    #[error(transparent)]
    Timeout(#[from] Timeout),
    /// The host itself reported an error.
    #[error(transparent)]
    LiveResponse(#[from] LiveResponse),
    /// What was asked is not offered, or the request is wrong.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Tripline's server, or the way to it, could not do its part.
    #[error(transparent)]
    Server(#[from] Server),
}

/// What an error carries beside its code and its text.
#[derive(Debug, Clone, Default)]
struct More {
    advice: Option<Cow<'static, str>>,
    detail: Option<Value>,
    status: Option<u16>,
    retry_after: Option<Duration>,
    /// The request cannot have reached the server.
    unsent: bool,
    source: Option<Cause>,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident, $make:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            #[non_exhaustive]
            pub struct $name {
                /// A stable word for programs.
                pub code: String,
                /// One sentence for people.
                pub text: String,
                more: Box<More>,
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let advice = self.more.advice.as_deref();
                    let advice = advice.unwrap_or_else(|| advice::of(FaultClass::$name, &self.code));
                    write!(f, "{} ({}); {advice}", self.text, self.code)
                }
            }

            impl StdError for $name {
                fn source(&self) -> Option<&(dyn StdError + 'static)> {
                    self.more.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
                }
            }
        )*

        impl Error {
            $(
                pub(crate) fn $make(code: impl Into<String>, text: impl Into<String>) -> Self {
                    Self::$name($name { code: code.into(), text: text.into(), more: Box::default() })
                }
            )*

            fn of_class(class: FaultClass, code: String, text: String) -> Self {
                match class {
                    $(FaultClass::$name => Self::$make(code, text),)*
                }
            }

            /// Which of the four classes.
            pub fn class(&self) -> FaultClass {
                match self { $(Self::$name(_) => FaultClass::$name,)* }
            }

            /// A stable word for programs: an errno name (`ENOENT`) of a host, else snake_case.
            pub fn code(&self) -> &str {
                match self { $(Self::$name(error) => &error.code,)* }
            }

            /// What happened, in one sentence.
            pub fn text(&self) -> &str {
                match self { $(Self::$name(error) => &error.text,)* }
            }

            fn more(&self) -> &More {
                match self { $(Self::$name(error) => &error.more,)* }
            }

            fn more_mut(&mut self) -> &mut More {
                match self { $(Self::$name(error) => &mut error.more,)* }
            }
        }
    };
}

classes! {
    /// A deadline passed: of a command, or of a wait.
    Timeout, timeout;
    /// The host itself reported an error; `code` and `text` are the host's own.
    LiveResponse, live_response;
    /// The host, its agent or the server does not offer what was asked, or the request is wrong.
    Unsupported, unsupported;
    /// Tripline's server, or the way to it, could not do its part.
    Server, server;
}

impl Error {
    /// What to do next.
    pub fn advice(&self) -> &str {
        let own = self.more().advice.as_deref();
        own.unwrap_or_else(|| advice::of(self.class(), self.code()))
    }

    /// Structured extras, where there are any.
    pub fn detail(&self) -> Option<&Value> {
        self.more().detail.as_ref()
    }

    /// The HTTP status of the server's refusal, if it is one.
    pub fn status(&self) -> Option<u16> {
        self.more().status
    }

    /// When the server wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.more().retry_after
    }

    /// The same as programs in other languages, results and events have it.
    pub fn to_fault(&self) -> Fault {
        Fault {
            class: self.class(),
            code: self.code().to_owned(),
            text: self.text().to_owned(),
            detail: self.detail().cloned(),
        }
    }

    /// A file of this program.
    pub(crate) fn local(what: impl fmt::Display, error: std::io::Error) -> Self {
        Self::server("local_io", format!("cannot {what}: {error}")).because(error)
    }

    /// The server's refusal.
    pub(crate) fn refused(status: u16, problem: Option<Problem>, retry_after: Option<Duration>) -> Self {
        let class = match status {
            400 | 405 | 413 | 416 | 422 => FaultClass::Unsupported,
            _ => FaultClass::Server,
        };
        let (code, text) = match problem {
            Some(problem) => (problem.code, problem.detail),
            None => (
                format!("http_{status}"),
                format!("the server answered with status {status} and no explanation"),
            ),
        };
        let mut error = Self::of_class(class, code, text);
        let more = error.more_mut();
        more.status = Some(status);
        more.retry_after = retry_after;
        error
    }

    /// With its cause.
    pub(crate) fn because(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.more_mut().source = Some(Arc::new(cause));
        self
    }

    /// With another advice than that of its code.
    pub(crate) fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.more_mut().advice = Some(advice.into());
        self
    }

    /// The request cannot have reached the server.
    pub(crate) fn unsent(mut self) -> Self {
        self.more_mut().unsent = true;
        self
    }

    pub(crate) fn is_unsent(&self) -> bool {
        self.more().unsent
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let mut error = Self::of_class(fault.class, fault.code, fault.text);
        error.more_mut().detail = fault.detail;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_errors_are_the_same_in_other_clothes() {
        let faults = [
            Fault::timeout("command_timeout", "it took 2 minutes"),
            Fault::live_response("ENOENT", "not there").with_detail(serde_json::json!({"path": "/x"})),
            Fault::unsupported("unsupported_verb", "no registry"),
            Fault::server("interrupted", "nobody knows"),
        ];
        for fault in faults {
            let error = Error::from(fault.clone());
            assert_eq!(error.to_fault(), fault);
            assert_eq!(error.class(), fault.class);
        }
    }

    #[test]
    fn an_error_says_what_happened_and_what_to_do() {
        let error = Error::from(Fault::timeout("session_wait", "still pending"));
        assert_eq!(
            error.to_string(),
            "still pending (session_wait); wait longer with OpenSession::wait, or close sessions that are not needed"
        );
        let own = error.advise("do this");
        assert_eq!(
            (own.advice(), own.to_string().as_str()),
            ("do this", "still pending (session_wait); do this")
        );
        for class in [
            FaultClass::Timeout,
            FaultClass::LiveResponse,
            FaultClass::Unsupported,
            FaultClass::Server,
        ] {
            let unknown = Error::of_class(class, "EXOTIC".into(), "x".into());
            assert!(!unknown.advice().is_empty());
        }
    }

    #[test]
    fn causes_are_kept() {
        let error = Error::local("read x", std::io::Error::other("disk on fire"));
        let cause = StdError::source(&error).unwrap();
        assert_eq!(cause.to_string(), "disk on fire");
        assert!(error.clone().source().is_some());
    }

    #[test]
    fn an_error_is_small_enough_to_be_returned_by_everything() {
        assert!(size_of::<Error>() <= 64, "{}", size_of::<Error>());
    }
}
