//! Looking at jobs and slots.

use super::messages::{CountOpen, GetJob, GetJobCounts, GetSlots, ListJobs};
use super::state::{Phase, Wait};
use super::{JobScheduler, pause};
use crate::clock::clock_text;
use crate::core::JobFilter;
use crate::record::{JobRecord, by_time_key, split_by_time_key};
use crate::refusal::Refusal;
use crate::slot::{AddView, ViewJob};
use crate::store::{Store, Table};
use actix::prelude::*;
use tripline_protocol::api::{JobView, Page, SlotsView, Waiting};
use tripline_protocol::job::{JobState, Reason};
use tripline_protocol::{HostId, JobId};

/// Records looked at for one page, so that a filter that fits nothing does not read the whole history.
const LOOKED_AT_MAX: usize = 5_000;

/// Why a job waits, in one sentence.
fn wait_text(wait: Option<Wait>) -> String {
    match wait {
        None => "it does not wait".into(),
        Some(Wait::HostOffline { since, .. }) => format!("host offline since {}", clock_text(since)),
        Some(Wait::BehindJob { job_id, .. }) => format!("behind job {job_id}"),
        Some(Wait::NoFreeSlot { .. }) => "no free slot".into(),
        Some(Wait::Resting { until, .. }) => format!("it waits until {}", clock_text(until)),
        Some(Wait::PipelinePaused { .. }) => "its pipeline is paused".into(),
    }
}

/// Why a job or session waits, as the API shows it.
pub(super) fn waiting_of(wait: Wait) -> Waiting {
    let until = match wait {
        Wait::Resting { until, .. } => Some(until),
        _ => None,
    };
    let (position, code) = match wait {
        Wait::HostOffline { position, .. } => (position, "host_offline"),
        Wait::BehindJob { position, .. } => (position, "behind_job"),
        Wait::NoFreeSlot { position } => (position, "no_free_slot"),
        Wait::Resting { position, .. } => (position, "resting"),
        Wait::PipelinePaused { position } => (position, "pipeline_paused"),
    };
    Waiting {
        position,
        reason: Reason::new(code, wait_text(Some(wait))),
        until,
    }
}

/// A page of what an index by time leads to, newest first.
pub(super) struct Pages {
    index: Table,
    before: Option<Vec<u8>>,
    limit: usize,
}

impl Pages {
    /// After the item that `Page::next` named, at most `limit` (1 to 1000) items.
    pub(super) fn new(index: Table, after: Option<&str>, limit: usize) -> Result<Self, Refusal> {
        let invalid = |_| Refusal::bad_cursor();
        Ok(Self {
            index,
            before: after.map(decode_cursor).transpose().map_err(invalid)?,
            limit: limit.clamp(1, 1000),
        })
    }

    /// Looks each one up, and keeps what `look` gives.
    pub(super) fn collect<T>(
        mut self,
        store: &Store,
        mut look: impl FnMut([u8; 16]) -> Result<Option<T>, Refusal>,
    ) -> Result<Page<T>, Refusal> {
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let page = store.scan_back(self.index, &[], self.before.as_deref(), 200)?;
            if page.is_empty() {
                return Ok(Page { items, next: None });
            }
            for (key, _) in page {
                looked_at += 1;
                if let Some((_, id)) = split_by_time_key(&key) {
                    items.extend(look(id)?);
                }
                if items.len() >= self.limit || looked_at >= LOOKED_AT_MAX {
                    return Ok(Page {
                        items,
                        next: Some(encode_cursor(&key)),
                    });
                }
                self.before = Some(key);
            }
        }
    }

    /// The same of items that are all at hand, with their keys in that index.
    pub(super) fn choose<I, T>(
        self,
        items: impl Iterator<Item = (Vec<u8>, I)>,
        mut look: impl FnMut(I) -> Option<T>,
    ) -> Page<T> {
        let before = |key: &Vec<u8>| self.before.as_ref().is_none_or(|before| key < before);
        let mut rest: Vec<(Vec<u8>, I)> = items.filter(|(key, _)| before(key)).collect();
        rest.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut items = Vec::new();
        for (key, item) in rest {
            items.extend(look(item));
            if items.len() >= self.limit {
                let next = Some(encode_cursor(&key));
                return Page { items, next };
            }
        }
        Page { items, next: None }
    }
}

