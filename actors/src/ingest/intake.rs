//! The first look at a delivery, on the caller's thread: is it an event at all, and which sequences are settled.

use super::Attester;
use crate::core::Delivery;
use crate::ground::Ground;
use crate::outbox::{Outgoing, stage};
use crate::ports::OutMessage;
use crate::replay::Replay;
use crate::store::Batch;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use tripline_protocol::event::WireEvent;
use tripline_protocol::subject::{
    HEADER_ATTESTATION, HEADER_DEAD_MESSAGE_ID, HEADER_DEAD_PLACE, HEADER_DEAD_REASON, HEADER_DEAD_SUBJECT,
    HEADER_DEAD_TEXT, HEADER_MSG_ID, HEADER_REPLAY,
};
use tripline_protocol::{Event, Org, Subjects};

/// Deliveries of one message after which it is not evaluated again.
const DELIVERIES_MAX: u64 = 5;

/// Why a delivery goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    /// One NATS token.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) text: String,
}

/// A delivery and what it turned out to be.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) delivery: Delivery,
    pub(crate) org: Option<Org>,
    pub(crate) event: Result<Event, Dead>,
    /// There when a person replays it.
    pub(crate) replay: Option<Replay>,
}

impl Incoming {
    /// Understands a delivery.
    pub(crate) fn read(subjects: &Subjects, attester: &Attester, delivery: Delivery) -> Self {
        let (org, event) = match subjects.parse_event(&delivery.subject) {
            Err(error) => (
                None,
                Err(Dead {
                    reason: "bad_subject",
                    text: error.to_string(),
                }),
            ),
            Ok((org, _)) if delivery.delivered > DELIVERIES_MAX => {
                let text = format!("delivered {} times without being handled", delivery.delivered);
                (
                    Some(org),
                    Err(Dead {
                        reason: "poison",
                        text,
                    }),
                )
            }
            Ok((org, etype)) => {
                let wire = WireEvent {
                    org: &org,
                    etype: &etype,
                    headers: &delivery.headers,
                    payload: &delivery.payload,
                    stream: &delivery.stream,
                    sequence: delivery.sequence,
                    stored_at: delivery.stored_at,
                };
                let event = Event::from_wire(&wire).map_err(|error| Dead {
                    reason: error.reason(),
                    text: error.to_string(),
                });
                (Some(org), event)
            }
        };
        let mut incoming = Self {
            delivery,
            org,
            event,
            replay: None,
        };
        incoming.attest(attester);
        incoming
    }

    fn attest(&mut self, attester: &Attester) {
        let Ok(event) = &mut self.event else { return };
        // Edges publish whole CloudEvents. In any other form the signed payload would be somebody else's data.
        if !is_structured(&self.delivery.headers) {
            return;
        }
        let delivery = &self.delivery;
        let header = |wanted: &str| delivery.headers.iter().find(|(name, _)| name == wanted);
        if let Some((_, value)) = header(HEADER_ATTESTATION) {
            event.attested_by = attester.check(value, event.key, &delivery.payload);
        }
        self.replay = header(HEADER_REPLAY)
            .and_then(|(_, value)| attester.check_replay(value, event.key, &delivery.payload));
    }

    /// Adds the dead letter: the delivery whole, with the reason in headers.
    pub(crate) fn stage_dead(&self, ground: &Ground, batch: &mut Batch, dead: &Dead) -> Outgoing {
        metrics::counter!("tripline_ingest_dead_total", "reason" => dead.reason).increment(1);
        let delivery = &self.delivery;
        tracing::warn!(
            subject = %delivery.subject,
            sequence = delivery.sequence,
            reason = dead.reason,
            "event goes to the dead letters: {}", dead.text
        );
        let own = [
            HEADER_DEAD_REASON,
            HEADER_DEAD_TEXT,
            HEADER_DEAD_SUBJECT,
            HEADER_DEAD_MESSAGE_ID,
            HEADER_DEAD_PLACE,
        ];
        let nats = |name: &str| {
            name.get(..5)
                .is_some_and(|prefix| prefix.eq_ignore_ascii_case("Nats-"))
        };
        let mut headers: Vec<(String, String)> = delivery
            .headers
            .iter()
            // Headers of the broker's own would act on the dead letter's publication.
            .filter(|(name, _)| !nats(name) && !own.contains(&name.as_str()))
            .cloned()
            .collect();
        headers.push((HEADER_DEAD_REASON.into(), dead.reason.into()));
        headers.push((HEADER_DEAD_TEXT.into(), header_safe(&dead.text)));
        headers.push((HEADER_DEAD_SUBJECT.into(), delivery.subject.clone()));
        headers.push((HEADER_DEAD_PLACE.into(), crate::replay::place(delivery)));
        let mut ids = delivery.headers.iter();
        let id = ids.find(|(name, _)| name.eq_ignore_ascii_case(HEADER_MSG_ID));
        headers.extend(id.map(|(_, id)| (HEADER_DEAD_MESSAGE_ID.to_owned(), id.clone())));
        let message = OutMessage {
            subject: ground.config.subjects.dead(self.org.as_ref(), dead.reason),
            message_id: format!("dead/{}/{}/{}", delivery.stream, delivery.sequence, dead.reason),
            headers,
            payload: delivery.payload.to_vec(),
        };
        stage(&ground.load, batch, message)
    }
}

/// Whether the payload is the whole event, by its content type.
fn is_structured(headers: &[(String, String)]) -> bool {
    const STRUCTURED: &str = "application/cloudevents+json";
    let kind = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    kind.is_some_and(|(_, kind)| kind == STRUCTURED)
}

/// Header values are one line.
fn header_safe(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

/// Sequences whose handling was cut off because the actors died. It outlives a generation of actors, so that
/// the position never passes a delivery that nobody handled.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<BTreeSet<u64>>);

impl Abandoned {
    /// A batch was cut off.
    pub(crate) fn note(&self, sequences: &[u64]) {
        self.0.lock().extend(sequences);
    }

    /// Another stream has other sequences.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The stream has nothing up to `sequence` any more: these never come again.
    pub(crate) fn forget_up_to(&self, sequence: u64) {
        self.0.lock().retain(|abandoned| *abandoned > sequence);
    }

    /// A batch is handled now. Returns up to where the position may go with it.
    pub(crate) fn settle(&self, sequences: impl Iterator<Item = u64>) -> u64 {
        let mut abandoned = self.0.lock();
        let mut last = 0;
        for sequence in sequences {
            abandoned.remove(&sequence);
            last = last.max(sequence);
        }
        abandoned
            .first()
            .map_or(last, |first| last.min(first.saturating_sub(1)))
    }
}
