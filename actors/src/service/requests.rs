//! Requests to a service as they are kept: all that wait, and so many that have ended, the newest.

use super::record::{RequestRecord, prefix, request_key};
use crate::ground::{decoded, read};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::BTreeSet;
use tripline_protocol::api::{Page, ServiceRequestView};
use tripline_protocol::{Name, Org};
use uuid::Uuid;

/// Requests to a service that have ended and are kept.
pub(crate) const REQUESTS_MAX: usize = 500;
/// Bytes of a page of a list; the one that goes beyond is its last.
pub(crate) const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows read at once: they may be long.
const PAGE: usize = 16;

/// Which requests to a service to list, the newest first.
#[derive(Debug, Clone)]
pub struct ServiceRequestFilter {
    /// Only for this org.
    pub org: Option<Org>,
    /// Whose.
    pub service: Name,
    /// Only those before the one that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

/// The ids of a service's requests; they are in the order in which the requests were taken.
#[derive(Debug)]
pub(super) struct Requests {
    service: Name,
    waiting: BTreeSet<Uuid>,
    ended: BTreeSet<Uuid>,
}

impl Requests {
    pub(super) fn load(store: &Store, service: &Name) -> Result<Self, Refusal> {
        let mut requests = Self {
            service: service.clone(),
            waiting: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        let (prefix, mut after) = (prefix(service), None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::ServiceRequest, &prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, value) in &page {
                let record: RequestRecord = decoded("request to a service", value)?;
                requests.note(&record);
            }
        }
        Ok(requests)
    }

    fn note(&mut self, record: &RequestRecord) {
        let id = record.view.id;
        match record.view.state.is_end() {
            true => {
                self.waiting.remove(&id);
                self.ended.insert(id);
            }
            false => drop(self.waiting.insert(id)),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn read(&self, store: &Store, id: Uuid) -> Result<Option<RequestRecord>, Refusal> {
        let key = request_key(&self.service, id);
        read(store, Table::ServiceRequest, &key, "request to a service")
    }

    /// The same if it waits.
    pub(super) fn read_waiting(&self, store: &Store, id: Uuid) -> Result<Option<RequestRecord>, Refusal> {
        match self.waiting.contains(&id) {
            true => self.read(store, id),
            false => Ok(None),
        }
    }

    /// Keeps a request as it is now; those that ended too long ago go.
    pub(super) fn put(&mut self, record: &RequestRecord, batch: &mut Batch) {
        let key = request_key(&self.service, record.view.id);
        batch.put(Table::ServiceRequest, key, encode(record));
        self.note(record);
        while self.ended.len() > REQUESTS_MAX
            && let Some(oldest) = self.ended.pop_first()
        {
            batch.delete(Table::ServiceRequest, request_key(&self.service, oldest));
        }
    }

    /// The newest first.
    pub(super) fn list(
        &self,
        store: &Store,
        filter: &ServiceRequestFilter,
    ) -> Result<Page<ServiceRequestView>, Refusal> {
        let after = filter.after.as_deref().map(str::parse::<Uuid>).transpose();
        let after = after.map_err(|_| Refusal::bad_cursor())?;
        let limit = filter.limit.clamp(1, 1_000);
        let mut all: Vec<Uuid> = self.waiting.iter().chain(&self.ended).copied().collect();
        all.sort();
        let (mut items, mut next, mut bytes) = (Vec::<ServiceRequestView>::new(), None, 0);
        for id in all.into_iter().rev() {
            if after.is_some_and(|after| id >= after) {
                continue;
            }
            let found = self.read(store, id)?.map(|record| record.view);
            let is_seen = |view: &ServiceRequestView| filter.org.as_ref().is_none_or(|org| view.org == *org);
            let Some(view) = found.filter(is_seen) else {
                continue;
            };
            if items.len() == limit || bytes > LIST_BYTES_MAX {
                next = items.last().map(|last| last.id.to_string());
                break;
            }
            bytes += encode(&view).len();
            items.push(view);
        }
        Ok(Page { items, next })
    }
}
