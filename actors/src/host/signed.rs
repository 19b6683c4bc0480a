//! An event as an edge publishes it.

use crate::ground::Ground;
use crate::ports::OutMessage;
use tripline_protocol::{Attestation, Event};

/// An event as an edge publishes it: signed, so that it is known again when it comes back.
pub(crate) fn event_message(ground: &Ground, event: &Event) -> OutMessage {
    let payload = crate::record::encode(&event.to_cloudevent());
    let mut headers = vec![(
        "Content-Type".to_owned(),
        "application/cloudevents+json".to_owned(),
    )];
    if event.attested_by != Attestation::Publisher {
        let signature = ground.attester.sign(event.attested_by, event.key, &payload);
        headers.push((tripline_protocol::subject::HEADER_ATTESTATION.into(), signature));
    }
    OutMessage {
        subject: ground.config.subjects.event(&event.org, &event.etype),
        message_id: event.key.to_string(),
        headers,
        payload,
    }
}
