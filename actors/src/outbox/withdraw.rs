//! Messages of an org that leaves: what waits, what was acknowledged and is kept to be published again, and what is in quarantine
//! goes, before the streams are purged of the org. Were it to stay, the next start would bring it back into them.

use super::{Outbox, codec};
use crate::limacharlie::{Swept, WithdrawMessages};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;

/// Entries looked at for one answer: each is read with its payload.
const PAGE: usize = 50;

impl Outbox {
    /// Looks at the next entries of a table. Counts those that go, and those of which it is not known yet what became of them.
    fn withdraw(&mut self, message: &WithdrawMessages) -> Result<Swept, Refusal> {
        // What was acknowledged, and is not written down yet, would be written down after its entry has gone.
        self.settle(self.ground.now());
        let sweep = &message.sweep;
        let page = self
            .ground
            .store
            .scan(message.table(), &[], sweep.after.as_deref(), PAGE)?;
        let mut swept = Swept::default();
        let mut batch = Batch::new();
        for (key, entry) in &page {
            let Some(seq) = codec::decode_seq(key) else {
                continue;
            };
            if seq > message.upto {
                self.forget(batch);
                return Ok(self.last(swept, message));
            }
            let subject = codec::subject_of(entry);
            if subject.is_some_and(|subject| self.ground.config.subjects.is_of_org(&subject, &sweep.org)) {
                self.withdraw_one(message, seq, &mut batch)?;
                swept.found += 1;
            }
        }
        self.forget(batch);
        swept.next = page.last().map(|(last, _)| last.clone());
        Ok(match swept.next {
            Some(_) => swept,
            None => self.last(swept, message),
        })
    }

    fn withdraw_one(
        &mut self,
        message: &WithdrawMessages,
        seq: u64,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        if message.is_quarantine {
            batch.delete(Table::Quarantine, seq.to_be_bytes().to_vec());
            self.ground.load.release_quarantined(1);
            return Ok(());
        }
        let is_sent = self.ground.store.get(Table::Sent, &seq.to_be_bytes())?.is_some();
        // One that is neither is durable and on its way here: the next look finds it.
        if is_sent || self.state.has(seq) {
            self.state.withdraw(seq);
            self.spans.withdrawn(seq);
            self.results.settled(seq, None, self.ground.now());
            codec::forget(batch, seq);
        }
        Ok(())
    }

    fn forget(&self, batch: Batch) {
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }

    /// All rows were looked at: those that have none any more are left, and are with the broker.
    fn last(&self, swept: Swept, message: &WithdrawMessages) -> Swept {
        let subjects = &self.ground.config.subjects;
        let parting = self.state.parting();
        let parting = parting.filter(|subject| subjects.is_of_org(subject, &message.sweep.org));
        Swept {
            found: swept.found + parting.count(),
            next: None,
        }
    }
}

impl WithdrawMessages {
    fn table(&self) -> Table {
        match self.is_quarantine {
            true => Table::Quarantine,
            false => Table::Outbox,
        }
    }
}

impl Handler<WithdrawMessages> for Outbox {
    type Result = ();
    fn handle(&mut self, message: WithdrawMessages, _: &mut Self::Context) {
        let swept = self.withdraw(&message);
        let reply = message.sweep.reply;
        self.ground.after_commit(move || reply.send(swept));
    }
}
