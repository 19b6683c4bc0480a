//! Jobs of a service as they are kept: so many, those that were heard of last.

use super::history::{Of, merged};
use super::record::{prefix, text_key};
use crate::core::ServiceJobFilter;
use crate::ground::{decoded, read};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use tripline_protocol::api::{Page, ServiceJobView};
use tripline_protocol::limacharlie::JobUpdate;
use tripline_protocol::{Name, Org, Timestamp};

/// Jobs of a service that are kept.
pub(crate) const JOBS_MAX: usize = 1_000;
/// Updates of jobs in one answer that are taken.
pub(crate) const UPDATES_MAX: usize = 100;
/// Bytes of jobs after which a page of a list ends.
pub(crate) const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Rows read at once: they may be long.
const PAGE: usize = 16;

/// When each job of a service was last heard of.
#[derive(Debug)]
pub(super) struct Jobs {
    service: Name,
    by_time: BTreeSet<(Timestamp, String)>,
    /// What a list is made of without reading those that it leaves out.
    kept: HashMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    at: Timestamp,
    org: Option<Org>,
}

/// What is read of a job without its history, which may be long.
#[derive(Deserialize)]
struct Heard {
    id: String,
    #[serde(default)]
    org: Option<Org>,
    updated_at: Timestamp,
}

impl From<&ServiceJobView> for Heard {
    fn from(job: &ServiceJobView) -> Self {
        Self {
            id: job.id.clone(),
            org: job.org.clone(),
            updated_at: job.updated_at,
        }
    }
}

impl Jobs {
    pub(super) fn load(store: &Store, service: &Name) -> Result<Self, Refusal> {
        let mut jobs = Self {
            service: service.clone(),
            by_time: BTreeSet::new(),
            kept: HashMap::new(),
        };
        let prefix = prefix(service);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(Table::ServiceJob, &prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, value) in &page {
                jobs.note(decoded("job of a service", value)?);
            }
        }
        Ok(jobs)
    }

    fn note(&mut self, job: Heard) {
        let kept = Kept {
            at: job.updated_at,
            org: job.org,
        };
        if let Some(before) = self.kept.insert(job.id.clone(), kept) {
            self.by_time.remove(&(before.at, job.id.clone()));
        }
        self.by_time.insert((job.updated_at, job.id));
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
                None if self.kept.contains_key(&update.id) => self.read(store, &update.id)?,
                None => None,
            };
            if let Some(job) = merged(known, update, &of) {
                fresh.insert(job.id.clone(), job);
            }
        }
        for job in fresh.values() {
            self.note(Heard::from(job));
            batch.put(Table::ServiceJob, text_key(&self.service, &job.id), encode(job));
        }
        self.prune(batch);
        if dropped > 0 {
            metrics::counter!("tripline_service_job_updates_dropped_total").increment(dropped as u64);
        }
        Ok(())
    }

    fn prune(&mut self, batch: &mut Batch) {
        while self.kept.len() > JOBS_MAX
            && let Some((_, id)) = self.by_time.pop_first()
        {
            self.kept.remove(&id);
            batch.delete(Table::ServiceJob, text_key(&self.service, &id));
        }
    }

    /// Forgets those of an org that were not heard of since then, of the next rows; how many there were, and where to go on.
    pub(super) fn forget_org(
        &mut self,
        store: &Store,
        (org, latest): (&Org, Timestamp),
        after: Option<&[u8]>,
        batch: &mut Batch,
    ) -> Result<(usize, Option<Vec<u8>>), Refusal> {
        let page = store.scan(Table::ServiceJob, &prefix(&self.service), after, PAGE)?;
        let next = page.last().map(|(last, _)| last.clone());
        let mut found = 0;
        for (key, value) in page {
            let job: Heard = decoded("job of a service", &value)?;
            if job.org.as_ref() == Some(org) && job.updated_at <= latest {
                self.kept.remove(&job.id);
                self.by_time.remove(&(job.updated_at, job.id));
                batch.delete(Table::ServiceJob, key);
                found += 1;
            }
        }
        Ok((found, next))
    }

    pub(super) fn get(
        &self,
        store: &Store,
        org: Option<&Org>,
        id: String,
    ) -> Result<ServiceJobView, Refusal> {
        let known = match self.is_seen(&id, org) {
            true => self.read(store, &id)?,
            false => None,
        };
        known.ok_or(Refusal::NotFound {
            what: "job of the service",
            id,
        })
    }

    /// A job that is about no org is for those who may see all.
    fn is_seen(&self, id: &str, org: Option<&Org>) -> bool {
        let kept = self.kept.get(id);
        kept.is_some_and(|kept| org.is_none() || kept.org.as_ref() == org)
    }

    /// The one that was last heard of first. A page ends early where its histories are long.
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
        let mut bytes = 0;
        let limit = filter.limit.clamp(1, 1_000);
        let places = self.by_time.range((Bound::Unbounded, end)).rev();
        for (_, id) in places.filter(|(_, id)| self.is_seen(id, filter.org.as_ref())) {
            if items.len() == limit || bytes >= LIST_BYTES_MAX {
                next = items
                    .last()
                    .map(|job: &ServiceJobView| place(job.updated_at, &job.id));
                break;
            }
            if let Some(row) = store.get(Table::ServiceJob, &text_key(&self.service, id))? {
                bytes += row.len();
                items.push(decoded("job of a service", &row)?);
            }
        }
        Ok(Page { items, next })
    }
}

fn place(at: Timestamp, id: &str) -> String {
    format!("{}:{id}", at.as_micros())
}

fn cursor(text: &str) -> Option<(Timestamp, String)> {
    let (micros, id) = text.split_once(':')?;
    Some((Timestamp::from_micros(micros.parse().ok()?), id.to_owned()))
}
