//! Bodies of `/v1/services/{service}/requests`: what people and programs ask services, and what those answered.

use crate::id::{Name, Org};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Asks a service for something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AskService {
    /// For which org; default: the token's, or the only one that is subscribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Org>,
    /// By name, as the service's `request_params` say; 64 KiB at most.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceRequestState {
    /// It is on its way, or will be tried again.
    Waiting,
    /// The service did it.
    Done,
    /// The service will not do it.
    Refused,
    /// It was never answered.
    GivenUp,
    /// It went before it was answered: its org left the service or LimaCharlie, or the service refused the org.
    Dropped,
}

impl ServiceRequestState {
    /// Whether nothing more becomes of it.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Waiting)
    }
}

/// A request, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceRequestView {
    /// Its id: the `mid` of the message.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: Uuid,
    /// Who is asked.
    pub service: Name,
    /// For which org.
    pub org: Org,
    /// What is asked for.
    pub params: Map<String, Value>,
    /// How far it has come.
    pub state: ServiceRequestState,
    /// When it was taken.
    pub asked_at: Timestamp,
    /// When nothing more could become of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How often it was tried. What a wrong secret or a forbidden address held up is no try.
    pub attempts: u32,
    /// `data` of the service's answer; the service's secret and what looks like a token are left out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Its `data` had so many bytes, which is too much to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_omitted_bytes: Option<u64>,
    /// Why it is not done, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Ids of the service's jobs that the answer told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<String>,
}
