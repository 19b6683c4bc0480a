//! What the actors keep in the store, and its keys. Values are JSON behind the store's version byte.

mod ending;
mod loops;
mod waits;

pub(crate) use ending::{Ending, without_last_steps};

use crate::artifact::{forget_use, note_use};
use crate::audit::{By, Note};
use crate::fanout::FanoutPart;
use crate::pipeline::step_id;
use crate::store::{Batch, Table};
use crate::trace::Passed;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tripline_protocol::api::{CloneView, HostView, JobView, Waiting};
use tripline_protocol::event::EventRef;
use tripline_protocol::fanout::FanoutRef;
use tripline_protocol::job::{JobSpec, JobState, Outcome, PipelineRef, Priority, Reason};
use tripline_protocol::result::{HostRef, JobResult};
use tripline_protocol::step::{ArtifactRef, Retry, Step, StepReport, StepStatus, When};
use tripline_protocol::{
    CommandId, Event, HostId, InstallId, Isolation, JobId, Name, Org, Sha256, Span, Timestamp,
};
use uuid::Uuid;

/// A stored value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("record of {what} cannot be read")]
pub(crate) struct Unreadable {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|source| Unreadable { what, source })
}

/// Serialising our own records cannot fail: no maps with keys that are no strings, no fallible impls.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

/// A command whose sending was made durable before it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Index of the step.
    pub(crate) step: usize,
    pub(crate) command_id: CommandId,
    /// The agent's journal then; with another one nobody knows whether it ran.
    pub(crate) journal_id: Uuid,
}

/// What a job waits for that has given its slot back for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// It does not go on before.
    pub(crate) not_before: Timestamp,
    /// Why it waits.
    pub(crate) reason: Reason,
}

pub(crate) use loops::Loop;

/// How long the last steps of a job may wait for their turn at its host and for a slot.
pub(crate) const FINALLY_WAIT_MAX: Span = Span::from_secs(24 * 3600);

/// A job, from its acceptance until it is pruned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(crate) job_id: JobId,
    pub(crate) org: Org,
    pub(crate) name: Name,
    pub(crate) host: HostRef,
    /// Order of acceptance over all hosts.
    pub(crate) seq: u64,
    pub(crate) priority: Priority,
    pub(crate) state: JobState,
    pub(crate) run: u32,
    pub(crate) attempt: u32,
    /// Attempts of these that only went on with a transfer that was cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) pauses: u32,
    /// Attempts of these that do not count either: before them it waited for a time, or it had begun anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) rests: u32,
    /// How often it began anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) retries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<Retry>,
    /// How its last try ended, before it began anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_try: Option<Ending>,
    /// It waits for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rest: Option<Rest>,
    /// When it has run for as long as it may, where that is known because it waited for a time after it had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Timestamp>,
    /// How many of its last steps are those of `finally`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) finally: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finally_timeout: Option<Span>,
    /// How it ends, when only those are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ending: Option<Ending>,
    pub(crate) queued_at: Timestamp,
    /// Its own; that of its fan-out is in `fanout`.
    pub(crate) expires_at: Timestamp,
    pub(crate) timeout: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline: Option<PipelineRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<EventRef>,
    /// The fan-out that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fanout: Option<FanoutPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    #[serde(default)]
    pub(crate) depth: u8,
    /// What a service gave to its task: the result becomes a detection with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) investigation_id: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) reports: Vec<StepReport>,
    /// The lists that are known of steps that run over one, in the order of their steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) loops: Vec<Loop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<Intent>,
    /// The values of its `let`, for what is rendered when its step is about to run. A version that knew none wrote
    /// none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) vars: Map<String, Value>,
    /// A person cancelled it while it ran.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancel_requested: bool,
    /// Who submitted it; `None`: a pipeline, or a version that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<By>,
    /// What happened to its commands and goes on record with its next batch.
    #[serde(skip)]
    pub(crate) notes: Vec<Note>,
    /// When the attempt under way, or the last one, began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt_at: Option<Timestamp>,
    /// What it has behind it and is told to traces with its next batch.
    #[serde(skip)]
    pub(crate) passed: Vec<Passed>,
    /// Artifacts of a try before this one, on which it has no hold any more.
    #[serde(skip)]
    pub(crate) dropped: Vec<ArtifactRef>,
    /// Events of its steps that go out with its next batch.
    #[serde(skip)]
    pub(crate) outgoing: Vec<Event>,
}

