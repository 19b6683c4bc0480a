//! AuditKeeper: publishes the chains, prunes them, and puts what was counted on record.
//!
//! The store is the truth and publishing follows it: how far each chain was published is a row, and a broker that is
//! away costs no room in the outbox. Records of one chain go out in windows, in their order; what was not taken goes
//! out again with the same `Nats-Msg-Id`. After a start the newest ones go out once more, because a broker
//! acknowledges before it syncs.
//!
//! Deliberately not here: making records, which whoever decides does.

#[cfg(test)]
mod tests;

use super::prune::{Cut, prune};
use super::read::{anchor, rows};
use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::ports::{OutMessage, PublishError};
use crate::refusal::Refusal;
use crate::store::{Batch, Head, Table, key};
use actix::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::audit::AuditRecord;
use tripline_protocol::{Sha256, Span, Timestamp};

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked whether something is to be pruned.
const PRUNE_EVERY: Span = Span::from_secs(60);
/// Records of a chain that are with the broker at once.
const WINDOW: usize = 64;
/// Chains of which records are with the broker at once.
const CHAINS_IN_FLIGHT_MAX: usize = 8;
/// The pause after the broker did not take one.
const RETRY_PAUSE: Span = Span::from_secs(1);
/// Records that go out once more after a start, at most.
const RESENT_MAX: usize = 4_096;

/// How far a chain was published.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The broker has all up to this one.
    sent: u64,
    /// Some are with the broker.
    busy: bool,
    /// Not before then.
    retry_at: Timestamp,
}

/// The broker answered for a window. Sent by the keeper to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct WindowDone {
    chain: String,
    answers: Vec<(u64, Result<(), PublishError>)>,
}

/// The actor.
pub(crate) struct AuditKeeper {
    ground: Arc<Ground>,
    progress: HashMap<String, Progress>,
    in_flight: usize,
    turn: usize,
    prune_at: Timestamp,
    sentinel: Sentinel,
}

retires!(AuditKeeper);

impl AuditKeeper {
    pub(crate) fn new(ground: Arc<Ground>, sentinel: Sentinel) -> Self {
        Self {
            prune_at: ground.now(),
            ground,
            progress: HashMap::new(),
            in_flight: 0,
            turn: 0,
            sentinel,
        }
    }

    /// Goes on with every chain that has something new.
    fn publish(&mut self, ctx: &mut Context<Self>) {
        let mut heads = self.ground.store.heads();
        let count = heads.len().max(1);
        // Another one is first each time, so that none waits for the others for ever.
        self.turn = self.turn.wrapping_add(1);
        heads.rotate_left(self.turn % count);
        for (chain, head) in heads {
            if self.in_flight >= CHAINS_IN_FLIGHT_MAX {
                break;
            }
            if let Err(error) = self.publish_chain(&chain, head, ctx) {
                tracing::error!(chain, %error, "a chain of the audit cannot be published");
            }
        }
    }

    fn publish_chain(&mut self, chain: &str, head: Head, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let now = self.ground.now();
        let progress = match self.progress.get(chain) {
            Some(progress) => *progress,
            None => self.restored(chain, head)?,
        };
        if progress.busy || progress.sent >= head.number || now < progress.retry_at {
            return Ok(());
        }
        let window = rows(&self.ground.store, chain, progress.sent + 1, WINDOW)?;
        if window.is_empty() {
            return Ok(());
        }
        self.progress.insert(
            chain.to_owned(),
            Progress {
                busy: true,
                ..progress
            },
        );
        self.in_flight += 1;
        let sent: Vec<_> = window
            .into_iter()
            .map(|(number, row)| {
                (
                    number,
                    self.ground.publisher.publish(self.message(chain, number, row)),
                )
            })
            .collect();
        let (me, chain) = (ctx.address(), chain.to_owned());
        actix::spawn(async move {
            let mut answers = Vec::with_capacity(sent.len());
            for (number, answer) in sent {
                answers.push((number, answer.await.map(drop)));
            }
            me.do_send(WindowDone { chain, answers });
        });
        Ok(())
    }

    fn message(&self, chain: &str, number: u64, row: Vec<u8>) -> OutMessage {
        let sha256 = Sha256::from_digest(&Head::of(number, &row).sha256);
        OutMessage {
            subject: self.ground.config.subjects.audit(chain),
            message_id: format!("audit/{chain}/{number}/{sha256}"),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            payload: row,
        }
    }

