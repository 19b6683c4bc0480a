//! What waits and what the broker will never take, for people: looked at, put back, dropped.

use super::{Enqueue, Outbox, Outgoing, codec};
use crate::audit::By;
use crate::door::Reply;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use tripline_protocol::api::{OutboxCounts, OutboxEntry, OutboxView, Page, SubjectCount};
use tripline_protocol::audit::Action;

/// Subjects that are shown.
const SUBJECTS_MAX: usize = 20;

/// What waits? From the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetOutbox {
    pub(crate) reply: Reply<OutboxView>,
}

/// How many messages wait? From the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetOutboxCounts {
    pub(crate) reply: Reply<OutboxCounts>,
}

/// What is in quarantine? From the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListQuarantine {
    /// Only those after this number.
    pub(crate) after: Option<u64>,
    pub(crate) limit: usize,
    pub(crate) reply: Reply<Page<OutboxEntry>>,
}

/// Put these back; from the API. Answers how many there were. Refuses with `Busy` when the disk is full.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct RetryEntries {
    pub(crate) by: By,
    pub(crate) sequences: Vec<u64>,
    pub(crate) reply: Reply<u64>,
}

/// Remove this one for good; from the API. Refuses with `NotFound`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct DropEntry {
    pub(crate) by: By,
    pub(crate) sequence: u64,
    pub(crate) reply: Reply<()>,
}

impl Outbox {
    fn view(&self) -> Result<OutboxView, Refusal> {
        let waiting = self.state.waiting();
        let oldest = match waiting.oldest {
            None => None,
            Some(sequence) => self.entry(Table::Outbox, sequence)?,
        };
        let subjects = waiting
            .subjects
            .into_iter()
            .map(|(subject, waiting)| SubjectCount {
                subject: subject.to_string(),
                waiting,
            });
        Ok(OutboxView {
            waiting: self.ground.load.waiting(),
            in_flight: self.state.in_flight() as u64,
            messages_max: u64::from(self.ground.config.outbox_max),
            quarantined: self.ground.load.quarantined(),
            oldest,
            subjects: subjects.take(SUBJECTS_MAX).collect(),
            subjects_total: waiting.subjects_total,
        })
    }

    fn entry(&self, table: Table, sequence: u64) -> Result<Option<OutboxEntry>, Refusal> {
        let bytes = self.ground.store.get(table, &sequence.to_be_bytes())?;
        Ok(bytes.map(|bytes| codec::describe(sequence, &bytes)))
    }

    fn list(&self, after: Option<u64>, limit: usize) -> Result<Page<OutboxEntry>, Refusal> {
        let after = after.map(u64::to_be_bytes);
        let after = after.as_ref().map(<[u8; 8]>::as_slice);
        let mut rows = self.ground.store.scan(Table::Quarantine, &[], after, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let entries = rows.iter().filter_map(|(key, value)| {
            let sequence = codec::decode_seq(key)?;
            Some(codec::describe(sequence, value))
        });
        let items: Vec<OutboxEntry> = entries.collect();
        let last = items.last().filter(|_| more);
        let next = last.map(|last| last.sequence.to_string());
        Ok(Page { items, next })
    }

    /// Takes entries out of quarantine, in order, with what they become.
    fn take_back(&mut self, batch: &mut Batch, mut sequences: Vec<u64>) -> Result<Vec<Outgoing>, Refusal> {
        // They have their places in the outbox already: quarantine that filled it must not keep itself full.
        self.ground.admit_writes()?;
        sequences.sort_unstable();
        sequences.dedup();
        let mut back = Vec::new();
        for seq in sequences {
            let key = seq.to_be_bytes();
            let Some(entry) = self.ground.store.get(Table::Quarantine, &key)? else {
                continue;
            };
            // One that cannot be read can never be published.
            let Some(message) = codec::decode(&entry) else {
                continue;
            };
            batch.delete(Table::Quarantine, key.to_vec());
            batch.put(Table::Outbox, key.to_vec(), codec::without_reason(&entry));
            back.push(Outgoing {
                seq,
                message,
                span: None,
            });
        }
        Ok(back)
    }

    fn drop_entry(&mut self, batch: &mut Batch, sequence: u64) -> Result<OutboxEntry, Refusal> {
        let entry = self.entry(Table::Quarantine, sequence)?;
        let entry = entry.ok_or_else(|| Refusal::NotFound {
            what: "message in quarantine",
            id: sequence.to_string(),
        })?;
        batch.delete(Table::Quarantine, sequence.to_be_bytes().to_vec());
        Ok(entry)
    }
}

impl Handler<GetOutbox> for Outbox {
    type Result = ();
    fn handle(&mut self, message: GetOutbox, _: &mut Self::Context) {
        let answer = self.view();
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<GetOutboxCounts> for Outbox {
    type Result = ();
    fn handle(&mut self, message: GetOutboxCounts, _: &mut Self::Context) {
        let counts = OutboxCounts {
            waiting: self.ground.load.waiting(),
            messages_max: u64::from(self.ground.config.outbox_max),
            quarantined: self.ground.load.quarantined(),
        };
        self.ground.after_commit(move || message.reply.send(Ok(counts)));
    }
}

impl Handler<ListQuarantine> for Outbox {
    type Result = ();
    fn handle(&mut self, message: ListQuarantine, _: &mut Self::Context) {
        let answer = self.list(message.after, message.limit);
        self.ground.after_commit(move || message.reply.send(answer));
    }
}

impl Handler<RetryEntries> for Outbox {
    type Result = ();
    fn handle(&mut self, message: RetryEntries, ctx: &mut Self::Context) {
        let RetryEntries { by, sequences, reply } = message;
        let mut batch = Batch::new();
        let back = match self.take_back(&mut batch, sequences) {
            Ok(back) => back,
            Err(refusal) => return self.ground.after_commit(move || reply.send(Err(refusal))),
        };
        let count = back.len() as u64;
        tracing::warn!(
            by = by.who.name,
            token = by.who.id,
            count,
            "messages put back from quarantine"
        );
        let sequences: Vec<u64> = back.iter().map(|outgoing| outgoing.seq).collect();
        let entry = self.ground.audit(Action::OutboxRetry, &by, None);
        batch.audit(entry.detail("sequences", sequences));
        self.ground.load.put_back(count);
        let me = ctx.address();
        self.ground.store.commit(batch, move || {
            me.do_send(Enqueue(back));
            reply.send(Ok(count));
        });
    }
}

impl Handler<DropEntry> for Outbox {
    type Result = ();
    fn handle(&mut self, message: DropEntry, _: &mut Self::Context) {
        let DropEntry { by, sequence, reply } = message;
        let mut batch = Batch::new();
        let dropped = self.drop_entry(&mut batch, sequence);
        if let Ok(entry) = &dropped {
            self.ground.load.release_quarantined(1);
            let record = self.ground.audit(Action::OutboxDrop, &by, None);
            let record = record.detail("subject", &entry.subject);
            batch.audit(
                record
                    .detail("sequence", sequence)
                    .detail("id", &entry.message_id),
            );
            tracing::warn!(
                by = by.who.name,
                token = by.who.id,
                seq = sequence,
                subject = entry.subject,
                id = entry.message_id,
                "message in quarantine dropped"
            );
        }
        self.ground
            .store
            .commit(batch, move || reply.send(dropped.map(drop)));
    }
}
