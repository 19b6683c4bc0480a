//! The reply to a service's task: a job's result becomes the detection that services of this protocol wait for.

use crate::record::{JobRecord, encode};
use serde_json::json;
use tripline_protocol::event::HostHint;
use tripline_protocol::limacharlie::SERVICE_PREFIX;
use tripline_protocol::limit::{EVENT_BYTES_MAX, TRIPDEPTH_MAX};
use tripline_protocol::{Attestation, Event, EventKey};

/// Who makes them.
const SOURCE: &str = "tripline";
/// What services see as the type of the sensor's reply.
const EVENT_TYPE: &str = "TRIPLINE_JOB";
/// How the first part of an investigation id of a service ends.
const SUFFIX: &str = "-ex";

/// The detection, if the job is a service's task that has ended. Its id follows from the job: however often it is made, it is
/// one event.
pub(crate) fn reply(record: &JobRecord) -> Option<Event> {
    let investigation_id = record.investigation_id.as_ref()?;
    let (task, _) = investigation_id
        .split_once('/')
        .unwrap_or((investigation_id.as_str(), ""));
    if !task.starts_with(SERVICE_PREFIX) || !task.ends_with(SUFFIX) {
        return None;
    }
    let result = record.to_result()?;
    let depth = record.depth.saturating_add(1);
    if depth > TRIPDEPTH_MAX {
        return dropped(record, "too_deep");
    }
    let id = record.job_id.event_id("investigation").to_string();
    let routing = json!({ "investigation_id": investigation_id, "event_type": EVENT_TYPE });
    let event = Event {
        key: EventKey::derive(&record.org, SOURCE, &id),
        id,
        org: record.org.clone(),
        source: SOURCE.to_owned(),
        etype: "detection".parse().ok()?,
        host: Some(HostHint::HostId(record.host.host_id)),
        time: result.finished_at,
        data: json!({ "cat": format!("__{task}"), "routing": routing, "detect": { "event": result, "routing": routing } }),
        attested_by: Attestation::Publisher,
        depth,
        traceparent: record.traceparent.clone(),
    };
    if encode(&event.to_cloudevent()).len() > EVENT_BYTES_MAX {
        return dropped(record, "too_large");
    }
    Some(event)
}

fn dropped(record: &JobRecord, reason: &'static str) -> Option<Event> {
    metrics::counter!("tripline_service_replies_dropped_total", "reason" => reason).increment(1);
    tracing::warn!(job = %record.job_id, reason, "the reply to a service's task is not published");
    None
}
