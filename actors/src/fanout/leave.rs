//! Fan-outs of an org that leaves LimaCharlie: open ones are cancelled, ended ones are forgotten, with the rows of their hosts.

use super::Fanouts;
use super::record::FanoutRecord;
use crate::audit::By;
use crate::limacharlie::{Cut, ForgetFanouts, Sweep, Swept};
use crate::record::split_by_time_key;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::audit::Action;
use tripline_protocol::{FanoutId, Org};
use uuid::Uuid;

/// Fan-outs looked at for one answer.
const PAGE: usize = 100;

impl Fanouts {
    fn forget_org(
        &mut self,
        org: &Org,
        cut: Cut,
        after: Option<&[u8]>,
        ctx: &mut Context<Self>,
    ) -> Result<Swept, Refusal> {
        let page = self.ground.store.scan(Table::FanoutByTime, &[], after, PAGE)?;
        let mut next = page.last().map(|(last, _)| last.clone());
        // Rows of those that are buried go by and by; they are counted once, with the first part.
        let buried = after.map_or_else(|| self.pruner.buried_of(org), |_| 0);
        let (mut going, mut found) = (Vec::new(), buried);
        for (key, _) in &page {
            let Some((created_at, id)) = split_by_time_key(key) else {
                continue;
            };
            if created_at > cut.latest() {
                next = None;
                break;
            }
            let id = FanoutId(Uuid::from_bytes(id));
            let goes =
                |record: &FanoutRecord| record.org == *org && cut.takes(created_at, record.event.is_some());
            if let Some(open) = self.open.get(&id) {
                if goes(open.machine.record()) {
                    found += 1;
                    self.cancel_for_good(id, ctx);
                }
            } else if let Some(record) = self.ended(id)?.filter(goes) {
                found += 1;
                // One that is on its way to or from the store is looked at again.
                if !self.is_busy(id) {
                    going.push(record);
                }
            }
        }
        self.bury(&going);
        Ok(Swept { found, next })
    }

    /// Forgets these at once. Nothing can fail in between: what is buried in memory loses its rows, and must have lost its record.
    fn bury(&mut self, going: &[FanoutRecord]) {
        let (mut batch, now) = (Batch::new(), self.ground.now());
        for record in going {
            self.pruner.bury(record, now, &mut batch);
        }
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }

    /// As a person would; one that is cancelled already only ends.
    fn cancel_for_good(&mut self, id: FanoutId, ctx: &mut Context<Self>) {
        let by = Arc::new(By::limacharlie(None));
        if !self.cancel(id, &by) {
            return;
        }
        let mut batch = Batch::new();
        let org = self.open.get(&id).map(|open| &open.machine.record().org);
        let entry = self.ground.audit(Action::FanoutCancel, &by, org);
        batch.audit(entry.on("fanout", id));
        self.settle_with(id, batch, || {});
        self.wake(id, ctx);
    }
}

impl Handler<ForgetFanouts> for Fanouts {
    type Result = ();
    fn handle(&mut self, ForgetFanouts(sweep): ForgetFanouts, ctx: &mut Self::Context) {
        let Sweep {
            org,
            cut,
            after,
            reply,
        } = sweep;
        let swept = self.forget_org(&org, cut, after.as_deref(), ctx);
        self.ground.after_commit(move || reply.send(swept));
    }
}
