//! What LimaCharlie is to hear of jobs: lc jobs, whose updates travel in answers to its calls.
//!
//! Every job of a subscribed org has a row from its acceptance until its end was told. It is written with the batch that accepts
//! or ends the job, and shortened when an answer with it was written; what nobody knows to have arrived goes again. Kept
//! outside the actors, because edges take news for each answer, is only which rows have any.

use super::record::{news_row, rows_of};
use crate::ground::{Ground, read};
use crate::link;
use crate::record::{HostRecord, JobRecord, encode};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{HashMap, HashSet, VecDeque};
use tripline_protocol::limacharlie::{Attachment, HistoryEntry, JobUpdate};
use tripline_protocol::step::{StepReport, StepStatus};
use tripline_protocol::{HostId, JobId, Org, Timestamp};
use uuid::Uuid;

/// Jobs of an org of which there may be news; those of further ones are dropped and counted.
pub(super) const NEWS_MAX: u64 = 1_000;
/// Updates in one answer.
pub(super) const UPDATES_PER_ANSWER_MAX: usize = 16;
/// Bytes of the updates in one answer, at which no further one is added.
const UPDATES_BYTES_MAX: usize = 512 * 1024;
/// Largest result that is attached as a whole, in bytes of JSON.
const RESULT_BYTES_MAX: usize = 64 * 1024;
/// Steps that are listed.
const STEPS_MAX: usize = 100;
/// Lines about steps that ended while the job went on; its end lists them all.
const STEP_LINES_MAX: usize = 20;

/// A job, as far as LimaCharlie has not heard of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewsRow {
    start: i64,
    cause: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sid: Vec<String>,
    /// Lines that were not told.
    hist: Vec<HistoryEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    /// Its first update was told.
    #[serde(default)]
    told: bool,
    #[serde(default)]
    steps: Noted,
}

/// Which ends of steps are in a job's history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Noted {
    /// Steps of this attempt that had ended when it was last looked at.
    ended: usize,
    /// Lines there ever were about steps.
    lines: usize,
}

impl Noted {
    /// Those of the lines of all steps that are new.
    fn new_lines(&mut self, lines: Vec<HistoryEntry>) -> Vec<HistoryEntry> {
        // Of a new attempt there are fewer.
        let known = self.ended.min(lines.len());
        self.ended = lines.len();
        let room = STEP_LINES_MAX.saturating_sub(self.lines);
        let new: Vec<HistoryEntry> = lines.into_iter().skip(known).take(room).collect();
        self.lines += new.len();
        new
    }
}

/// An update that is in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) job_id: JobId,
    lines: usize,
    ended: bool,
}

/// Updates for an answer, and what they are.
#[derive(Debug, Default)]
pub struct Carried {
    /// The updates.
    pub updates: Vec<JobUpdate>,
    pub(crate) told: Vec<Told>,
}

/// Which rows have something to tell.
#[derive(Debug, Default)]
pub(crate) struct News {
    orgs: Mutex<HashMap<Org, OfOrg>>,
}

#[derive(Debug, Default)]
struct OfOrg {
    /// All rows, those with nothing to tell included.
    rows: u64,
    waiting: VecDeque<JobId>,
    is_waiting: HashSet<JobId>,
    /// In an answer that is being written.
    out: HashSet<JobId>,
}

impl OfOrg {
    fn push(&mut self, job_id: JobId) {
        if !self.out.contains(&job_id) && self.is_waiting.insert(job_id) {
            self.waiting.push_back(job_id);
        }
    }
}

impl NewsRow {
    fn new(record: &JobRecord, sid: Vec<String>) -> Self {
        let cause = match (&record.event, &record.pipeline) {
            (Some(event), Some(pipeline)) => format!("{} after {} {}", pipeline.name, event.etype, event.id),
            _ => format!("{} was asked for", record.name),
        };
        let line = format!("{} accepted for {}", record.name, record.host.hostname);
        Self {
            start: millis(record.queued_at),
            cause,
            sid,
            hist: vec![line_at(record.queued_at, line)],
            end: None,
            told: false,
            steps: Noted::default(),
        }
    }

