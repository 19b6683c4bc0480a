//! What was decided about one event, for whoever asks.

use super::record::{DecisionRecord, of_row};
use crate::fanout::FanoutRecord;
use crate::ground::read;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::router::mark;
use crate::store::{Store, Table};
use tripline_protocol::api::{EventDecisions, WithheldView};
use tripline_protocol::{EventKey, FanoutId, JobId, Name, Org};

/// Decisions of one event that are shown.
const SHOWN_MAX: usize = 1_000;

/// The decisions about an event of `org`, or of any.
pub(crate) fn decisions(store: &Store, org: Option<&Org>, key: EventKey) -> Result<EventDecisions, Refusal> {
    let (jobs, fanouts) = caused(store, org, key)?;
    Ok(EventDecisions {
        key,
        jobs,
        fanouts,
        withheld: withheld(store, org, key)?,
    })
}

fn withheld(store: &Store, org: Option<&Org>, key: EventKey) -> Result<Vec<WithheldView>, Refusal> {
    let views = recorded(store, org, key)?.into_iter();
    Ok(views.map(|(pipeline, record)| record.to_view(pipeline)).collect())
}

/// The records of decisions about an event of `org`, or of any, each with its pipeline if it is one's.
pub(crate) fn recorded(
    store: &Store,
    org: Option<&Org>,
    key: EventKey,
) -> Result<Vec<(Option<Name>, DecisionRecord)>, Refusal> {
    let mut records = Vec::new();
    for (row, _) in store.scan(Table::Withheld, key.as_bytes(), None, SHOWN_MAX)? {
        let record: Option<DecisionRecord> = read(store, Table::Withheld, &row, "decision")?;
        let Some(record) = record.filter(|record| org.is_none_or(|org| *org == record.org)) else {
            continue;
        };
        records.extend(of_row(&row).map(|(_, pipeline)| (pipeline, record)));
    }
    Ok(records)
}

/// The jobs and fan-outs that an event and its replays caused and that are not forgotten.
fn caused(store: &Store, org: Option<&Org>, key: EventKey) -> Result<(Vec<JobId>, Vec<FanoutId>), Refusal> {
    let visible = |of: &Org| org.is_none_or(|org| org == of);
    let (mut jobs, mut fanouts) = (Vec::new(), Vec::new());
    let marks = mark::of_event(store, key)?.into_iter();
    for id in marks.flat_map(|mark| mark.caused) {
        if let Some(job) = read::<JobRecord>(store, Table::Job, id.as_bytes(), "job")? {
            jobs.extend(visible(&job.org).then_some(job.job_id));
        } else if let Some(fanout) = read::<FanoutRecord>(store, Table::Fanout, id.as_bytes(), "fan-out")? {
            fanouts.extend(visible(&fanout.org).then_some(fanout.fanout_id));
        }
    }
    Ok((jobs, fanouts))
}
