//! Events that steps publish: they go into the outbox with the batch that says that their step is done.

use crate::ground::Ground;
use crate::host::event_message;
use crate::outbox::{Outgoing, stage};
use crate::record::JobRecord;
use crate::store::Batch;
use tripline_protocol::audit::Action;

/// Stages what a job publishes with this batch, and puts it on record. Hand the outgoing to the outbox once the batch
/// is durable.
pub(crate) fn stage_events(ground: &Ground, batch: &mut Batch, record: &JobRecord) -> Vec<Outgoing> {
    let mut outgoing = Vec::with_capacity(record.outgoing.len());
    for event in &record.outgoing {
        let message = event_message(ground, event);
        let entry = ground
            .audit(Action::EventPublish, &record.by(), Some(&event.org))
            .on("event", event.key)
            .on("job", record.job_id)
            .detail("id", &event.id)
            .detail("source", &event.source)
            .detail("etype", &event.etype)
            .detail("bytes", message.payload.len());
        batch.audit(entry);
        metrics::counter!("tripline_slot_events_published_total").increment(1);
        outgoing.push(stage(&ground.load, batch, message));
    }
    outgoing
}
