//! What a pipeline whose target is a set of hosts asks for. Reading it from a file is the pipeline's.

use serde::{Deserialize, Serialize};
use tripline_protocol::Span;
use tripline_protocol::fanout::{Pace, Target};

/// The keys `target` and `fanout` of a pipeline, and of its guards what holds for its fan-outs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanoutPlan {
    /// On which hosts of the event's org.
    pub target: Target,
    /// How fast it goes from host to host. Its `auto_pause` is the pipeline's.
    pub pace: Pace,
    /// Whether hosts that the target selects only later join.
    #[serde(default)]
    pub standing: bool,
    /// How long hosts may wait for their turn.
    pub expires: Span,
    /// With more hosts than `max_hosts.count` of the pipeline it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hosts: Option<u32>,
    /// `max_in_flight` of the pipeline, which bounds the open jobs of each of its fan-outs beside the pace: those whose host
    /// went away, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
}