    fn start(&mut self, record: &JobRecord) {
        if let Some(started_at) = record.started_at {
            let line = format!("started on {}", record.host.hostname);
            self.hist.push(line_at(started_at, line));
        }
    }

    /// Steps may have ended, or begun anew; whether that changed anything.
    fn step(&mut self, record: &JobRecord) -> bool {
        let before = self.steps.clone();
        let new = self.steps.new_lines(step_lines(&record.reports));
        if before.lines == 0 && !new.is_empty() {
            self.start(record);
        }
        self.hist.extend(new);
        self.steps != before
    }

    /// The job has ended.
    fn end(&mut self, record: &JobRecord) {
        let ended_at = record.finished_at.unwrap_or(record.queued_at);
        if self.steps.lines == 0 {
            self.start(record);
        }
        let outcome = record.state.outcome().map_or("ended", |outcome| outcome.as_str());
        let reason = record.reason.as_ref().map_or("", |reason| &reason.text);
        let mut line = line_at(ended_at, format!("{outcome}: {reason}"));
        line.is_important = outcome != "succeeded";
        line.attachments = attachments(record);
        self.hist.push(line);
        self.end = Some(millis(ended_at));
    }

    fn update(&self, job_id: JobId) -> Option<(JobUpdate, Told)> {
        if self.hist.is_empty() && self.end.is_none() {
            return None;
        }
        let update = JobUpdate {
            id: job_id.to_string(),
            start: (!self.told).then_some(self.start),
            cause: (!self.told).then(|| self.cause.clone()),
            sid: if self.told { Vec::new() } else { self.sid.clone() },
            hist: self.hist.clone(),
            end: self.end,
        };
        let told = Told {
            job_id,
            lines: self.hist.len(),
            ended: self.end.is_some(),
        };
        Some((update, told))
    }
}

fn millis(time: Timestamp) -> i64 {
    time.as_micros() / 1_000
}

fn line_at(at: Timestamp, msg: String) -> HistoryEntry {
    HistoryEntry {
        ts: millis(at),
        msg,
        attachments: Vec::new(),
        is_important: false,
    }
}

/// The steps as a table, and the result as JSON if it is not too large.
fn attachments(record: &JobRecord) -> Vec<Attachment> {
    let result = record.to_result().map(|result| encode(&result));
    let mut attachments = vec![steps(&record.reports)];
    attachments.extend(result.and_then(attached));
    attachments
}

/// A line about each step that has ended, in the order of their ends.
fn step_lines(reports: &[StepReport]) -> Vec<HistoryEntry> {
    let word = |report: &StepReport| match report.status {
        StepStatus::Succeeded => Some("succeeded"),
        StepStatus::Failed => Some("failed"),
        StepStatus::Interrupted => Some("was interrupted"),
        StepStatus::Pending | StepStatus::Running | StepStatus::Skipped => None,
    };
    let mut lines: Vec<HistoryEntry> = reports
        .iter()
        .filter_map(|report| {
            let line = format!("step {} {}", report.id, word(report)?);
            Some(line_at(report.finished_at?, line))
        })
        .collect();
    lines.sort_by_key(|line| line.ts);
    lines
}

fn attached(result: Vec<u8>) -> Option<Attachment> {
    if result.len() > RESULT_BYTES_MAX {
        return None;
    }
    let (caption, data) = ("result".into(), String::from_utf8(result).ok()?);
    Some(Attachment::Json { caption, data })
}

fn steps(reports: &[StepReport]) -> Attachment {
    let row = |report: &StepReport| {
        let error = report.error.as_ref().map(|fault| fault.text.as_str());
        let status = serde_json::to_value(report.status).unwrap_or_default();
        vec![
            json!(report.id),
            json!(report.verb),
            status,
            json!(error.unwrap_or("")),
        ]
    };
    let is_shown = |report: &&StepReport| report.status != StepStatus::Pending;
    Attachment::Table {
        caption: "steps".into(),
        headers: ["step", "verb", "status", "error"].map(|name| json!(name)).into(),
        rows: reports.iter().filter(is_shown).take(STEPS_MAX).map(row).collect(),
    }
}

