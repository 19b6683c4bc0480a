//! Jobs of services: increments in their answers, put together by id. Pure.

use serde_json::Value;
use tripline_protocol::api::ServiceJobView;
use tripline_protocol::limacharlie::{HistoryEntry, JobUpdate};
use tripline_protocol::{Name, Org, Timestamp};

/// Entries of a job's history that are kept, the newest.
pub(crate) const HISTORY_MAX: usize = 1_000;
/// Bytes of a job's history that are kept.
pub(crate) const HISTORY_BYTES_MAX: usize = 256 * 1024;
/// Sensors of a job that are kept.
const SIDS_MAX: usize = 1_000;
/// Longest id of a job, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 128;
/// Longest cause, in characters.
const CAUSE_CHARS_MAX: usize = 1_000;

/// Whose update it is.
pub(crate) struct Of<'a> {
    pub(crate) service: &'a Name,
    pub(crate) org: Option<&'a Org>,
    pub(crate) now: Timestamp,
}

/// The job as it is after an update. `None`: its id is none.
pub(crate) fn merged(
    known: Option<ServiceJobView>,
    update: JobUpdate,
    of: &Of<'_>,
) -> Option<ServiceJobView> {
    if update.id.is_empty() || update.id.len() > ID_BYTES_MAX || update.id.contains('\0') {
        return None;
    }
    let mut job = known.unwrap_or_else(|| begun(&update, of));
    job.updated_at = of.now;
    if let Some(cause) = update.cause {
        job.cause = cause.chars().take(CAUSE_CHARS_MAX).collect();
    }
    if let Some(start) = update.start {
        job.started_at = millis(start);
    }
    job.ended_at = update.end.map(millis).or(job.ended_at);
    for sid in update.sid {
        if job.sids.len() < SIDS_MAX && sid.len() <= ID_BYTES_MAX && !job.sids.contains(&sid) {
            job.sids.push(sid);
        }
    }
    // The same update comes again when its answer was lost on the way and the message is delivered once more.
    let skipped = update.hist.len().saturating_sub(HISTORY_MAX);
    job.dropped += skipped as u64;
    for entry in update.hist.into_iter().skip(skipped) {
        if !job.history.contains(&entry) {
            job.history.push(entry);
        }
    }
    cut(&mut job);
    Some(job)
}

fn begun(update: &JobUpdate, of: &Of<'_>) -> ServiceJobView {
    ServiceJobView {
        id: update.id.clone(),
        service: of.service.clone(),
        org: of.org.cloned(),
        cause: String::new(),
        started_at: of.now,
        updated_at: of.now,
        ended_at: None,
        sids: Vec::new(),
        history: Vec::new(),
        dropped: 0,
    }
}

/// Saturates at the ends of time.
fn millis(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis.saturating_mul(1_000))
}

/// Leaves out the oldest entries that are too many.
fn cut(job: &mut ServiceJobView) {
    let mut bytes = 0_usize;
    let kept = job.history.iter().rev().take(HISTORY_MAX).take_while(|entry| {
        bytes += size(entry);
        bytes <= HISTORY_BYTES_MAX
    });
    let too_many = job.history.len() - kept.count();
    job.history.drain(..too_many);
    job.dropped += too_many as u64;
}

fn size(entry: &HistoryEntry) -> usize {
    serde_json::to_value(entry).map_or(0, |value: Value| value.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn update(value: Value) -> JobUpdate {
        serde_json::from_value(value).unwrap()
    }

    fn merge(known: Option<ServiceJobView>, value: Value, at: i64) -> Option<ServiceJobView> {
        let service = "yara".parse().unwrap();
        let of = Of {
            service: &service,
            org: None,
            now: millis(at),
        };
        merged(known, update(value), &of)
    }

    #[test]
    fn increments_become_one_history() {
        let first = json!({ "id": "j", "start": 1_000, "cause": "scan", "sid": ["s"], "hist": [{ "ts": 1, "msg": "begun" }] });
        let job = merge(None, first, 5_000).unwrap();
        assert_eq!((job.started_at, job.cause.as_str()), (millis(1_000), "scan"));
        let next = json!({ "id": "j", "hist": [{ "ts": 2, "msg": "done" }], "end": 9_000 });
        let job = merge(Some(job), next.clone(), 9_500).unwrap();
        let texts = |job: &ServiceJobView| -> Vec<String> {
            job.history.iter().map(|entry| entry.msg.clone()).collect()
        };
        assert_eq!(texts(&job), ["begun", "done"]);
        assert_eq!(
            (job.ended_at, job.updated_at),
            (Some(millis(9_000)), millis(9_500))
        );
        let again = merge(Some(job.clone()), next, 9_600).unwrap();
        assert_eq!(texts(&again), texts(&job), "an answer that came twice");
    }

    #[test]
    fn a_job_of_which_the_beginning_was_missed_is_kept_all_the_same() {
        let job = merge(None, json!({ "id": "j", "end": 2_000 }), 3_000).unwrap();
        assert_eq!(
            (job.started_at, job.ended_at),
            (millis(3_000), Some(millis(2_000)))
        );
    }

    #[test]
    fn a_history_is_bounded_in_entries_and_bytes_and_keeps_the_newest() {
        let entries = |from: usize, count: usize, text: &str| -> Value {
            (from..from + count)
                .map(|n| json!({ "ts": n, "msg": text }))
                .collect()
        };
        let job = merge(
            None,
            json!({ "id": "j", "hist": entries(0, HISTORY_MAX + 7, "x") }),
            0,
        )
        .unwrap();
        assert_eq!((job.history.len(), job.dropped), (HISTORY_MAX, 7));
        assert_eq!(job.history.first().map(|entry| entry.ts), Some(7));
        let long = "y".repeat(HISTORY_BYTES_MAX / 3);
        let job = merge(
            Some(job),
            json!({ "id": "j", "hist": entries(5_000, 4, &long) }),
            1,
        )
        .unwrap();
        assert_eq!(job.history.len(), 2);
        assert_eq!(job.history.last().map(|entry| entry.ts), Some(5_003));
        assert_eq!(job.dropped, 7 + HISTORY_MAX as u64 + 2);
    }

    #[test]
    fn what_a_job_says_of_itself_is_bounded() {
        let sids: Vec<String> = (0..SIDS_MAX + 5).map(|n| n.to_string()).collect();
        let cause = "x".repeat(CAUSE_CHARS_MAX + 1);
        let job = merge(None, json!({ "id": "j", "cause": cause, "sid": sids }), 0).unwrap();
        assert_eq!((job.cause.len(), job.sids.len()), (CAUSE_CHARS_MAX, SIDS_MAX));
    }

    #[test]
    fn a_job_without_a_fit_id_is_none() {
        for id in ["", "a\0b", &"x".repeat(ID_BYTES_MAX + 1)] {
            assert_eq!(merge(None, json!({ "id": id }), 0), None);
        }
    }
}