    /// How far an earlier process came, less what the broker had not surely synced then.
    fn restored(&mut self, chain: &str, head: Head) -> Result<Progress, Refusal> {
        let store = &self.ground.store;
        let row = store.get(Table::AuditPublished, chain.as_bytes())?;
        let sent = row
            .as_deref()
            .and_then(key::read_u64)
            .unwrap_or(0)
            .min(head.number);
        let at = row.as_deref().and_then(|row| key::read_time(row.get(8..)?));
        let since = at.map(|at| at.before(self.ground.config.outbox_resend_window));
        let from = sent.saturating_sub(RESENT_MAX as u64) + 1;
        let surely = |row: &[u8]| {
            let record = serde_json::from_slice::<AuditRecord>(row);
            record.is_ok_and(|record| since.is_some_and(|since| record.at < since))
        };
        let again = rows(store, chain, from, RESENT_MAX)?;
        let again = again.iter().filter(|(number, _)| *number <= sent);
        let synced = again
            .rev()
            .find(|(_, row)| surely(row))
            .map(|(number, _)| *number);
        let progress = Progress {
            sent: synced.unwrap_or(from - 1),
            ..Progress::default()
        };
        self.progress.insert(chain.to_owned(), progress);
        Ok(progress)
    }

    fn window_done(&mut self, done: WindowDone) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let now = self.ground.now();
        let progress = self.progress.entry(done.chain.clone()).or_default();
        progress.busy = false;
        let before = progress.sent;
        for (number, answer) in done.answers {
            match answer {
                Ok(()) => {}
                Err(PublishError::Permanent(why)) => {
                    metrics::counter!("tripline_audit_unpublished_total").increment(1);
                    tracing::error!(
                        chain = done.chain,
                        number,
                        why,
                        "the broker refuses a record of the audit"
                    );
                }
                Err(error @ (PublishError::Transient(_) | PublishError::OutOfTurn)) => {
                    tracing::debug!(
                        chain = done.chain,
                        number,
                        %error,
                        "a record of the audit is published later"
                    );
                    progress.retry_at = now.after(RETRY_PAUSE);
                    break;
                }
            }
            progress.sent = number;
        }
        if progress.sent > before {
            let mut row = key::u64(progress.sent).to_vec();
            row.extend_from_slice(&key::time(now));
            let mut batch = Batch::new();
            batch.put(Table::AuditPublished, done.chain.into_bytes(), row);
            self.ground.store.commit(batch, || {});
        }
    }

    /// Prunes what may go; at once again where that was not all.
    fn prune(&mut self) {
        let now = self.ground.now();
        if now < self.prune_at {
            return;
        }
        self.prune_at = now.after(PRUNE_EVERY);
        for (chain, head) in self.ground.store.heads() {
            let published = self.progress.get(&chain).map_or(0, |progress| progress.sent);
            match prune(&self.ground, &chain, head, published, now) {
                Ok(Cut::Nothing | Cut::All) => {}
                Ok(Cut::Some) => self.prune_at = now,
                Err(error) => tracing::error!(chain, %error, "a chain of the audit cannot be pruned"),
            }
            self.skip_pruned(&chain);
        }
    }

    /// What is gone cannot be published any more.
    fn skip_pruned(&mut self, chain: &str) {
        let Ok(Some(anchor)) = anchor(&self.ground.store, chain) else {
            return;
        };
        if let Some(progress) = self.progress.get_mut(chain)
            && progress.sent < anchor.number
        {
            let lost = anchor.number - progress.sent;
            metrics::counter!("tripline_audit_unpublished_total").increment(lost);
            tracing::warn!(
                chain,
                lost,
                "records of the audit were pruned before the broker had them"
            );
            progress.sent = anchor.number;
        }
    }

    fn gather(&self) {
        let entries = self.ground.denials.gathered(self.ground.now(), false);
        if entries.is_empty() {
            return;
        }
        let mut batch = Batch::new();
        entries.into_iter().for_each(|entry| batch.audit(entry));
        self.ground.store.commit(batch, || {});
    }

    fn measure(&self) {
        let waiting = self.ground.store.heads().into_iter().map(|(chain, head)| {
            let sent = self.progress.get(&chain).map_or(0, |progress| progress.sent);
            head.number.saturating_sub(sent)
        });
        metrics::gauge!("tripline_audit_waiting").set(waiting.sum::<u64>() as f64);
    }
}

impl Actor for AuditKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |keeper, ctx| {
            keeper.gather();
            keeper.publish(ctx);
            keeper.prune();
            keeper.measure();
        });
    }
}

impl Handler<WindowDone> for AuditKeeper {
    type Result = ();
    fn handle(&mut self, done: WindowDone, ctx: &mut Self::Context) {
        self.window_done(done);
        self.publish(ctx);
    }
}
