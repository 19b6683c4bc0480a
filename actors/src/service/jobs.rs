//! Jobs of a service as they are kept: so many, those that were heard of last.

use super::history::{Of, merged};
use super::record::{prefix, text_key};
use crate::core::ServiceJobFilter;
use crate::ground::{decoded, read};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use tripline_protocol::api::{Page, ServiceJobView};
use tripline_protocol::limacharlie::JobUpdate;
use tripline_protocol::{Name, Org, Timestamp};

/// Jobs of a service that are kept.
pub(crate) const JOBS_MAX: usize = 1_000;
/// Updates of jobs in one answer that are taken.
pub(crate) const UPDATES_MAX: usize = 100;
/// Rows read at once: they may be long.
const PAGE: usize = 16;

/// When each job of a service was last heard of.
#[derive(Debug)]
pub(super) struct Jobs {
    service: Name,
    by_time: BTreeSet<(Timestamp, String)>,
    times: HashMap<String, Timestamp>,
}

impl Jobs {
    pub(super) fn load(store: &Store, service: &Name) -> Result<Self, Refusal> {
        let mut jobs = Self {
            service: service.clone(),
            by_time: BTreeSet::new(),
            times: HashMap::new(),
        };
        let prefix = prefix(service);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(Table::ServiceJob, &prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, value) in &page {
                let job: ServiceJobView = decoded("job of a service", value)?;
                jobs.note(&job);
            }
        }
        Ok(jobs)
    }

    fn note(&mut self, job: &ServiceJobView) {
        if let Some(before) = self.times.insert(job.id.clone(), job.updated_at) {
            self.by_time.remove(&(before, job.id.clone()));
        }
        self.by_time.insert((job.updated_at, job.id.clone()));
    }

    fn read(&self, store: &Store, id: &str) -> Result<Option<ServiceJobView>, Refusal> {
        let key = text_key(&self.service, id);
        read(store, Table::ServiceJob, &key, "job of a service")
    }

    /// Adds what an answer told.
    pub(super) fn merge(
        &mut self,
        store: &Store,
        updates: Vec<JobUpdate>,
        org: Option<&Org>,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let dropped = updates.len().saturating_sub(UPDATES_MAX);
        let mut fresh: HashMap<String, ServiceJobView> = HashMap::new();
        for update in updates.into_iter().take(UPDATES_MAX) {
            let of = Of {
                service: &self.service,
                org,
                now,
            };
            let known = match fresh.remove(&update.id) {
                Some(known) => Some(known),
                None if self.times.contains_key(&update.id) => self.read(store, &update.id)?,
                None => None,
            };
            if let Some(job) = merged(known, update, &of) {
                fresh.insert(job.id.clone(), job);
            }
        }
        for job in fresh.values() {
            self.note(job);
            batch.put(Table::ServiceJob, text_key(&self.service, &job.id), encode(job));
        }
        self.prune(batch);
        if dropped > 0 {
            metrics::counter!("tripline_service_job_updates_dropped_total").increment(dropped as u64);
        }
        Ok(())
    }

    fn prune(&mut self, batch: &mut Batch) {
        while self.times.len() > JOBS_MAX
            && let Some((_, id)) = self.by_time.pop_first()
        {
            self.times.remove(&id);
            batch.delete(Table::ServiceJob, text_key(&self.service, &id));
        }
    }

    pub(super) fn get(
        &self,
        store: &Store,
        org: Option<&Org>,
        id: String,
    ) -> Result<ServiceJobView, Refusal> {
        let known = match self.times.contains_key(&id) {
            true => self.read(store, &id)?,
            false => None,
        };
        let job = known.filter(|job| is_seen(job, org));
        job.ok_or(Refusal::NotFound {
            what: "job of the service",
            id,
        })
    }

    /// The one that was last heard of first.
    pub(super) fn list(
        &self,
        store: &Store,
        filter: &ServiceJobFilter,
    ) -> Result<Page<ServiceJobView>, Refusal> {
        let end = match &filter.after {
            None => Bound::Unbounded,
            Some(after) => Bound::Excluded(cursor(after).ok_or_else(Refusal::bad_cursor)?),
        };
        let mut items = Vec::new();
        let mut next = None;
        let limit = filter.limit.clamp(1, 1_000);
        for (at, id) in self.by_time.range((Bound::Unbounded, end)).rev() {
            if items.len() == limit {
                next = items
                    .last()
                    .map(|job: &ServiceJobView| place(job.updated_at, &job.id));
                break;
            }
            let job = self.read(store, id)?.filter(|job| job.updated_at == *at);
            items.extend(job.filter(|job| is_seen(job, filter.org.as_ref())));
        }
        Ok(Page { items, next })
    }
}

/// A job that is about no org is for those who may see all.
fn is_seen(job: &ServiceJobView, org: Option<&Org>) -> bool {
    org.is_none() || job.org.as_ref() == org
}

fn place(at: Timestamp, id: &str) -> String {
    format!("{}:{id}", at.as_micros())
}

fn cursor(text: &str) -> Option<(Timestamp, String)> {
    let (micros, id) = text.split_once(':')?;
    Some((Timestamp::from_micros(micros.parse().ok()?), id.to_owned()))
}
