//! Requests to a service as they are kept: all that wait, and so many that have ended, the newest.

use super::record::{RequestRecord, prefix, request_key};
use crate::ground::{decoded, read};
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use tripline_protocol::api::{Page, ServiceRequestState, ServiceRequestView};
use tripline_protocol::{Name, Org, Timestamp};
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
    /// All of them with their orgs: what a list is made of without reading those that it leaves out.
    kept: BTreeMap<Uuid, Org>,
    waiting: BTreeSet<Uuid>,
    /// In the order in which they ended.
    ended: BTreeSet<(Timestamp, Uuid)>,
}

/// What is read of a request without what was asked and answered, which may be long.
#[derive(Deserialize)]
struct Kept {
    id: Uuid,
    org: Org,
    state: ServiceRequestState,
    asked_at: Timestamp,
    #[serde(default)]
    ended_at: Option<Timestamp>,
}

impl From<&ServiceRequestView> for Kept {
    fn from(view: &ServiceRequestView) -> Self {
        Self {
            id: view.id,
            org: view.org.clone(),
            state: view.state,
            asked_at: view.asked_at,
            ended_at: view.ended_at,
        }
    }
}

impl Requests {
    fn new(service: &Name) -> Self {
        Self {
            service: service.clone(),
            kept: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    pub(super) fn load(store: &Store, service: &Name) -> Result<Self, Refusal> {
        let mut requests = Self::new(service);
        let (prefix, mut after) = (prefix(service), None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::ServiceRequest, &prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, value) in &page {
                requests.note(decoded("request to a service", value)?);
            }
        }
        Ok(requests)
    }

    fn note(&mut self, request: Kept) {
        let id = request.id;
        match request.state.is_end() {
            true => {
                self.waiting.remove(&id);
                self.ended
                    .insert((request.ended_at.unwrap_or(request.asked_at), id));
            }
            false => drop(self.waiting.insert(id)),
        }
        self.kept.insert(id, request.org);
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
        self.note(Kept::from(&record.view));
        self.prune(record.view.id, batch);
    }

    /// Of those that are too many, the ones that ended first go; never this one, not even where the clock was set back.
    fn prune(&mut self, put: Uuid, batch: &mut Batch) {
        while self.ended.len() > REQUESTS_MAX
            && let Some(oldest) = self.ended.iter().find(|(_, id)| *id != put).copied()
        {
            self.ended.remove(&oldest);
            self.kept.remove(&oldest.1);
            batch.delete(Table::ServiceRequest, request_key(&self.service, oldest.1));
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
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        let older = self.kept.range((Bound::Unbounded, end)).rev();
        let seen = older.filter(|(_, of)| filter.org.as_ref().is_none_or(|org| *of == org));
        let (mut items, mut next, mut bytes) = (Vec::<ServiceRequestView>::new(), None, 0);
        for (id, _) in seen {
            if items.len() == limit || bytes > LIST_BYTES_MAX {
                next = items.last().map(|last| last.id.to_string());
                break;
            }
            if let Some(row) = store.get(Table::ServiceRequest, &request_key(&self.service, *id))? {
                bytes += row.len();
                let record: RequestRecord = decoded("request to a service", &row)?;
                items.push(record.view);
            }
        }
        Ok(Page { items, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(n: usize, ended_at: Option<usize>) -> RequestRecord {
        let at = |second: usize| Timestamp::from_micros(second as i64 * 1_000_000);
        let state = if ended_at.is_some() { "done" } else { "waiting" };
        let record = json!({
            "id": Uuid::from_u128(n as u128), "service": "yara", "org": "default", "params": {}, "state": state,
            "asked_at": at(n), "ended_at": ended_at.map(at), "attempts": 1,
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn what_ended_last_is_kept_however_long_ago_it_was_asked() {
        let mut requests = Requests::new(&"yara".parse().unwrap());
        let mut batch = Batch::new();
        requests.put(&request(0, None), &mut batch);
        for n in 1..=REQUESTS_MAX {
            requests.put(&request(n, Some(n)), &mut batch);
        }
        let has = |requests: &Requests, n: usize| requests.kept.contains_key(&Uuid::from_u128(n as u128));
        requests.put(&request(0, Some(REQUESTS_MAX + 1)), &mut batch);
        assert!(has(&requests, 0) && !has(&requests, 1) && has(&requests, 2));
        // The clock was set back: what has just ended is kept all the same.
        requests.put(&request(REQUESTS_MAX + 1, Some(0)), &mut batch);
        assert!(has(&requests, REQUESTS_MAX + 1) && !has(&requests, 2) && has(&requests, 3));
        let kept = (requests.kept.len(), requests.ended.len(), requests.waiting());
        assert_eq!(kept, (REQUESTS_MAX, REQUESTS_MAX, 0));
    }
}