/// LimaCharlie's ids of a host: those of the sensors that it is linked to, and its own.
pub(crate) fn sids(store: &Store, host: &HostRecord) -> Result<Vec<String>, Refusal> {
    let mut sids = Vec::new();
    for id in link::sensors_of(store, host.host_id)? {
        sids.extend(read_host(store, id)?.and_then(|sensor| sid(&sensor)));
    }
    sids.extend(sid(host));
    Ok(sids)
}

/// The same of a host whose record is not at hand. One that is not known has none.
fn sids_by_id(store: &Store, host_id: HostId) -> Result<Vec<String>, Refusal> {
    match read_host(store, host_id)? {
        Some(host) => sids(store, &host),
        None => Ok(Vec::new()),
    }
}

fn read_host(store: &Store, host_id: HostId) -> Result<Option<HostRecord>, Refusal> {
    read(store, Table::Host, host_id.as_bytes(), "host")
}

fn sid(host: &HostRecord) -> Option<String> {
    host.limacharlie.map(|sid| sid.to_string())
}

fn row_of(store: &Store, org: &Org, job_id: JobId) -> Result<Option<NewsRow>, Refusal> {
    read(store, Table::LcNews, &news_row(org, job_id), "news of a job")
}

impl News {
    /// Reads which rows there are.
    pub(super) fn restart(&self, store: &Store) -> Result<(), Refusal> {
        let mut orgs: HashMap<Org, OfOrg> = HashMap::new();
        crate::ground::rows(
            store,
            Table::LcNews,
            "news of a job",
            |key, row: Result<NewsRow, _>| {
                if let Some((org, job_id)) = split(key) {
                    let of = orgs.entry(org).or_default();
                    of.rows += 1;
                    if row?.update(job_id).is_some() {
                        of.push(job_id);
                    }
                }
                Ok(())
            },
        )?;
        *self.orgs.lock() = orgs;
        Ok(())
    }

    /// Whether there is room for one more row; there is then one more.
    fn admit(&self, org: &Org) -> bool {
        let mut orgs = self.orgs.lock();
        let of = orgs.entry(org.clone()).or_default();
        if of.rows >= NEWS_MAX {
            metrics::counter!("tripline_limacharlie_news_dropped_total").increment(1);
            return false;
        }
        of.rows += 1;
        true
    }

    /// There is something to tell of this job, and it is durable.
    pub(super) fn push(&self, org: &Org, job_id: JobId) {
        self.orgs.lock().entry(org.clone()).or_default().push(job_id);
    }

    /// What goes into the next answer to a call of this org.
    pub(super) fn take(&self, store: &Store, org: &Org) -> Result<Carried, Refusal> {
        let (mut carried, mut bytes) = (Carried::default(), 0);
        while carried.told.len() < UPDATES_PER_ANSWER_MAX && bytes < UPDATES_BYTES_MAX {
            let Some(job_id) = self.next(org) else { break };
            let row = row_of(store, org, job_id)?;
            match row.and_then(|row| row.update(job_id)) {
                Some((update, told)) => {
                    bytes += encode(&update).len();
                    carried.updates.push(update);
                    carried.told.push(told);
                }
                None => self.back(org, job_id, false),
            }
        }
        Ok(carried)
    }

    fn next(&self, org: &Org) -> Option<JobId> {
        let mut orgs = self.orgs.lock();
        let of = orgs.get_mut(org)?;
        let job_id = of.waiting.pop_front()?;
        of.is_waiting.remove(&job_id);
        of.out.insert(job_id);
        Some(job_id)
    }

