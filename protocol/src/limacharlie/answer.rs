//! An answer: written as the real services write it, read as a cloud must that calls services nobody here wrote.

use super::JobUpdate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a service answers, with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is done.
    pub success: bool,
    /// Any JSON; `{}` unless there is something to say.
    pub data: Value,
    /// Whether the same message is to be delivered again; only written where it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<bool>,
    /// A text that is shown to the org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// News of long work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobUpdate>,
}

/// Whether to deliver the message again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// It is done.
    Done,
    /// It is not, and will not be.
    GiveUp,
    /// It is not, yet.
    Again,
}

/// Why a body with status 200 is no answer. To a cloud that is a failure of transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// No JSON.
    #[error("the answer is not JSON: {0}")]
    NotJson(String),
    /// No object, or one without a `success` that is true or false.
    #[error("the answer has no success that is true or false")]
    NoSuccess,
}

impl Answer {
    /// It is done.
    pub fn done() -> Self {
        Self::done_with(json!({}))
    }

    /// It is done, and `data` is what came of it.
    pub fn done_with(data: Value) -> Self {
        Self {
            success: true,
            data,
            retry: None,
            error: None,
            jobs: Vec::new(),
        }
    }

    /// It is not done and will not be: the same message would fare no better. The text stands where both reference
    /// implementations put theirs, top-level and in `data`.
    pub fn refused(error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            success: false,
            data: json!({ "error": error }),
            retry: Some(false),
            error: Some(error),
            jobs: Vec::new(),
        }
    }

    /// It is not done yet: the same message is to be delivered again.
    pub fn again(error: impl Into<String>) -> Self {
        Self {
            retry: Some(true),
            ..Self::refused(error)
        }
    }

    /// What is answered to an etype that nobody handles.
    pub fn not_implemented() -> Self {
        Self::refused("not implemented")
    }

    /// With news of long work.
    pub fn with_jobs(mut self, jobs: Vec<JobUpdate>) -> Self {
        self.jobs = jobs;
        self
    }

    /// Whether the same message may be delivered again and handled anew.
    pub fn advice(&self) -> RetryAdvice {
        match (self.success, self.retry.unwrap_or(false)) {
            (true, _) => RetryAdvice::Done,
            (false, true) => RetryAdvice::Again,
            (false, false) => RetryAdvice::GiveUp,
        }
    }

    /// Reads what a service answered. Whatever is optional and of the wrong type counts as absent; updates of jobs that
    /// cannot be read are left out.
    ///
    /// # Errors
    /// No JSON object with a boolean `success`.
    pub fn read(body: &[u8]) -> Result<Self, InvalidAnswer> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| InvalidAnswer::NotJson(error.to_string()))?;
        let Value::Object(mut map) = value else {
            return Err(InvalidAnswer::NoSuccess);
        };
        let Some(Value::Bool(success)) = map.remove("success") else {
            return Err(InvalidAnswer::NoSuccess);
        };
        let data = map.remove("data").unwrap_or_else(|| json!({}));
        Ok(Self {
            success,
            retry: map.get("retry").and_then(Value::as_bool),
            error: map.get("error").and_then(Value::as_str).map(str::to_owned),
            jobs: jobs(&mut map),
            data,
        })
    }

    /// What went wrong, from the first of the three places where services put it that says something: `error`, `data.error`,
    /// `data.exception`.
    pub fn problem(&self) -> Option<&str> {
        let of_data = |key| self.data.get(key).and_then(Value::as_str);
        let places = [self.error.as_deref(), of_data("error"), of_data("exception")];
        let mut said = places.into_iter().flatten();
        said.find(|text| !text.trim().is_empty())
    }
}

fn jobs(map: &mut Map<String, Value>) -> Vec<JobUpdate> {
    let Some(Value::Array(jobs)) = map.remove("jobs") else {
        return Vec::new();
    };
    jobs.into_iter()
        .filter_map(|job| serde_json::from_value(job).ok())
        .collect()
}
