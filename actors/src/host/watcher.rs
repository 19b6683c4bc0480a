//! The agent's own process watcher: it reports as a LittleBrother client does, over the agent's connection.
//!
//! The connection tells whose message it is, and what waits for it goes down the same way. The frame after an
//! answer says that the answer came; a connection that ends says nothing.

use super::Host;
use super::littlebrother::Ticket;
use super::reporter::{Heard, Reporter};
use crate::core::LinkMessage;
use crate::directory::ClientHeard;
use crate::refusal::Refusal;
use crate::store::Batch;
use actix::prelude::*;
use tripline_protocol::Attestation;
use tripline_protocol::frame::ServerFrame;
use tripline_protocol::littlebrother::ClientMessage;

/// The watcher.
pub(super) struct Watcher {
    pub(super) reporter: Reporter,
    /// The name it was read with.
    hostname: String,
    /// Of the last answer, until its receipt is clear.
    answer: Option<Ticket>,
}

impl Watcher {
    pub(super) fn is_idle(&self) -> bool {
        self.reporter.state.is_idle()
    }

    fn answer_ended(&mut self, written: bool) {
        let Some(ticket) = self.answer.take() else { return };
        if written {
            self.reporter.state.written(ticket);
        } else {
            let changes = self.reporter.state.lost(ticket);
            self.reporter.commit(changes);
        }
    }
}

impl Host {
    /// Whether the host's agent is to watch processes by the settings in force.
    pub(super) fn is_to_watch(&self) -> bool {
        let settings = self.ground.littlebrother.load();
        settings
            .as_ref()
            .is_some_and(|settings| settings.org == self.record.org && !settings.users.is_empty())
    }

    pub(super) fn watcher(&mut self) -> Result<&mut Watcher, Refusal> {
        let hostname = self.record.hostname.clone();
        if self
            .watcher
            .as_ref()
            .is_none_or(|watcher| watcher.hostname != hostname)
        {
            let reporter = self.load_reporter(self.record.host_id, &hostname, Attestation::Agent)?;
            self.watcher = Some(Watcher {
                reporter,
                hostname,
                answer: None,
            });
        }
        self.watcher.as_mut().ok_or(super::client::OFF)
    }

    /// A frame of the watcher. One that is refused is not answered; the watcher sends it again.
    pub(super) fn hear_from_watcher(&mut self, seq: u64, message: ClientMessage, ctx: &Context<Self>) {
        if let Err(refusal) = self.hear_watcher(seq, message, ctx) {
            metrics::counter!("tripline_littlebrother_refused_total").increment(1);
            tracing::debug!(host = %self.record.host_id, %refusal, "a watcher's message is not taken now");
        }
    }

    fn hear_watcher(
        &mut self,
        seq: u64,
        mut message: ClientMessage,
        ctx: &Context<Self>,
    ) -> Result<(), Refusal> {
        let settings = self.admit_messages()?;
        if settings.org != self.record.org {
            return Err(Refusal::Forbidden {
                detail: "agents of this org do not watch processes".into(),
            });
        }
        message.hostname.clone_from(&self.record.hostname);
        for event in &mut message.events {
            event.hostname.clone_from(&self.record.hostname);
        }
        let mut batch = Batch::new();
        let watcher = self.watcher()?;
        watcher.answer_ended(true);
        let Heard { outgoing, outcome } = watcher.reporter.message(&settings, message, &mut batch);
        watcher.answer = Some(outcome.ticket);
        let (me, link, epoch) = (ctx.address(), self.link.clone(), self.state.epoch());
        let frame = ServerFrame::Littlebrother {
            seq,
            events: outcome.answer,
        };
        self.commit(batch, outgoing, move || {
            // A connection that does not take it is dead.
            if link.is_some_and(|link| link.try_send(LinkMessage::Frame(frame)).is_err()) {
                me.do_send(super::Detached { epoch });
            }
        });
        self.directory.do_send(ClientHeard(self.record.host_id));
        Ok(())
    }

    /// The connection ended, and with it the way of the last answer.
    pub(super) fn watcher_detached(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.answer_ended(false);
        }
    }

    /// An agent that was told otherwise is to come again, and is told anew. A client that is not served any more
    /// is no way to its host.
    pub(super) fn reconfigured(&mut self, ctx: &Context<Self>) {
        if self.ground.littlebrother.load().is_none() {
            self.detach_client(ctx);
        }
        if self.link.is_some() && self.watches != self.is_to_watch() {
            self.close_link("reconfigured");
            self.detach(ctx);
        }
    }
}
