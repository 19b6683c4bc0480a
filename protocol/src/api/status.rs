//! Body of `GET /v1/status`: everything about the server at one moment.

use super::{Pause, SlotsView};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The server at one moment. Rates are differences of `totals` between two looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// When it was looked at.
    pub at: Timestamp,
    /// The server's version.
    pub version: String,
    /// When the server started.
    pub started_at: Timestamp,
    /// As `/readyz` has it.
    pub ready: bool,
    /// There while no new jobs start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Whether the server is ending.
    pub draining: bool,
    /// The connection to the broker.
    pub broker: BrokerState,
    /// The slots, and who holds them.
    pub slots: SlotsView,
    /// Jobs that have not ended.
    pub jobs: JobCounts,
    /// Hosts.
    pub hosts: HostCounts,
    /// Messages to the broker.
    pub outbox: OutboxCounts,
    /// Counted since the server started.
    pub totals: Totals,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BrokerState {
    /// Whether events come in and results go out.
    pub connected: bool,
    /// One sentence about it.
    pub detail: String,
}

/// Jobs that have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobCounts {
    /// All of them.
    pub open: u64,
    /// Those that run.
    pub running: u64,
    /// Hosts with jobs that wait.
    pub lanes: u64,
    /// Those whose host is offline.
    pub host_offline: u64,
    /// Those behind another job of their host.
    pub behind_job: u64,
    /// Those that wait for nothing but a slot, or for the end of a pause.
    pub no_free_slot: u64,
    /// Those that wait for a time.
    #[serde(default)]
    pub resting: u64,
    /// Those whose pipeline is paused.
    #[serde(default)]
    pub held: u64,
}

/// Hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostCounts {
    /// All that are known.
    pub total: u64,
    /// Those that can be reached.
    pub attached: u64,
    /// LittleBrother clients that fell silent.
    pub silent: u64,
}

/// Messages to the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxCounts {
    /// Those that wait.
    pub waiting: u64,
    /// `outbox.messages_max`
    pub messages_max: u64,
    /// Those that the broker will never take.
    pub quarantined: u64,
}

/// Counted since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Events looked at.
    pub events: u64,
    /// Jobs accepted.
    pub jobs_accepted: u64,
    /// Jobs ended.
    pub jobs_ended: u64,
    /// Messages that the broker took: results, edges' events, dead letters.
    pub published: u64,
}
