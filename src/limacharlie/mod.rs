//! `[limacharlie]`: Tripline as a service that LimaCharlie calls.
//!
//! Deliberately not here: HTTP (`crate::http`), and what becomes of a call (`tripline_actors`).

mod role;

pub use role::Role;

use crate::config::Limacharlie;
use std::sync::Arc;
use tripline_actors::Core;
use tripline_protocol::Timestamp;
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_service::Runtime;

/// What may be around the data of a call: ids and the token.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// Longest call that is read. A longer one could not become an event.
pub const CALL_BYTES_TAKEN_MAX: usize = EVENT_BYTES_MAX + ENVELOPE_BYTES_MAX;

/// The service, if there is a secret that its calls are signed with.
pub fn runtime(config: &Limacharlie, core: &Core, started: Timestamp) -> Option<Arc<Runtime<Role>>> {
    let secret = config.secret.as_ref()?.expose().to_owned();
    let role = Role::new(core, config.detections.clone());
    let runtime = Runtime::new(Arc::new(role), secret, started);
    Some(Arc::new(runtime.taking(CALL_BYTES_TAKEN_MAX)))
}
