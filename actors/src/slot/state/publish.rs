//! Steps that publish an event. It goes out with the batch that says that the step is done, under an id that follows
//! from the job and the step: a step that is run again after a crash publishes the same event.

use super::*;
use serde_json::{Value, json};
use tripline_protocol::detection::{Detection, fault_of_event};
use tripline_protocol::event::HostHint;
use tripline_protocol::limit::{EVENT_BYTES_MAX, NESTING_MAX, TRIPDEPTH_MAX, is_shallow};
use tripline_protocol::step::{Detect, EventHost, Publish};
use tripline_protocol::{Attestation, Event, EventKey};

/// Who made the events of steps.
const SOURCE: &str = "tripline";
/// The outbox has no room for more than the results of jobs.
const OUTBOX_FULL: &str = "outbox_full";
/// Events that go out with one batch, and their bytes, which the last of them may exceed.
const TURN_EVENTS_MAX: usize = 16;
const TURN_BYTES_MAX: usize = 1024 * 1024;

impl Session {
    /// Publishes an event as step `index`, which is done then.
    pub(super) fn publish(&mut self, index: usize, publish: Publish) -> Result<(), Fault> {
        let published = self
            .event(index, publish)
            .and_then(|event| self.check_event(event));
        let (event, bytes) = published.inspect_err(|fault| {
            metrics::counter!("tripline_slot_events_refused_total", "reason" => fault.code.clone())
                .increment(1);
        })?;
        if let Some(report) = self.record.reports.get_mut(index) {
            report.status = StepStatus::Succeeded;
            report.started_at.get_or_insert(self.moment.now);
            report.finished_at = Some(self.moment.now);
            report.error = None;
            report.output = Some(json!({ "id": event.id, "etype": event.etype }));
            self.inline_bytes += inline_len(report.output.as_ref());
        }
        self.record.outgoing.push(event);
        self.outgoing_bytes += bytes;
        self.unsaved = true;
        Ok(())
    }

    /// Whether so much goes out with the next batch that others should come first.
    pub(super) fn has_published_enough(&self) -> bool {
        self.record.outgoing.len() >= TURN_EVENTS_MAX || self.outgoing_bytes >= TURN_BYTES_MAX
    }

    /// Has what was done made durable before it goes on; `ack` is a command whose result is in the record.
    pub(super) fn yield_turn(&mut self, ack: Option<CommandId>) -> Vec<Effect> {
        self.yielded = true;
        let mut effects = vec![Effect::Persist(self.snapshot())];
        effects.extend(ack.map(|ack| self.host(ToHostEffect::Ack(ack))));
        effects.push(Effect::NextTurn(self.record.job_id));
        effects
    }

    /// The same of a detection.
    pub(super) fn detect(&mut self, index: usize, detect: Detect) -> Result<(), Fault> {
        let Detect {
            etype,
            cat,
            priority,
            data,
        } = detect;
        let mut event = Detection { cat, priority, data }.to_data();
        event.insert("job_id".to_owned(), json!(self.record.job_id));
        if let Some(pipeline) = &self.record.pipeline {
            event.insert("pipeline".to_owned(), json!(pipeline.name));
        }
        let host = EventHost::OfJob;
        self.publish(
            index,
            Publish {
                etype,
                data: Value::Object(event),
                host,
            },
        )
    }

    fn event(&self, index: usize, publish: Publish) -> Result<Event, Fault> {
        let record = &self.record;
        let depth = record.depth.saturating_add(1);
        if depth > TRIPDEPTH_MAX {
            let text = format!("{} pipelines led to this event already", record.depth);
            return Err(Fault::server("too_deep", text));
        }
        let report = record.reports.get(index);
        let step = report.map_or("", |report| report.id.as_str());
        let id = record.job_id.event_id(step).to_string();
        let host = match publish.host {
            EventHost::OfJob => Some(HostHint::HostId(record.host.host_id)),
            EventHost::Nobody => None,
            EventHost::Named(name) => Some(match name.parse() {
                Ok(host_id) => HostHint::HostId(host_id),
                Err(_) => HostHint::Subject(name),
            }),
        };
        Ok(Event {
            key: EventKey::derive(&record.org, SOURCE, &id),
            id,
            org: record.org.clone(),
            source: SOURCE.to_owned(),
            etype: publish.etype,
            host,
            time: self.moment.now,
            data: publish.data,
            // What it says may be anybody's words.
            attested_by: Attestation::Publisher,
            depth,
            traceparent: record.traceparent.clone(),
        })
    }

    /// Nothing is published that a publisher could not have published either. Returns it with its bytes.
    fn check_event(&self, event: Event) -> Result<(Event, usize), Fault> {
        if !is_shallow(&event.data) {
            let text = format!("the event's data is nested more than {NESTING_MAX} levels deep");
            return Err(Fault::server("bad_argument", text));
        }
        if let Some(fault) = fault_of_event(&event.etype, &event.data) {
            return Err(Fault::server("bad_argument", fault));
        }
        let bytes = crate::record::encode(&event.to_cloudevent()).len();
        if bytes > EVENT_BYTES_MAX {
            let text = format!("an event of {bytes} bytes, at most {EVENT_BYTES_MAX} are taken");
            return Err(Fault::server("too_large", text));
        }
        // Those before it in this turn are not in the outbox yet.
        if self.record.outgoing.len() as u64 >= self.moment.outbox_room {
            return Err(Fault::server(
                OUTBOX_FULL,
                "too many messages wait for the broker",
            ));
        }
        Ok((event, bytes))
    }

    /// Whether a fault says that it may be better later.
    pub(super) fn is_passing(fault: &Fault) -> bool {
        fault.code == OUTBOX_FULL
    }
}
