//! Whether a step runs at all.

use serde::{Deserialize, Serialize};

/// The condition of a step. People write a text; the other form is what the server keeps of a condition that was
/// decided when the job was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a condition in CEL, as a text")]
pub enum When {
    /// Asked when the step is about to run: CEL over what is known then.
    Late(String),
    /// It did not hold when the job was accepted: the step is skipped.
    No {
        /// The condition.
        no: String,
    },
}