    /// An answer with it was written, or was not. Of an org that was forgotten meanwhile there is nothing to tell.
    pub(super) fn back(&self, org: &Org, job_id: JobId, has_more: bool) {
        let mut orgs = self.orgs.lock();
        let Some(of) = orgs.get_mut(org) else { return };
        of.out.remove(&job_id);
        if has_more {
            of.push(job_id);
        }
    }

    /// An answer with these was written: what it said is shortened in the store.
    pub(super) fn written(
        &self,
        store: &Store,
        org: &Org,
        told: &[Told],
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        for one in told {
            let key = news_row(org, one.job_id);
            let Some(mut row) = row_of(store, org, one.job_id)? else {
                self.back(org, one.job_id, false);
                continue;
            };
            row.hist.drain(..one.lines.min(row.hist.len()));
            row.told = true;
            if one.ended {
                batch.delete(Table::LcNews, key);
                self.less(org);
                self.back(org, one.job_id, false);
            } else {
                let has_more = row.update(one.job_id).is_some();
                batch.put(Table::LcNews, key, encode(&row));
                self.back(org, one.job_id, has_more);
            }
        }
        Ok(())
    }

    fn less(&self, org: &Org) {
        if let Some(of) = self.orgs.lock().get_mut(org) {
            of.rows = of.rows.saturating_sub(1);
        }
    }

    /// Forgets all that is to be told of an org; returns how much there was, as far as one batch goes.
    pub(super) fn forget(
        &self,
        store: &Store,
        org: &Org,
        limit: usize,
        batch: &mut Batch,
    ) -> Result<usize, Refusal> {
        let rows = store.scan(Table::LcNews, &rows_of(org), None, limit)?;
        let count = rows.len();
        rows.into_iter()
            .for_each(|(key, _)| batch.delete(Table::LcNews, key));
        self.orgs.lock().remove(org);
        Ok(count)
    }

    /// Rows of all orgs.
    pub(super) fn len(&self) -> u64 {
        self.orgs.lock().values().map(|of| of.rows).sum()
    }
}

/// The org and the job of a row.
pub(crate) fn split(key: &[u8]) -> Option<(Org, JobId)> {
    let (org, id) = key.split_last_chunk::<16>()?;
    let org = std::str::from_utf8(org.strip_suffix(&[0])?).ok()?;
    Some((org.parse().ok()?, JobId(Uuid::from_bytes(*id))))
}

/// A job is accepted with this batch.
pub(super) fn accepted(ground: &Ground, batch: &mut Batch, record: &JobRecord) {
    let news = &ground.limacharlie.news;
    let noted = sids_by_id(&ground.store, record.host.host_id).map(|sids| {
        if news.admit(&record.org) {
            let row = NewsRow::new(record, sids);
            batch.put(Table::LcNews, news_row(&record.org, record.job_id), encode(&row));
        }
    });
    tell(noted, record);
}

/// Steps of a job may have ended with this batch; whether there is something to tell.
pub(super) fn stepped(ground: &Ground, batch: &mut Batch, record: &JobRecord) -> bool {
    let known = row_of(&ground.store, &record.org, record.job_id);
    let noted = known.map(|known| {
        let changed = known.and_then(|mut row| row.step(record).then_some(row));
        if let Some(row) = &changed {
            batch.put(Table::LcNews, news_row(&record.org, record.job_id), encode(row));
        }
        changed.is_some_and(|row| !row.hist.is_empty())
    });
    let has_news = noted.as_ref().is_ok_and(|has_news| *has_news);
    tell(noted.map(drop), record);
    has_news
}

/// A job ends with this batch.
pub(super) fn ended(ground: &Ground, batch: &mut Batch, record: &JobRecord) {
    let news = &ground.limacharlie.news;
    let noted = row_of(&ground.store, &record.org, record.job_id).and_then(|known| {
        let known = match known {
            Some(known) => Some(known),
            None => news
                .admit(&record.org)
                .then(|| {
                    let sids = sids_by_id(&ground.store, record.host.host_id);
                    sids.map(|sids| NewsRow::new(record, sids))
                })
                .transpose()?,
        };
        if let Some(mut row) = known {
            row.end(record);
            batch.put(Table::LcNews, news_row(&record.org, record.job_id), encode(&row));
        }
        Ok(())
    });
    tell(noted, record);
}

