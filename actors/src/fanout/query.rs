//! Fan-outs and their hosts, for people.

use super::change::not_found;
use super::finish::{host_view, row_of};
use super::record::{FanoutRecord, chunk_key, read_chunk};
use super::{Fanouts, GetFanout, ListFanoutHosts, ListFanouts, Open};
use crate::core::{FanoutFilter, FanoutHostFilter};
use crate::record::{by_time_key, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use tripline_protocol::api::Page;
use tripline_protocol::fanout::{FanoutHostState, FanoutHostView, FanoutView};
use tripline_protocol::job::Reason;
use tripline_protocol::{FanoutId, Org};
use uuid::Uuid;

/// Hosts looked at for one page: a filter that takes few must not hold everybody up.
const LOOKED_AT_MAX: usize = 2_000;
/// Records read at once.
const READ_MAX: usize = 200;

/// One that ended, as the API shows it.
pub(super) fn ended_view(record: &FanoutRecord) -> FanoutView {
    let counts = record.ended.as_ref().map(|ended| ended.counts);
    record.to_view(counts.unwrap_or_default(), None)
}

impl Fanouts {
    pub(super) fn view_of(&self, open: &Open) -> FanoutView {
        let record = open.machine.record();
        record.to_view(open.machine.counts(), self.held(record))
    }

    /// One that is there.
    pub(super) fn view(&self, id: FanoutId) -> Result<FanoutView, Refusal> {
        match self.open.get(&id) {
            Some(open) => Ok(self.view_of(open)),
            None => self
                .ended(id)?
                .as_ref()
                .map(ended_view)
                .ok_or_else(|| not_found(id)),
        }
    }

    fn record(&self, org: Option<&Org>, id: FanoutId) -> Result<FanoutRecord, Refusal> {
        let record = match self.open.get(&id) {
            Some(open) => Some(open.machine.record().clone()),
            None => self.ended(id)?,
        };
        record
            .filter(|record| org.is_none_or(|org| *org == record.org))
            .ok_or_else(|| not_found(id))
    }

    fn get(&self, org: Option<&Org>, id: FanoutId) -> Result<FanoutView, Refusal> {
        self.record(org, id)?;
        self.view(id)
    }

    fn list(&self, filter: &FanoutFilter) -> Result<Page<FanoutView>, Refusal> {
        let limit = filter.limit.clamp(1, 1000);
        let mut before = filter
            .after
            .as_deref()
            .map(|after| self.place(after))
            .transpose()?;
        let mut items: Vec<FanoutView> = Vec::new();
        loop {
            let store = &self.ground.store;
            let page = store.scan_back(Table::FanoutByTime, &[], before.as_deref(), READ_MAX)?;
            if page.is_empty() {
                return Ok(Page { items, next: None });
            }
            for (key, _) in page {
                if items.len() == limit {
                    let next = items.last().map(|view| view.fanout_id.to_string());
                    return Ok(Page { items, next });
                }
                let id = split_by_time_key(&key).map(|(_, id)| FanoutId(Uuid::from_bytes(id)));
                let view = id.and_then(|id| self.view(id).ok());
                items.extend(view.filter(|view| fits(filter, view)));
                before = Some(key);
            }
        }
    }

    fn place(&self, after: &str) -> Result<Vec<u8>, Refusal> {
        let id: FanoutId = after.parse().map_err(|_| Refusal::bad_cursor())?;
        let record = self.record(None, id).map_err(|_| Refusal::bad_cursor())?;
        Ok(by_time_key(record.created_at, id.as_bytes()))
    }

    fn list_hosts(
        &self,
        org: Option<&Org>,
        id: FanoutId,
        filter: &FanoutHostFilter,
    ) -> Result<Page<FanoutHostView>, Refusal> {
        let record = self.record(org, id)?;
        let limit = filter.limit.clamp(1, 1000);
        let (mut number, mut skipped) = filter.after.as_deref().map_or(Ok((0, 0)), cursor)?;
        let (mut items, mut looked_at) = (Vec::new(), 0);
        while number < record.chunks {
            let value = self
                .ground
                .store
                .get(Table::FanoutChunk, &chunk_key(id, number))?;
            let (turn, hosts) = value.as_deref().and_then(read_chunk).unwrap_or_default();
            for (index, host) in hosts.iter().enumerate().skip(skipped) {
                if items.len() == limit || looked_at == LOOKED_AT_MAX {
                    let next = Some(format!("{number}.{index}"));
                    return Ok(Page { items, next });
                }
                looked_at += 1;
                let row = row_of(&self.ground, id, *host)?;
                let view = host_view(&self.ground, &record, *host, turn, row)?;
                if filter.state.is_none_or(|state| state == view.state) {
                    items.push(self.with_reason(&record, view));
                }
            }
            (number, skipped) = (number + 1, 0);
        }
        Ok(Page { items, next: None })
    }

    /// Says for what a host waits.
    fn with_reason(&self, record: &FanoutRecord, mut view: FanoutHostView) -> FanoutHostView {
        if view.state != FanoutHostState::Pending {
            return view;
        }
        let offline = self.ground.attachments.get(view.host_id).is_none();
        view.reason = Some(match record.paused.clone().or_else(|| self.held(record)) {
            _ if offline => Reason::new("host_offline", "its host is not attached"),
            Some(reason) => reason,
            None => Reason::new("paced", "others have their turn before it"),
        });
        view
    }
}

fn fits(filter: &FanoutFilter, view: &FanoutView) -> bool {
    filter.org.as_ref().is_none_or(|org| *org == view.org)
        && filter.state.is_none_or(|state| state == view.state)
        && filter.name.as_ref().is_none_or(|name| *name == view.name)
}

fn cursor(after: &str) -> Result<(u32, usize), Refusal> {
    let parts = after.split_once('.');
    let read = parts.and_then(|(number, index)| Some((number.parse().ok()?, index.parse().ok()?)));
    read.ok_or_else(Refusal::bad_cursor)
}

impl Handler<GetFanout> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: GetFanout, _: &mut Self::Context) {
        let answer = self.get(message.org.as_ref(), message.fanout_id);
        // What it shows may still be on its way to the scheduler, who answers behind it.
        self.persist(Default::default(), Vec::new(), None, move || {
            message.reply.send(answer)
        });
    }
}

impl Handler<ListFanouts> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: ListFanouts, _: &mut Self::Context) {
        let answer = self.list(&message.filter);
        self.persist(Default::default(), Vec::new(), None, move || {
            message.reply.send(answer)
        });
    }
}

impl Handler<ListFanoutHosts> for Fanouts {
    type Result = ();
    fn handle(&mut self, message: ListFanoutHosts, _: &mut Self::Context) {
        let answer = self.list_hosts(message.org.as_ref(), message.fanout_id, &message.filter);
        self.persist(Default::default(), Vec::new(), None, move || {
            message.reply.send(answer)
        });
    }
}