/// Characters of a condition that are told in a reason.
const CONDITION_CHARS_MAX: usize = 200;

/// Why a step whose condition does not hold is skipped.
pub(crate) fn condition_false(condition: &str) -> Reason {
    let condition: String = condition.chars().take(CONDITION_CHARS_MAX).collect();
    Reason::new(
        "condition_false",
        format!("its condition does not hold: {condition}"),
    )
}

/// Why a step is skipped that the end of its job came before.
fn job_ended() -> Reason {
    Reason::new("job_ended", "the job ended before it")
}

/// The reports of steps none of which has begun; the last `finally` of them are for the end of their job. Those whose
/// condition was decided already are skipped.
pub(crate) fn reports(steps: &[Step], finally: u32) -> Vec<StepReport> {
    let first_of_finally = steps.len().saturating_sub(finally as usize);
    let report = |(index, step): (usize, &Step)| {
        let mut report = StepReport::pending(step_id(step, index), step.verb);
        report.finally = index >= first_of_finally;
        if let Some(When::No { no }) = &step.when {
            report.skip(condition_false(no));
        }
        report
    };
    steps.iter().enumerate().map(report).collect()
}

/// How many steps a job has for its end.
pub(crate) fn finally_len(spec: &JobSpec) -> u32 {
    u32::try_from(spec.finally.len()).unwrap_or(u32::MAX)
}

