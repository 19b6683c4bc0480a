//! Reading events for those who follow them: what the actors understood when they took them.

use super::{Core, Delivery};
use crate::ingest::Incoming;
use crate::refusal::Refusal;
use crate::router::{HostBook, Hosts, Resolution};
use std::sync::Arc;
use tripline_protocol::event::StreamedEvent;
use tripline_protocol::{Event, HostId};

impl Core {
    /// The event that a message is, with the host it means. `None`: it is none, and the dead letters have it.
    pub fn read_event(&self, delivery: Delivery) -> Result<Option<StreamedEvent>, Refusal> {
        let ground = Arc::clone(&self.ground);
        let incoming = Incoming::read(&ground.config.subjects, &ground.attester, delivery);
        let Ok(event) = incoming.event else {
            return Ok(None);
        };
        let host = self.host_of(&event)?;
        Ok(Some(StreamedEvent::of(event, host)))
    }

    fn host_of(&self, event: &Event) -> Result<Option<HostId>, Refusal> {
        let Some(hint) = &event.host else {
            return Ok(None);
        };
        let book = HostBook::new(&self.ground.store, &self.ground.attachments);
        Ok(match book.resolve(&event.org, hint)? {
            Resolution::Found(record) => Some(record.host_id),
            Resolution::Unknown | Resolution::Ambiguous(_) => None,
        })
    }
}
