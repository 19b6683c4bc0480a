//! What the role itself keeps of an org that leaves: answers to its calls, and news of its jobs.

use super::super::messages::{ForgetCalls, ForgetNews, Sweep, Swept};
use super::super::record::rows_of;
use super::super::{CallNote, ServiceRole};
use crate::ground::decoded;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use tripline_protocol::Org;

/// Rows looked at for one answer.
const PAGE: usize = 200;

impl ServiceRole {
    /// Forgets the answers to calls of an org. Those about its subscription stay until their time is over: a late repeat of one would
    /// subscribe the org again, or remove it again after it came back.
    fn forget_calls(&mut self, org: &Org, after: Option<&[u8]>) -> Result<Swept, Refusal> {
        let store = &self.ground.store;
        let page = store.scan(Table::LcCall, &rows_of(org), after, PAGE)?;
        let next = page.last().map(|(last, _)| last.clone());
        let (mut batch, mut found) = (Batch::new(), 0);
        for (row, value) in page {
            let note: CallNote = decoded("answer to LimaCharlie", &value)?;
            if !note.is_about_subscription() {
                note.delete(&mut batch, &row);
                self.kept.less(note.weight(&value));
                found += 1;
            }
        }
        self.remove(batch);
        Ok(Swept { found, next })
    }

    fn forget_news(&self, org: &Org) -> Result<Swept, Refusal> {
        let mut batch = Batch::new();
        let news = &self.ground.limacharlie.news;
        let found = news.forget(&self.ground.store, org, PAGE, &mut batch)?;
        self.remove(batch);
        // The next pass takes those that are left.
        Ok(Swept { found, next: None })
    }

    fn remove(&self, batch: Batch) {
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }
}

impl Handler<ForgetCalls> for ServiceRole {
    type Result = ();
    fn handle(&mut self, ForgetCalls(sweep): ForgetCalls, _: &mut Self::Context) {
        let Sweep {
            org, after, reply, ..
        } = sweep;
        let swept = self.forget_calls(&org, after.as_deref());
        self.ground.after_commit(move || reply.send(swept));
    }
}

impl Handler<ForgetNews> for ServiceRole {
    type Result = ();
    fn handle(&mut self, ForgetNews(sweep): ForgetNews, _: &mut Self::Context) {
        let Sweep { org, reply, .. } = sweep;
        let swept = self.forget_news(&org);
        self.ground.after_commit(move || reply.send(swept));
    }
}