/// Whether a counter need not be written.
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl JobRecord {
    /// On whose behalf it runs.
    pub(crate) fn by(&self) -> By {
        match (&self.by, &self.pipeline) {
            (Some(by), _) => by.clone(),
            (None, Some(pipeline)) => By::pipeline(pipeline),
            (None, None) => By::system(),
        }
    }

    fn fanout_ref(&self) -> Option<FanoutRef> {
        self.fanout.as_ref().map(|part| part.of.clone())
    }

    /// How long its last steps may run in all.
    pub(crate) fn finally_timeout(&self) -> Span {
        self.finally_timeout.unwrap_or(JobSpec::FINALLY_TIMEOUT_DEFAULT)
    }

    /// Whether one of its steps has begun, in the try that is under way.
    pub(crate) fn has_begun(&self) -> bool {
        let begun = |report: &StepReport| report.started_at.is_some();
        let closing = self.ending.is_some();
        closing || self.intent.is_some() || self.deadline.is_some() || self.reports.iter().any(begun)
    }

    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Job, self.job_id.as_bytes().to_vec(), encode(self));
        for artifact in &self.dropped {
            forget_use(batch, &artifact.sha256, &self.org, self.job_id);
        }
        for artifact in self.reports.iter().filter_map(|report| report.artifact.as_ref()) {
            note_use(batch, &artifact.sha256, &self.org, self.job_id);
        }
    }

    /// Removes an ended job with its indexes and its hold on artifacts.
    pub(crate) fn bury(&self, batch: &mut Batch, now: Timestamp) {
        let id = self.job_id.as_bytes();
        batch.delete(Table::Job, id.to_vec());
        batch.delete(Table::JobByTime, by_time_key(self.queued_at, id));
        batch.delete(Table::PublishedResult, id.to_vec());
        put_tombstone(batch, id, Some(&self.org), now);
        for artifact in self.reports.iter().filter_map(|report| report.artifact.as_ref()) {
            forget_use(batch, &artifact.sha256, &self.org, self.job_id);
        }
    }

    /// Writes a job that was just accepted, with its indexes.
    pub(crate) fn put_new(&self, batch: &mut Batch) {
        self.put(batch);
        batch.put(
            Table::JobByTime,
            by_time_key(self.queued_at, self.job_id.as_bytes()),
            Vec::new(),
        );
        if self.state.outcome().is_none() {
            batch.put(
                Table::OpenJob,
                self.seq.to_be_bytes().to_vec(),
                self.job_id.as_bytes().to_vec(),
            );
        }
    }

    /// Ends it. Steps that never began are skipped; one under way is `interrupted`. An end that was decided before its
    /// last steps stands, and the reason says why these did not run to their end.
    pub(crate) fn end(&mut self, now: Timestamp, outcome: Outcome, reason: Reason) {
        let (outcome, reason) = match self.ending.take() {
            Some(ending) => (ending.outcome, without_last_steps(ending.reason, &reason.text)),
            None => (outcome, reason),
        };
        self.state = JobState::Ended(outcome);
        self.reason = Some(reason);
        self.finished_at = Some(now);
        self.rest = None;
        self.intent = None;
        self.close(0);
    }

    /// Whether it has steps for its end that are still to come. One that never began has none to undo, and beside a
    /// command of which nobody knows whether it runs no other is sent.
    pub(crate) fn has_last_steps(&self) -> bool {
        self.finally > 0 && self.started_at.is_some() && self.ending.is_none() && self.intent.is_none()
    }

    /// The steps of `finally` are what is left of it; their time begins with their session. `false`: it has none, or
    /// it never began, and simply ends.
    pub(crate) fn begin_finally(&mut self, outcome: Outcome, reason: &Reason, now: Timestamp) -> bool {
        if !self.has_last_steps() {
            return false;
        }
        self.ending = Some(Ending {
            outcome,
            reason: reason.clone(),
            until: Some(now.after(FINALLY_WAIT_MAX)),
        });
        self.deadline = None;
        self.rest = None;
        self.intent = None;
        // Whoever cancels it now does not want these either.
        self.cancel_requested = false;
        self.close(self.finally as usize);
        true
    }

    /// Closes the reports of all steps but the last `left`.
    fn close(&mut self, left: usize) {
        let closed = self.reports.len().saturating_sub(left);
        for report in self.reports.iter_mut().take(closed) {
            match report.status {
                StepStatus::Running if report.items.is_some() => {}
                // A step that waits changes nothing.
                StepStatus::Running if report.verb.host().is_none() => report.skip(job_ended()),
                StepStatus::Pending => report.skip(job_ended()),
                StepStatus::Running => report.status = StepStatus::Interrupted,
                _ => {}
            }
        }
        self.settle_loops(self.finished_at);
    }

    /// The result of an ended job.
    pub(crate) fn to_result(&self) -> Option<JobResult> {
        let failed = |report: &&StepReport| report.items.is_none() && report.status == StepStatus::Failed;
        Some(JobResult {
            job_id: self.job_id,
            org: self.org.clone(),
            name: self.name.clone(),
            pipeline: self.pipeline.clone(),
            event: self.event.clone(),
            fanout: self.fanout_ref(),
            host: self.host.clone(),
            outcome: self.state.outcome()?,
            reason: self.reason.clone()?,
            run: self.run,
            attempt: self.attempt,
            queued_at: self.queued_at,
            started_at: self.started_at,
            finished_at: self.finished_at?,
            steps_failed: u32::try_from(self.reports.iter().filter(failed).count()).unwrap_or(u32::MAX),
            steps: self.reports.clone(),
        })
    }

    /// As the API shows it.
    pub(crate) fn to_view(&self, waiting: Option<Waiting>) -> JobView {
        JobView {
            job_id: self.job_id,
            org: self.org.clone(),
            name: self.name.clone(),
            state: self.state,
            reason: self.reason.clone(),
            waiting,
            host: self.host.clone(),
            pipeline: self.pipeline.clone(),
            event: self.event.clone(),
            fanout: self.fanout_ref(),
            priority: self.priority,
            run: self.run,
            attempt: self.attempt,
            queued_at: self.queued_at,
            expires_at: self.waits_until(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            steps: self.reports.clone(),
        }
    }
}

