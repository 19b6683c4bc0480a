//! The spans themselves: what each tells, and whose part it is.

use super::context::{Context, Of, key};
use super::{TraceKind, TraceSpan, TraceValue, short};
use crate::ground::Ground;
use crate::record::JobRecord;
use tripline_protocol::job::Outcome;
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, Event, Timestamp};

/// A part of a job that is over while the job goes on, or ends with the same batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Passed {
    /// An attempt; the next one has begun.
    Attempt {
        number: u32,
        began_at: Timestamp,
        ended_at: Timestamp,
        /// Why it was not the last one.
        why: String,
    },
    /// A command.
    Command {
        command_id: CommandId,
        attempt: u32,
        /// The step's id.
        step: String,
        verb: Verb,
        began_at: Timestamp,
        ended_at: Timestamp,
        /// Why it failed, if it did.
        failed: Option<String>,
    },
}

/// What the router decided about an event.
pub(crate) struct Decided<'a> {
    pub(crate) event: &'a Event,
    /// 0, and one more for each replay.
    pub(crate) run: u32,
    pub(crate) stored_at: Timestamp,
    pub(crate) began_at: Timestamp,
    pub(crate) jobs: usize,
    /// The dead letter's reason.
    pub(crate) dead: Option<&'static str>,
}

/// An event, from when the broker stored it, and the decision about it. The event ends with its
/// commit: [`commit`] says so.
pub(crate) fn decided(ground: &Ground, decided: &Decided<'_>) -> Vec<TraceSpan> {
    let event = decided.event;
    let Some(context) = ground.traces.wanted(|| Context::of_event(event)) else {
        return Vec::new();
    };
    let run = decided.run.to_be_bytes();
    let ids: [&[u8]; 2] = [event.key.as_bytes(), &run];
    let failed = decided.dead.map(str::to_owned);
    let now = ground.now();
    let taken = TraceSpan {
        trace_id: context.trace_id,
        span_id: Of::Event.id(&ids),
        parent: context.parent,
        name: "ingest.event",
        kind: TraceKind::Consumer,
        began_at: decided.stored_at.min(decided.began_at),
        ended_at: now,
        attributes: vec![
            ("tripline.org", event.org.as_str().into()),
            ("tripline.event.id", event.id.as_str().into()),
            ("tripline.event.source", event.source.as_str().into()),
            ("tripline.event.etype", event.etype.as_str().into()),
            ("tripline.run", decided.run.into()),
        ],
        failed: failed.clone(),
    };
    let jobs = u32::try_from(decided.jobs).unwrap_or(u32::MAX);
    let decision = TraceSpan {
        span_id: Of::Decision.id(&ids),
        parent: Some(taken.span_id),
        name: "router.decide",
        kind: TraceKind::Internal,
        began_at: decided.began_at,
        attributes: vec![("tripline.jobs", jobs.into())],
        failed,
        ..taken.clone()
    };
    vec![taken, decision]
}

/// Sends the spans of events and of what they caused, now that it is durable.
pub(crate) fn commit(ground: &Ground, mut spans: Vec<TraceSpan>) {
    let now = ground.now();
    for span in spans.iter_mut().filter(|span| span.kind == TraceKind::Consumer) {
        span.ended_at = now;
    }
    ground.traces.send(spans);
}

/// What a job has behind it, to be sent with the batch that says so.
pub(crate) fn passed(ground: &Ground, record: &JobRecord) -> Vec<TraceSpan> {
    if record.passed.is_empty() {
        return Vec::new();
    }
    let Some(context) = ground.traces.wanted(|| Context::of_job(record)) else {
        return Vec::new();
    };
    record
        .passed
        .iter()
        .map(|passed| passed_span(context, record, passed))
        .collect()
}

fn passed_span(context: Context, record: &JobRecord, passed: &Passed) -> TraceSpan {
    match passed {
        Passed::Attempt {
            number,
            began_at,
            ended_at,
            why,
        } => attempt(
            context,
            record,
            *number,
            (*began_at, *ended_at),
            Some(why.clone()),
        ),
        Passed::Command {
            command_id,
            attempt,
            step,
            verb,
            began_at,
            ended_at,
            failed,
        } => TraceSpan {
            trace_id: context.trace_id,
            span_id: Of::Command.id(&[command_id.as_bytes()]),
            parent: Some(attempt_id(record, *attempt)),
            name: "host.command",
            kind: TraceKind::Client,
            began_at: *began_at,
            ended_at: *ended_at,
            attributes: vec![
                ("tripline.command.id", command_id.to_string().into()),
                ("tripline.step", step.as_str().into()),
                ("tripline.verb", verb.as_str().into()),
                ("tripline.host.id", record.host.host_id.to_string().into()),
            ],
            failed: failed.as_deref().map(short),
        },
    }
}

