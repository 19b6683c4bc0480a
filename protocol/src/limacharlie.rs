//! The LimaCharlie Service protocol: the calls that a cloud makes and the answers that a service gives.
//!
//! A call is one JSON object, posted with an HMAC of its very bytes. What the reference implementation (lcservice 1.8.6) does
//! on the wire decides where the descriptions differ. Deliberately not here: signatures and how a service is written
//! (crate `tripline-service`), and what either side makes of a call.

mod answer;
mod call;
mod detection;
mod etype;
mod health;
mod job;
mod oid;
mod parameter;
mod resource;

pub use answer::{Answer, InvalidAnswer, RetryAdvice};
pub use call::{Call, InvalidCall, Jwt};
pub use detection::{Routing, detection_record};
pub use etype::{Period, ServiceEtype, TickScope};
pub use health::{Health, Mtd};
pub use job::{Attachment, HistoryEntry, JobUpdate};
pub use oid::{oid, org_of_oid};
pub use parameter::{BadParameter, Parameter, ParameterKind, check_parameters};
pub use resource::{GetResource, Resource, ResourceAnswer, ResourceNames};

/// The only version of the protocol.
pub const VERSION: u64 = 1;
/// The header with the signature. Names of headers are compared without case.
pub const SIGNATURE_HEADER: &str = "lc-svc-sig";
/// Who calls, as the real cloud says it.
pub const USER_AGENT: &str = "lc-services";
/// Largest call taken, in bytes, as the reference implementation takes.
pub const CALL_BYTES_MAX: usize = 50 * 1024 * 1024;
/// Longest `mid` taken, in bytes. Real ones are UUIDs.
pub const MID_BYTES_MAX: usize = 128;
/// How the investigation ids of a service's own tasks begin, and (after two underscores) the detections of their replies.
pub const SERVICE_PREFIX: &str = "svc-";