/// A host, known for ever or until an administrator forgets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    pub(crate) host_id: HostId,
    pub(crate) sensor_id: u32,
    pub(crate) org: Org,
    pub(crate) hostname: String,
    pub(crate) platform: String,
    pub(crate) arch: String,
    #[serde(default)]
    pub(crate) os_version: String,
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) agent_version: String,
    /// Those that its agent's configuration gives it; those of administrators are in `crate::labels`.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// Of its agent. A LittleBrother client's own record has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) install_id: Option<InstallId>,
    /// SHA-256 of its agent's key. A LittleBrother client's own record has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_sha256: Option<Sha256>,
    /// The same of the key that is to replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_key_sha256: Option<Sha256>,
    /// Since when its agent is asked to replace its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotation_asked_at: Option<Timestamp>,
    /// Two agents were seen with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cloned: Option<CloneView>,
    /// Of its latest attachment.
    #[serde(default)]
    pub(crate) epoch: u64,
    /// The isolation that its agent said it is in, by our clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<Isolation>,
    /// LimaCharlie's id of it, when this is the own record of a sensor of LimaCharlie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limacharlie: Option<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
}

impl HostRecord {
    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Host, self.host_id.as_bytes().to_vec(), encode(self));
    }

    /// The isolation that it is in, as far as is known. Nobody hears from a host that is away, but its isolation ends by
    /// itself.
    pub(crate) fn isolated_at(&self, now: Timestamp) -> Option<&Isolation> {
        self.isolation.as_ref().filter(|isolation| isolation.until > now)
    }

    /// The keys of its agent that are not replaced: the present one first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Sha256> {
        self.key_sha256.iter().chain(&self.next_key_sha256)
    }

    /// Whether it is an agent's host.
    pub(crate) fn has_agent(&self) -> bool {
        self.key_sha256.is_some()
    }

    /// Whether it is a LittleBrother client's own record.
    pub(crate) fn is_littlebrother(&self) -> bool {
        !self.has_agent() && self.limacharlie.is_none()
    }

    /// Whether it is the own record of a sensor of LimaCharlie: nothing can be run there.
    pub(crate) fn is_limacharlie(&self) -> bool {
        self.limacharlie.is_some()
    }

    pub(crate) fn to_ref(&self) -> HostRef {
        HostRef {
            host_id: self.host_id,
            hostname: self.hostname.clone(),
        }
    }

    pub(crate) fn to_view(&self) -> HostView {
        HostView {
            host_id: self.host_id,
            sensor_id: self.sensor_id,
            org: self.org.clone(),
            hostname: self.hostname.clone(),
            platform: self.platform.clone(),
            arch: self.arch.clone(),
            os_version: self.os_version.clone(),
            addresses: self.addresses.clone(),
            agent_version: self.agent_version.clone(),
            labels: self.labels.clone(),
            agent_labels: self.labels.clone(),
            attachments: Vec::new(),
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            jobs_open: 0,
            isolation: self.isolation.clone(),
            littlebrother: None,
            sids: Vec::new(),
            cloned: self.cloned.clone(),
        }
    }
}

/// Key of the index of hosts by name: org, hostname in lower case, host id.
pub(crate) fn host_name_key(org: &Org, hostname: &str, host_id: Option<HostId>) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.extend_from_slice(org.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(hostname.to_lowercase().as_bytes());
    key.push(0);
    if let Some(host_id) = host_id {
        key.extend_from_slice(host_id.as_bytes());
    }
    key
}

