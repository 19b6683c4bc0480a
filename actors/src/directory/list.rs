//! Lists of hosts, page by page.

use super::Directory;
use crate::core::HostFilter;
use crate::door::Reply;
use crate::record::{HostRecord, decode};
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use tripline_protocol::HostId;
use tripline_protocol::api::{HostView, Page};

/// Records that are looked at for one page: a filter that takes few hosts must not hold everybody up.
pub(super) const SCANNED_MAX: usize = 5_000;
/// Records that are read at once.
const READ_MAX: usize = 500;

/// Many hosts in the order of their ids; from the API. A linked client is shown as the host that reports as it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListHosts {
    pub(crate) filter: HostFilter,
    /// Only those on which something can be run.
    pub(crate) only_targets: bool,
    pub(crate) reply: Reply<Page<HostView>>,
}

impl Directory {
    fn list(&self, filter: &HostFilter, only_targets: bool) -> Result<Page<HostView>, Refusal> {
        let limit = filter.limit.clamp(1, 1000);
        let mut after = filter.after.as_deref().map(cursor).transpose()?;
        let mut items = Vec::new();
        let mut scanned = 0;
        while items.len() < limit && scanned < SCANNED_MAX {
            let key = after.as_ref().map(|id| id.as_bytes().as_slice());
            let page = self.ground.store.scan(Table::Host, &[], key, READ_MAX)?;
            if page.is_empty() {
                return Ok(Page { items, next: None });
            }
            for (_, bytes) in &page {
                let record = readable(bytes)?;
                (after, scanned) = (Some(record.host_id), scanned + 1);
                let is_meant = match only_targets {
                    true => self.is_target(&record),
                    false => !self.is_linked(&record),
                };
                if is_meant {
                    items.extend(self.listed(filter, &record)?);
                }
                if items.len() >= limit {
                    break;
                }
            }
        }
        let next = after.map(|host_id| host_id.to_string());
        Ok(Page { items, next })
    }

    /// The host, if the list is about it.
    fn listed(&self, filter: &HostFilter, record: &HostRecord) -> Result<Option<HostView>, Refusal> {
        let of_org = filter.org.as_ref().is_none_or(|org| *org == record.org);
        if !of_org {
            return Ok(None);
        }
        let view = self.selectable(record)?;
        let selected = filter.selector.selects(&view, self.ground.now());
        selected.then(|| self.with_sids(record, view)).transpose()
    }
}

fn cursor(after: &str) -> Result<HostId, Refusal> {
    after.parse().map_err(|_| Refusal::bad_cursor())
}

pub(super) fn readable(bytes: &[u8]) -> Result<HostRecord, Refusal> {
    decode("host", bytes).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a host is unreadable");
        Refusal::Unavailable {
            detail: "a stored record is unreadable",
        }
    })
}

impl Handler<ListHosts> for Directory {
    type Result = ();
    fn handle(&mut self, message: ListHosts, _: &mut Self::Context) {
        let answer = self.list(&message.filter, message.only_targets);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}
