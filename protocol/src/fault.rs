//! The error taxonomy: one shape for what goes wrong with a command, a step or a job, in every dialect.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The four classes of the error taxonomy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// A deadline passed: of a command, a step, a job or a wait.
    Timeout,
    /// The host itself reported an error; `code` and `text` are the host's own.
    LiveResponse,
    /// The host, agent or server does not offer what was asked.
    Unsupported,
    /// Tripline's server could not do its part.
    Server,
}

/// An error as it is reported: `{class, code, text, detail?}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{text} ({code})")]
pub struct Fault {
    /// Which of the four classes.
    pub class: FaultClass,
    /// A stable word for programs: an errno name (`ENOENT`) in class `live_response`, else snake_case.
    pub code: String,
    /// One sentence for people.
    pub text: String,
    /// Structured extras, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

impl Fault {
    fn new(class: FaultClass, code: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            text: text.into(),
            detail: None,
        }
    }

    /// A deadline passed.
    pub fn timeout(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(FaultClass::Timeout, code, text)
    }

    /// The host reported an error.
    pub fn live_response(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(FaultClass::LiveResponse, code, text)
    }

    /// Not offered.
    pub fn unsupported(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(FaultClass::Unsupported, code, text)
    }

    /// The server's fault.
    pub fn server(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(FaultClass::Server, code, text)
    }

    /// The same with structured extras.
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }
}