/// Key of an index by time: microseconds (big-endian), then the id.
pub(crate) fn by_time_key(time: Timestamp, id: &[u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    // Times before 1970 do not occur in records made by our own clock; they would sort as 1970.
    key.extend_from_slice(&u64::try_from(time.as_micros()).unwrap_or(0).to_be_bytes());
    key.extend_from_slice(id);
    key
}

/// Writes what is left of a job or fan-out that is forgotten: whose it was, where that is known.
pub(crate) fn put_tombstone(batch: &mut Batch, id: &[u8; 16], org: Option<&Org>, now: Timestamp) {
    let org = org.map_or("", Org::as_str);
    batch.put(Table::JobTombstone, id.to_vec(), org.as_bytes().to_vec());
    batch.put(Table::TombstoneByTime, by_time_key(now, id), Vec::new());
}

/// Takes a key of an index by time apart.
pub(crate) fn split_by_time_key(key: &[u8]) -> Option<(Timestamp, [u8; 16])> {
    let (time, id) = key.split_first_chunk::<8>()?;
    let micros = i64::try_from(u64::from_be_bytes(*time)).ok()?;
    Some((Timestamp::from_micros(micros), id.try_into().ok()?))
}

/// Keys of single values in [`Table::Meta`].
pub(crate) mod meta {
    pub(crate) const POSITION: &[u8] = b"ingest.position";
    pub(crate) const SENSOR_ID: &[u8] = b"directory.sensor_id";
    pub(crate) const SESSION_NUMBER: &[u8] = b"sessions.number";
    pub(crate) const FILE_NUMBER: &[u8] = b"sessions.file";
    pub(crate) const ATTESTATION_KEY: &[u8] = b"attestation.key";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.1.0 wrote it.
    const OLD: &str = r#"{"host_id":"6a476cc7-fafe-5985-9fb8-67233a7efb39","sensor_id":7,"org":"default",
        "hostname":"amelie","platform":"linux","arch":"x86_64","os_version":"Debian GNU/Linux 13",
        "addresses":["10.0.0.1"],"agent_version":"0.1.0","labels":[],
        "install_id":"11111111-2222-4333-8444-555555555555",
        "key_sha256":"0000000000000000000000000000000000000000000000000000000000000000",
        "epoch":3,"created_at":"2026-11-20T10:00:00Z","last_seen_at":"2026-11-20T10:00:00Z"}"#;

    #[test]
    fn a_host_of_the_first_version_is_read_and_written_unchanged() {
        let record: HostRecord = decode("host", OLD.as_bytes()).unwrap();
        assert!(!record.is_littlebrother());
        assert_eq!(record.key_sha256, Some(Sha256::from_digest(&[0; 32])));
        let written: serde_json::Value = serde_json::from_slice(&encode(&record)).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(OLD).unwrap());
    }

    /// A job as it was written before there was `let`.
    const OLD_JOB: &str = r#"{"job_id":"11111111-2222-4333-8444-555555555555","org":"default","name":"look",
        "host":{"host_id":"6a476cc7-fafe-5985-9fb8-67233a7efb39","hostname":"amelie"},"seq":1,"priority":"normal",
        "state":"queued","run":0,"attempt":0,"queued_at":"2026-11-20T10:00:00Z","expires_at":"2026-11-21T10:00:00Z",
        "timeout":"10m","depth":0,"steps":[{"list_processes":{}}],
        "reports":[{"id":"step1","verb":"list_processes","status":"pending"}]}"#;

    #[test]
    fn a_job_of_a_version_without_let_is_read_and_written_unchanged() {
        let record: JobRecord = decode("job", OLD_JOB.as_bytes()).unwrap();
        assert_eq!(record.vars, Map::new());
        let written: Value = serde_json::from_slice(&encode(&record)).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(OLD_JOB).unwrap());
        let vars = Map::from_iter([("who".to_owned(), "amelie".into())]);
        let record = JobRecord { vars, ..record };
        assert_eq!(decode::<JobRecord>("job", &encode(&record)).unwrap(), record);
    }

    #[test]
    fn a_host_without_an_agent_is_a_littlebrother_client() {
        let mut record: HostRecord = decode("host", OLD.as_bytes()).unwrap();
        (record.install_id, record.key_sha256) = (None, None);
        let again: HostRecord = decode("host", &encode(&record)).unwrap();
        assert_eq!(again, record);
        assert!(again.is_littlebrother());
    }
}
