//! How a job ends that was decided before its last steps, and what its reason says when these did not run to their end.

use serde::{Deserialize, Serialize};
use tripline_protocol::Timestamp;
use tripline_protocol::job::{Outcome, Reason};

/// How a job ends of which only the last steps are left, or how a try ended before it began anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    /// So long these may wait for a session. A version that let them wait no longer than they might run wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
}

/// Why a job ended whose last steps did not run, or not all of them.
pub(crate) fn without_last_steps(reason: Reason, why: &str) -> Reason {
    let text = format!("{}; its last steps did not run to their end: {why}", reason.text);
    Reason::new(reason.code, text)
}
