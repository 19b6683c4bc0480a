//! A tick, and the event that it is.

use super::listeners::etype;
use serde_json::{Value, json};
use tripline_protocol::event::HostHint;
use tripline_protocol::limacharlie::{Period, ServiceEtype, TickScope};
use tripline_protocol::{Attestation, Event, EventKey, HostId, Name, Org, Timestamp};

/// Who makes them.
pub(crate) const SOURCE: &str = "tripline/timekeeper";

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Org(Org),
    /// A service; `None`: the pipelines, which have one together.
    Once(Option<Name>),
    Sensor(HostId, Org),
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick {
    pub(super) period: Period,
    pub(super) subject: Subject,
    /// In milliseconds since the Unix epoch.
    pub(super) due: u64,
}

impl Tick {
    pub(super) const fn scope(&self) -> TickScope {
        match self.subject {
            Subject::Org(_) => TickScope::Org,
            Subject::Once(_) => TickScope::Once,
            Subject::Sensor(..) => TickScope::Sensor,
        }
    }

    /// The word on the wire.
    pub(super) const fn word(&self) -> &'static str {
        ServiceEtype::Tick(self.scope(), self.period).as_str()
    }

    /// Its id follows from whose it is and when it was due; its time is when it is told, because one that is caught up on is not
    /// to be too old for everybody.
    pub(super) fn to_event(&self, now: Timestamp) -> Option<Event> {
        let (word, due) = (self.word(), self.due);
        let (id, org, host, data) = match &self.subject {
            Subject::Org(org) => (format!("{word}/{due}"), org.clone(), None, json!({})),
            Subject::Once(None) => (format!("{word}/{due}"), Org::default_org(), None, json!({})),
            Subject::Once(Some(name)) => {
                let id = format!("{word}/{name}/{due}");
                (id, Org::default_org(), None, json!({ "service": name }))
            }
            Subject::Sensor(host_id, org) => {
                let id = format!("{word}/{host_id}/{due}");
                let host = Some(HostHint::HostId(*host_id));
                (id, org.clone(), host, json!({ "sid": host_id }))
            }
        };
        Some(Event {
            key: EventKey::derive(&org, SOURCE, &id),
            id,
            org,
            source: SOURCE.to_owned(),
            etype: etype(self.scope(), self.period)?,
            host,
            time: now,
            data,
            // Whoever may publish on NATS can say the same.
            attested_by: Attestation::Publisher,
            depth: 0,
            traceparent: None,
        })
    }
}

/// The service whose own `once_per_…` this event is: it is nobody else's.
pub(crate) fn service_of(event: &Event) -> Option<Name> {
    if event.source != SOURCE || !event.etype.as_str().starts_with("once_per_") {
        return None;
    }
    event.data.get("service").and_then(Value::as_str)?.parse().ok()
}
