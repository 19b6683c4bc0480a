//! A fan-out ends: its record says how, and its summary goes out with it.

use super::reading::read_row;
use super::record::{Ended, FanoutRecord, HostRow, Turn, host_key, place};
use super::state::Member;
use super::{Fanouts, Open};
use crate::ground::{Ground, read};
use crate::outbox::{Outgoing, stage};
use crate::ports::OutMessage;
use crate::record::{HostRecord, encode};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use serde::Serialize;
use tripline_protocol::fanout::{FanoutHostState, FanoutHostView, FanoutOutcome, FanoutSummary};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{FanoutId, HostId, Timestamp};

/// Hosts that a summary names.
pub(super) const NAMED_MAX: usize = 100;

impl Fanouts {
    pub(super) fn finish(
        &mut self,
        id: FanoutId,
        (outcome, reason): (FanoutOutcome, Reason),
        mut batch: Batch,
        then: impl FnOnce() + Send + 'static,
    ) {
        let Some(mut open) = self.open.remove(&id) else {
            return;
        };
        let outgoing = end(&self.ground, &mut open, (outcome, reason), &mut batch);
        self.note_ended(open.machine.record().clone());
        self.persist(batch, outgoing, Some((id, None)), then);
    }

    /// One that ended is on its way to the store.
    pub(super) fn note_ended(&mut self, record: FanoutRecord) {
        self.finishing.insert(record.fanout_id, record);
        self.pruner.ended();
    }

    /// Lets go of those whose end the store has by now.
    pub(super) fn forget_finished(&mut self) {
        let store = &self.ground.store;
        self.finishing.retain(|_, finished| !has_end(store, finished));
    }
}

/// Whether the store has the end of one that ended. One that ended in the batch in which it began is not there at all before;
/// none is forgotten while it is on its way.
fn has_end(store: &Store, finished: &FanoutRecord) -> bool {
    let id = finished.fanout_id;
    let stored: Result<Option<FanoutRecord>, Refusal> = read(store, Table::Fanout, id.as_bytes(), "fan-out");
    match stored {
        Ok(stored) => stored.is_some_and(|stored| stored.ends >= finished.ends),
        // The store cannot be read: whoever asks for it is told so.
        Err(_) => true,
    }
}

/// Writes how one ends, with its summary.
pub(super) fn end(
    ground: &Ground,
    open: &mut Open,
    (outcome, reason): (FanoutOutcome, Reason),
    batch: &mut Batch,
) -> Vec<Outgoing> {
    let counts = open.machine.counts();
    let record = open.machine.record_mut();
    record.ends += 1;
    record.paused = None;
    record.ended = Some(Ended {
        outcome,
        reason,
        at: ground.now(),
        counts,
    });
    let record = open.machine.record();
    record.put(batch);
    let id = record.fanout_id;
    tracing::info!(fanout = %id, name = %record.name, %outcome, hosts = counts.hosts, "fan-out ended");
    metrics::counter!("tripline_fanouts_ended_total", "outcome" => outcome.as_str()).increment(1);
    match summary(ground, open) {
        Ok(summary) => vec![stage_summary(ground, batch, record, outcome, &summary)],
        // The store cannot be read: the process is about to end with that reason.
        Err(error) => {
            tracing::error!(fanout = %id, %error, "the summary of a fan-out cannot be made");
            Vec::new()
        }
    }
}

fn stage_summary(
    ground: &Ground,
    batch: &mut Batch,
    record: &FanoutRecord,
    outcome: FanoutOutcome,
    summary: &FanoutSummary,
) -> Outgoing {
    let message_id = format!("{}/{}", record.fanout_id, record.ends);
    let payload = encode(&Envelope {
        specversion: "1.0",
        id: &message_id,
        source: "tripline",
        r#type: format!("tripline.fanout.{outcome}"),
        time: ground.now(),
        datacontenttype: "application/json",
        traceparent: record.traceparent.as_deref(),
        data: summary,
    });
    let mut headers = vec![(
        "Content-Type".to_owned(),
        "application/cloudevents+json".to_owned(),
    )];
    if let Some(traceparent) = &record.traceparent {
        headers.push(("traceparent".into(), traceparent.clone()));
    }
    let subjects = &ground.config.subjects;
    let subject = subjects.fanout(&record.org, &record.name, outcome, record.fanout_id);
    let message = OutMessage {
        subject,
        message_id,
        headers,
        payload,
    };
    stage(&ground.load, batch, message)
}

