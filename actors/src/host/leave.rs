//! A host that is to be forgotten: its actor lets everything go and writes nothing of the host any more.

use super::Host;
use crate::core::LinkMessage;
use crate::directory::HostLeft;
use actix::prelude::*;

impl Host {
    /// The agent is told why. A linked client goes back to its own record, and what it was asked for here it is not
    /// asked for any more.
    pub(super) fn leave(&mut self, reason: &'static str, ctx: &mut Context<Self>) {
        if let Some(link) = self.link.take() {
            self.watcher_detached();
            // After the frames that were decided before.
            self.ground
                .after_commit(move || drop(link.try_send(LinkMessage::Close(reason))));
            let (host_id, epoch) = (self.record.host_id, self.record.epoch);
            self.ground.attachments.end_agent(host_id, epoch);
            let effects = self.state.detach();
            self.apply(effects, ctx);
        }
        self.part_with_client(ctx);
        self.watcher = None;
        self.directory.do_send(HostLeft(self.record.host_id));
        self.sentinel.disarm();
        ctx.stop();
    }
}
