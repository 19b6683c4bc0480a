//! Which events of a message count, and how each is known again.

use super::changes::{Oddity, Outcome, Reported};
use tripline_protocol::littlebrother::{TEXT_BYTES_MAX, WireEvent};
use tripline_protocol::{HostId, Timestamp, limit};
use uuid::Uuid;

/// Largest payload passed on, in bytes. Clients have none.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// An event that counts.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) event: WireEvent,
    id: Uuid,
    /// A short form of the id.
    pub(super) mark: u64,
    /// It came lately: it is not published again.
    pub(super) known: bool,
    /// It came lately, and so did everything before it in its message: it is not handled again.
    pub(super) repeated: bool,
}

impl Sound {
    pub(super) fn into_reported(self, time: Timestamp) -> Reported {
        Reported {
            id: self.id.to_string(),
            time,
            event: self.event,
        }
    }
}

/// Checks what an edge may not have: messages also come in frames of agents.
pub(super) fn check(
    mut event: WireEvent,
    sender: &str,
    own: HostId,
    outcome: &mut Outcome,
) -> Result<Sound, Oddity> {
    if !event.event_type.is_from_client() {
        return Err(Oddity::ServerType);
    }
    if event.hostname != sender {
        return Err(Oddity::ForeignHost);
    }
    let of_no_process = event.pid.is_none() || event.process_start_time.is_none();
    if has_long_text(&event) || (event.event_type.is_of_process() && of_no_process) {
        return Err(Oddity::Unsound);
    }
    if event.payload.as_ref().is_some_and(is_too_large) {
        event.payload = None;
        outcome.note(Oddity::PayloadDropped, 1);
    }
    let id = Uuid::new_v5(&own.0, event.to_canonical_json().as_bytes());
    Ok(Sound {
        event,
        id,
        mark: id.as_u64_pair().1,
        known: false,
        repeated: false,
    })
}

fn has_long_text(event: &WireEvent) -> bool {
    let texts = [
        &event.hostlabel,
        &event.locale,
        &event.processhandler,
        &event.processname,
        &event.text,
        &event.username,
    ];
    let mut texts = texts.into_iter().flatten();
    texts.any(|text| text.len() > TEXT_BYTES_MAX)
}

fn is_too_large(payload: &serde_json::Value) -> bool {
    !limit::is_shallow(payload) || payload.to_string().len() > PAYLOAD_BYTES_MAX
}