impl JobScheduler {
    pub(super) fn waiting_view(&self, record: &JobRecord) -> Option<Waiting> {
        let wait = self.state.waiting(record.job_id)?;
        let mut waiting = waiting_of(wait);
        if let (Some(_), Some(rest)) = (waiting.until, &record.rest) {
            waiting.reason = rest.reason.clone();
        } else if self.pause.is_some() {
            waiting.reason = Reason::new("paused", self.wait_text(record, Some(wait)));
        } else {
            waiting.reason.text = self.wait_text(record, Some(wait));
        }
        Some(waiting)
    }

    /// Why a job waits, in one sentence. A pause is named first: nothing else lets a job start.
    pub(super) fn wait_text(&self, record: &JobRecord, wait: Option<Wait>) -> String {
        let text = match wait {
            Some(Wait::PipelinePaused { .. }) => {
                let pipeline = record.pipeline.as_ref().map(|pipeline| &pipeline.name);
                self.held.text(pipeline)
            }
            _ => wait_text(wait),
        };
        match (&self.pause, wait) {
            (Some(pause), Some(Wait::NoFreeSlot { .. })) => pause::text(pause),
            (Some(pause), Some(_)) => format!("{}; {text}", pause::text(pause)),
            _ => text,
        }
    }

    /// A record as it is now: for a running job the store may be behind, and after a crash it may be ahead.
    pub(super) fn view(&self, mut record: JobRecord) -> JobView {
        match self.state.phase(record.job_id) {
            Some(Phase::Running { .. }) => record.state = JobState::Running,
            Some(Phase::Waiting | Phase::Resting { .. } | Phase::Held) => record.state = JobState::Queued,
            None => {}
        }
        let waiting = self.waiting_view(&record);
        record.to_view(waiting)
    }

    fn list(&self, filter: &JobFilter) -> Result<Page<JobView>, Refusal> {
        let pages = Pages::new(Table::JobByTime, filter.after.as_deref(), filter.limit)?;
        if let (Some(host_id), Some(state)) = (filter.host, filter.state)
            && state.outcome().is_none()
        {
            return self.list_open(pages, host_id, filter);
        }
        pages.collect(&self.ground.store, |id| {
            let record = self.record_of(JobId(uuid::Uuid::from_bytes(id)))?;
            Ok(record
                .map(|record| self.view(record))
                .filter(|view| fits(filter, view)))
        })
    }
}

impl JobScheduler {
    /// The open jobs of one host, without a look at all that ever were.
    fn list_open(&self, pages: Pages, host_id: HostId, filter: &JobFilter) -> Result<Page<JobView>, Refusal> {
        let running = self.state.running_of(host_id);
        let mut open = Vec::new();
        for job_id in self.state.waiting_of(host_id).into_iter().chain(running) {
            let record = self.record_of(job_id)?;
            open.extend(record.map(|record| (by_time_key(record.queued_at, job_id.as_bytes()), record)));
        }
        Ok(pages.choose(open.into_iter(), |record| {
            Some(self.view(record)).filter(|view| fits(filter, view))
        }))
    }
}

fn fits(filter: &JobFilter, view: &JobView) -> bool {
    filter.org.as_ref().is_none_or(|org| *org == view.org)
        && filter.state.is_none_or(|state| state == view.state)
        && filter.host.is_none_or(|host| host == view.host.host_id)
        && filter.name.as_ref().is_none_or(|name| *name == view.name)
        && filter
            .fanout
            .is_none_or(|fanout| view.fanout.as_ref().is_some_and(|view| view.fanout_id == fanout))
}

