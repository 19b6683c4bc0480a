//! What was decided about one event, for whoever asks.

use super::record::{DecisionRecord, of_row};
use crate::ground::read;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::router::mark;
use crate::store::{Store, Table};
use tripline_protocol::api::{EventDecisions, WithheldView};
use tripline_protocol::{EventKey, JobId, Name, Org};

/// Decisions of one event that are shown.
const SHOWN_MAX: usize = 1_000;

/// The decisions about an event of `org`, or of any.
pub(crate) fn decisions(store: &Store, org: Option<&Org>, key: EventKey) -> Result<EventDecisions, Refusal> {
    Ok(EventDecisions {
        key,
        jobs: jobs(store, org, key)?,
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

/// The jobs that an event and its replays caused and that are not forgotten.
fn jobs(store: &Store, org: Option<&Org>, key: EventKey) -> Result<Vec<JobId>, Refusal> {
    let mut jobs = Vec::new();
    for id in mark::of_event(store, key)?
        .into_iter()
        .flat_map(|mark| mark.caused)
    {
        let job: Option<JobRecord> = read(store, Table::Job, id.as_bytes(), "job")?;
        let visible = job.filter(|job| org.is_none_or(|org| *org == job.org));
        jobs.extend(visible.map(|job| job.job_id));
    }
    Ok(jobs)
}
