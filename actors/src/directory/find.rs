//! Which hosts a fan-out's target selects: looked at slice by slice, so that others are served between two of them.

use super::Directory;
use super::list::readable;
use crate::fanout::{Fanouts, FoundHost, HostSeen, HostsFound};
use crate::labels;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use tripline_protocol::api::HostView;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{FanoutId, HostId, Org};

/// Records that are looked at in one slice.
const SLICE: usize = 1_000;

/// Look at the next slice of hosts; from Fanouts, who are told what was found.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct FindHosts {
    pub(crate) fanout_id: FanoutId,
    pub(crate) org: Org,
    pub(crate) selector: HostSelector,
    /// Go on after this host.
    pub(crate) after: Option<HostId>,
    pub(crate) to: Addr<Fanouts>,
}

/// Look at one host; from Fanouts, who are told how it is.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct LookAtHost {
    pub(crate) host_id: HostId,
    pub(crate) to: Addr<Fanouts>,
}

impl Directory {
    fn find(&self, wanted: &FindHosts) -> Result<HostsFound, Refusal> {
        let after = wanted.after.as_ref().map(|host| host.as_bytes().as_slice());
        let page = self.ground.store.scan(Table::Host, &[], after, SLICE)?;
        let (mut hosts, mut last) = (Vec::new(), None);
        for (_, bytes) in &page {
            let record = readable(bytes)?;
            last = Some(record.host_id);
            if record.org == wanted.org
                && let Some(view) = self.selected(&record, &wanted.selector)?
            {
                hosts.push(FoundHost {
                    host_id: record.host_id,
                    is_protected: self.is_protected(&view),
                });
            }
        }
        Ok(HostsFound {
            fanout_id: wanted.fanout_id,
            after: wanted.after,
            hosts,
            looked_up_to: last.filter(|_| page.len() == SLICE),
        })
    }

    /// Whether it is the own record of who is linked to a host: that host is looked at for itself.
    pub(super) fn is_linked(&self, record: &HostRecord) -> bool {
        self.linked.contains_key(&record.host_id)
    }

    /// Whether a selector can choose it to run something: on a sensor of LimaCharlie nothing can be run, it would wait there for nobody.
    pub(super) fn is_target(&self, record: &HostRecord) -> bool {
        !self.is_linked(record) && !record.is_limacharlie()
    }

    /// A host that is selected, as far as selectors ask about it.
    fn selected(&self, record: &HostRecord, selector: &HostSelector) -> Result<Option<HostView>, Refusal> {
        if !self.is_target(record) {
            return Ok(None);
        }
        let view = self.selectable(record)?;
        Ok(selector.selects(&view, self.ground.now()).then_some(view))
    }

    fn is_protected(&self, view: &HostView) -> bool {
        labels::protecting(&view.labels, &self.ground.config.hosts_protected).is_some()
    }

    fn seen(&self, host_id: HostId) -> Result<Option<HostSeen>, Refusal> {
        let Some(record) = self.record(host_id)? else {
            return Ok(None);
        };
        let view = self.selected(&record, &HostSelector::default())?;
        Ok(view.map(|view| HostSeen {
            is_protected: self.is_protected(&view),
            view: Box::new(view),
        }))
    }
}

impl Handler<FindHosts> for Directory {
    type Result = ();
    fn handle(&mut self, message: FindHosts, _: &mut Self::Context) {
        match self.find(&message) {
            Ok(found) => message.to.do_send(found),
            // The store cannot be read: the process is about to end with that reason.
            Err(error) => tracing::error!(fanout = %message.fanout_id, %error, "hosts cannot be looked at"),
        }
    }
}

impl Handler<LookAtHost> for Directory {
    type Result = ();
    fn handle(&mut self, message: LookAtHost, _: &mut Self::Context) {
        match self.seen(message.host_id) {
            Ok(seen) => seen.into_iter().for_each(|seen| message.to.do_send(seen)),
            Err(error) => tracing::error!(host = %message.host_id, %error, "a host cannot be looked at"),
        }
    }
}