/// The store cannot be read: the process is about to end with that reason.
fn tell(noted: Result<(), Refusal>, record: &JobRecord) {
    if let Err(error) = noted {
        tracing::error!(job = %record.job_id, %error, "LimaCharlie will not hear of a job");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    #[test]
    fn an_answer_that_was_written_after_its_org_was_forgotten_brings_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let (news, org, job_id) = (News::default(), Org::default_org(), JobId(Uuid::nil()));
        news.push(&org, job_id);
        assert_eq!(news.next(&org), Some(job_id), "it is in an answer");
        news.forget(&store, &org, 10, &mut Batch::new()).unwrap();
        let told = Told {
            job_id,
            lines: 1,
            ended: true,
        };
        news.written(&store, &org, &[told], &mut Batch::new()).unwrap();
        news.back(&org, job_id, true);
        assert!(news.orgs.lock().is_empty());
    }

    #[test]
    fn a_result_is_attached_up_to_its_bound() {
        let result = |bytes: usize| attached(vec![b' '; bytes]);
        assert!(matches!(result(RESULT_BYTES_MAX), Some(Attachment::Json { .. })));
        assert_eq!(result(RESULT_BYTES_MAX + 1), None);
    }

    #[test]
    fn ends_of_steps_are_lines_up_to_a_bound_and_a_new_attempt_begins_anew() {
        let report = |number: usize, has_ended: bool| -> StepReport {
            let mut report =
                json!({ "id": format!("s{number}"), "verb": "list_processes", "status": "running" });
            if has_ended {
                report["status"] = json!("succeeded");
                report["finished_at"] = json!(Timestamp::from_micros(number as i64 * 1_000_000));
            }
            serde_json::from_value(report).unwrap()
        };
        let reports = |ended: usize| -> Vec<StepReport> {
            let all = (0..ended).map(|number| report(number, true));
            all.chain([report(ended, false)]).collect()
        };
        let lines = |ended: usize| -> Vec<String> {
            let lines = step_lines(&reports(ended)).into_iter();
            lines.map(|line| line.msg).collect()
        };
        assert!(lines(0).is_empty());
        assert_eq!(lines(2), ["step s0 succeeded", "step s1 succeeded"]);
        let mut noted = Noted::default();
        assert_eq!(noted.new_lines(step_lines(&reports(1))).len(), 1);
        assert_eq!(noted.new_lines(step_lines(&reports(1))).len(), 0, "it is there");
        assert_eq!(noted.new_lines(step_lines(&reports(0))).len(), 0, "a new attempt");
        assert_eq!(
            noted.new_lines(step_lines(&reports(STEP_LINES_MAX - 1))).len(),
            STEP_LINES_MAX - 1
        );
        assert_eq!(noted.new_lines(step_lines(&reports(STEP_LINES_MAX))).len(), 0);
        assert_eq!(noted.lines, STEP_LINES_MAX);
    }

    #[test]
    fn so_many_steps_are_listed_and_none_that_was_not_begun() {
        let report = |number: usize, status: &str| -> StepReport {
            let report = json!({ "id": format!("s{number}"), "verb": "list_processes", "status": status });
            serde_json::from_value(report).unwrap()
        };
        let listed = |count: usize| {
            let mut reports: Vec<StepReport> = (0..count).map(|number| report(number, "succeeded")).collect();
            reports.push(report(count, "pending"));
            match steps(&reports) {
                Attachment::Table { rows, .. } => rows.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(listed(STEPS_MAX - 1), STEPS_MAX - 1);
        assert_eq!(listed(STEPS_MAX), STEPS_MAX);
        assert_eq!(listed(STEPS_MAX + 1), STEPS_MAX);
    }
}