fn attempt_id(record: &JobRecord, number: u32) -> [u8; 8] {
    Of::Attempt.id(&[record.job_id.as_bytes(), &number.to_be_bytes()])
}

fn attempt(
    context: Context,
    record: &JobRecord,
    number: u32,
    (began_at, ended_at): (Timestamp, Timestamp),
    failed: Option<String>,
) -> TraceSpan {
    TraceSpan {
        trace_id: context.trace_id,
        span_id: attempt_id(record, number),
        parent: Some(job_id(record)),
        name: "slot.attempt",
        kind: TraceKind::Internal,
        began_at,
        ended_at,
        attributes: vec![("tripline.attempt", number.into())],
        failed: failed.as_deref().map(short),
    }
}

/// The attempt under way, if one is.
fn last_attempt(
    context: Context,
    record: &JobRecord,
    ended_at: Timestamp,
    failed: Option<String>,
) -> Option<TraceSpan> {
    let began_at = record.attempt_at?;
    Some(attempt(
        context,
        record,
        record.attempt,
        (began_at, ended_at),
        failed,
    ))
}

/// A job that waits again: its attempt is over.
pub(crate) fn given_back(ground: &Ground, record: &JobRecord, why: &str) -> Vec<TraceSpan> {
    let Some(context) = ground.traces.wanted(|| Context::of_job(record)) else {
        return Vec::new();
    };
    let mut spans = passed(ground, record);
    spans.extend(last_attempt(context, record, ground.now(), Some(why.to_owned())));
    spans
}

fn job_id(record: &JobRecord) -> [u8; 8] {
    Of::Job.id(&[record.job_id.as_bytes()])
}

/// A job that ended, with its last attempt and what else it has behind it.
pub(crate) fn ended(ground: &Ground, record: &JobRecord) -> Vec<TraceSpan> {
    let (Some(outcome), Some(ended_at)) = (record.state.outcome(), record.finished_at) else {
        return Vec::new();
    };
    let Some(context) = ground.traces.wanted(|| Context::of_job(record)) else {
        return Vec::new();
    };
    let code = record.reason.as_ref().map(|reason| short(&reason.code));
    let failed = code.filter(|_| outcome != Outcome::Succeeded);
    let mut spans = passed(ground, record);
    spans.extend(last_attempt(context, record, ended_at, failed.clone()));
    let run = record.run.to_be_bytes();
    let decision = key(record).map(|key| Of::Decision.id(&[key.as_bytes(), &run]));
    spans.push(TraceSpan {
        trace_id: context.trace_id,
        span_id: job_id(record),
        // A submitted job with a trace of its submitter's.
        parent: decision.or(context.parent),
        name: "scheduler.job",
        kind: TraceKind::Internal,
        began_at: record.queued_at,
        ended_at,
        attributes: job_attributes(record, outcome),
        failed,
    });
    spans
}

fn job_attributes(record: &JobRecord, outcome: Outcome) -> Vec<(&'static str, TraceValue)> {
    let mut attributes = vec![
        ("tripline.org", record.org.as_str().into()),
        ("tripline.job.id", record.job_id.to_string().into()),
        ("tripline.job.name", record.name.as_str().into()),
        ("tripline.job.outcome", outcome.as_str().into()),
        ("tripline.job.attempts", record.attempt.into()),
        ("tripline.host.id", record.host.host_id.to_string().into()),
        ("host.name", record.host.hostname.as_str().into()),
        ("tripline.run", record.run.into()),
    ];
    let reason = record.reason.as_ref();
    attributes.extend(reason.map(|reason| ("tripline.job.reason", reason.code.as_str().into())));
    let pipeline = record.pipeline.as_ref();
    attributes.extend(pipeline.map(|pipeline| ("tripline.pipeline", pipeline.name.as_str().into())));
    attributes
}

/// The publication of a job's result, from now until the broker has it: [`TraceSpan::ended_at`] is to be set then.
pub(crate) fn result(ground: &Ground, record: &JobRecord, subject: &str) -> Option<Box<TraceSpan>> {
    let context = ground.traces.wanted(|| Context::of_job(record))?;
    let now = ground.now();
    Some(Box::new(TraceSpan {
        trace_id: context.trace_id,
        span_id: Of::Result.id(&[record.job_id.as_bytes()]),
        parent: Some(job_id(record)),
        name: "outbox.result",
        kind: TraceKind::Producer,
        began_at: now,
        ended_at: now,
        attributes: vec![
            ("messaging.system", "nats".into()),
            ("messaging.destination.name", subject.into()),
        ],
        failed: None,
    }))
}