fn encode_cursor(key: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key)
}

fn decode_cursor(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text)
}

impl Handler<GetJob> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: GetJob, _: &mut Self::Context) {
        let GetJob { org, job_id, reply } = message;
        let not_found = || Refusal::NotFound {
            what: "job",
            id: job_id.to_string(),
        };
        let visible = |record: &JobRecord| org.as_ref().is_none_or(|org| *org == record.org);
        let found = self
            .record_of(job_id)
            .and_then(|record| record.filter(visible).ok_or_else(not_found));
        // A running job's slot knows it best.
        if let (Ok(_), Some(Phase::Running { slot })) = (&found, self.state.phase(job_id))
            && let Some(slot) = self.slots.get(slot as usize)
        {
            return slot.do_send(ViewJob { job_id, reply });
        }
        let answer = found.map(|record| self.view(record));
        self.ground.after_commit(move || reply.send(answer));
    }
}

impl Handler<ListJobs> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: ListJobs, _: &mut Self::Context) {
        let answer = self.list(&message.filter);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<CountOpen> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: CountOpen, _: &mut Self::Context) {
        let counts = message
            .hosts
            .into_iter()
            .map(|host_id| (host_id, self.state.host_open_len(host_id)));
        message.reply.send(Ok(counts.collect()));
    }
}

impl Handler<GetJobCounts> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: GetJobCounts, _: &mut Self::Context) {
        let counts = self.state.counts();
        self.ground.after_commit(move || message.reply.send(Ok(counts)));
    }
}

impl Handler<GetSlots> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: GetSlots, _: &mut Self::Context) {
        let config = &self.ground.config;
        let view = SlotsView {
            total: config.slots_total,
            interactive_reserved: config.slots_interactive_reserved,
            jobs_reserved: config.slots_jobs_reserved,
            waiting: self.state.ready_len() as u64,
            sessions_waiting: self.sessions.ready_len() as u64,
            pause: self.ground.pause.load().as_deref().cloned(),
            slots: Vec::with_capacity(self.slots.len()),
        };
        let mut rest = self.slots.clone().into_iter();
        match rest.next() {
            Some(first) => first.do_send(AddView {
                view,
                rest,
                reply: message.reply,
            }),
            None => message.reply.send(Ok(view)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Options};
    use tripline_protocol::Timestamp;

    /// Jobs 0 to `count` − 1 in the order of their times.
    fn jobs(count: usize) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let mut batch = Batch::new();
        for n in 0..count {
            let at = Timestamp::from_micros(n.try_into().unwrap());
            batch.put(Table::JobByTime, by_time_key(at, &id(n)), Vec::new());
        }
        store.commit(batch, || {});
        (dir, store)
    }

    fn id(n: usize) -> [u8; 16] {
        u128::try_from(n).unwrap().to_be_bytes()
    }

    #[test]
    fn so_many_jobs_are_looked_at_for_one_page_and_the_next_page_goes_on() {
        // The oldest of as many as are looked at, and the oldest of one more.
        for (count, pages) in [(LOOKED_AT_MAX, 1), (LOOKED_AT_MAX + 1, 2)] {
            let (_dir, store) = jobs(count);
            let (mut after, mut found) = (None::<String>, Vec::new());
            for page in 1..=pages {
                let mut looked_at = 0;
                let given = Pages::new(Table::JobByTime, after.as_deref(), 10).unwrap();
                let given = given.collect(&store, |job| {
                    looked_at += 1;
                    Ok((job == id(0)).then_some(page))
                });
                let given = given.unwrap();
                assert_eq!(looked_at, LOOKED_AT_MAX.min(count - (page - 1) * LOOKED_AT_MAX));
                found.extend(given.items);
                after = given.next;
            }
            assert_eq!(found, [pages], "found on the last page");
        }
    }
}
