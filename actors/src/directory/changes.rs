//! What happened to hosts, for whoever follows them. Nothing is done for it while nobody does.
//!
//! A change goes on to the scheduler, which knows how many jobs the host has open.

use super::Directory;
use crate::record::HostRecord;
use crate::scheduler::HostTold;
use actix::prelude::*;
use tripline_protocol::HostId;
use tripline_protocol::api::{HostChange, HostChangeKind};

/// Something happened to a host; from its Host actor.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct HostChanged {
    pub(crate) host_id: HostId,
    pub(crate) change: HostChangeKind,
}

impl Directory {
    /// Tells a change of a host that the store knows.
    pub(super) fn tell(&self, host_id: HostId, change: HostChangeKind) {
        if !self.ground.streams.hosts().is_followed() {
            return;
        }
        match self.known(host_id) {
            Ok(record) => self.tell_of(&record, change),
            // Forgotten meanwhile, which is told as well; or the process is about to end with that reason.
            Err(error) => tracing::debug!(host = %host_id, %error, "a change of a host is not told"),
        }
    }

    /// Tells a change of a host, of which a linked client's own record is none.
    pub(super) fn tell_of(&self, record: &HostRecord, change: HostChangeKind) {
        let is_linked = self.linked.contains_key(&record.host_id);
        let gone = match change {
            HostChangeKind::Linked => is_linked,
            _ if is_linked => return,
            change => change == HostChangeKind::Forgotten,
        };
        if !self.ground.streams.hosts().is_followed() {
            return;
        }
        match self.view(record) {
            Ok(host) => self.scheduler.do_send(HostTold(Box::new(HostChange {
                change,
                gone,
                time: self.ground.now(),
                host,
            }))),
            Err(error) => {
                tracing::error!(host = %record.host_id, %error, "a change of a host cannot be told");
                self.ground.streams.hosts().lose();
            }
        }
    }
}

impl Handler<HostChanged> for Directory {
    type Result = ();
    fn handle(&mut self, message: HostChanged, _: &mut Self::Context) {
        self.tell(message.host_id, message.change);
    }
}