/// A summary as a CloudEvent. Attributes are absent rather than null.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: String,
    time: Timestamp,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a FanoutSummary,
}

fn summary(ground: &Ground, open: &Open) -> Result<FanoutSummary, Refusal> {
    let machine = &open.machine;
    let record = machine.record();
    let well = FanoutHostState::Ended(Outcome::Succeeded);
    let hosts = machine.in_order();
    let wrong: Vec<&(HostId, Member)> = hosts.iter().filter(|(_, member)| member.state != well).collect();
    let named = wrong.iter().take(NAMED_MAX);
    let not_succeeded = named
        .map(|(host, member)| {
            let row = match open.written.row(member.order, *host) {
                Some(row) if row.run == member.run => Some(row.clone()),
                _ => row_of(ground, record.fanout_id, *host)?,
            };
            let view = host_view(ground, record, *host, member.found_in, row)?;
            // What happened to all at once may be newer than what a row says.
            Ok(FanoutHostView {
                state: member.state,
                run: member.run,
                ..view
            })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    Ok(FanoutSummary {
        fanout: record.to_view(machine.counts(), None),
        more: (wrong.len() - not_succeeded.len()) as u64,
        not_succeeded,
    })
}

/// The row of a host. One that cannot be read says so.
pub(super) fn row_of(ground: &Ground, id: FanoutId, host: HostId) -> Result<Option<HostRow>, Refusal> {
    let value = ground.store.get(Table::FanoutHost, &host_key(id, host))?;
    Ok(value.map(|value| read_row(&value, ground.now())))
}

/// A host as the store has it; `turn`: up to which entry of the history it was found.
pub(super) fn host_view(
    ground: &Ground,
    record: &FanoutRecord,
    host_id: HostId,
    turn: u32,
    row: Option<HostRow>,
) -> Result<FanoutHostView, Refusal> {
    let known: Option<HostRecord> = read(&ground.store, Table::Host, host_id.as_bytes(), "host")?;
    let is = place(&record.history, turn, row.as_ref());
    let closed = is.by.and_then(|index| record.history.get(index));
    let (reason, finished_at) = match (closed, is.state) {
        (Some(Turn::Closed { reason, at, .. }), _) => (Some(reason.clone()), Some(*at)),
        (_, FanoutHostState::Pending) => (None, None),
        _ => (
            row.as_ref().and_then(|row| row.reason.clone()),
            row.as_ref().and_then(|row| row.finished_at),
        ),
    };
    Ok(FanoutHostView {
        host_id,
        hostname: known.map(|host| host.hostname).unwrap_or_default(),
        state: is.state,
        job_id: row.and_then(|row| row.job_id),
        run: is.run,
        reason,
        finished_at,
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::Definition;
    use super::super::tests::{commit, record, store};
    use super::*;
    use tripline_protocol::fanout::Pace;
    use tripline_protocol::job::JobSpec;

    #[test]
    fn the_end_of_a_fan_out_is_in_the_store_when_it_says_so_and_not_before_it_is_there() {
        let (_dir, store) = store();
        let mut finished = record(Pace::default(), false);
        finished.ends = 1;
        assert!(!has_end(&store, &finished), "it began in the batch of its end");
        let spec = Box::new(JobSpec::new("sweep".parse().unwrap(), Vec::new()));
        for (ends, has) in [(0, false), (1, true), (2, true)] {
            let mut batch = Batch::new();
            let stored = FanoutRecord {
                ends,
                ..finished.clone()
            };
            stored.put_new(&Definition::Job { spec: spec.clone() }, &mut batch);
            commit(&store, batch);
            assert_eq!(has_end(&store, &finished), has, "it ended {ends} times");
        }
    }
}
