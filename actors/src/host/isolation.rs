//! What the host's agent says of its isolation: kept on the host's record, and published when it changes.
//!
//! The record and the event are one batch. An agent says it in its hello and at each change, so nothing is asked.

use super::Host;
use crate::outbox::{Outgoing, stage};
use crate::store::Batch;
use actix::prelude::*;
use serde_json::{Value, json};
use tripline_protocol::api::HostChangeKind;
use tripline_protocol::frame::AgentEvent;
use tripline_protocol::isolation::{ETYPE_ISOLATED, ETYPE_UNISOLATED};
use tripline_protocol::{Isolation, IsolationEnd, IsolationReport};

impl Host {
    /// A frame of the agent. One that comes too often ends the connection: the next hello says how it stands.
    pub(super) fn hear_isolation(&mut self, report: &IsolationReport, ctx: &Context<Self>) {
        let mut batch = Batch::new();
        let outgoing = self.take_isolation(Some(report), &mut batch);
        if !batch.is_empty() {
            self.commit(batch, outgoing, || {});
            self.tell(match self.record.isolation {
                Some(_) => HostChangeKind::Isolated,
                None => HostChangeKind::Unisolated,
            });
        } else if self.is_news(report) {
            self.break_off("isolation", &"its host's isolation changes too often", ctx);
        }
    }

    /// Whether the record is not as the agent says.
    fn is_news(&self, report: &IsolationReport) -> bool {
        let said = match report {
            IsolationReport::Unknown => return false,
            IsolationReport::Ended { .. } => None,
            IsolationReport::Isolated { isolation, .. } => Some(isolation.command_id),
        };
        said != self.record.isolation.as_ref().map(|known| known.command_id)
    }

    /// Takes what an agent says into the record, and what others are to know of it into `batch`; nothing when it
    /// changes too often.
    pub(super) fn take_isolation(
        &mut self,
        report: Option<&IsolationReport>,
        batch: &mut Batch,
    ) -> Vec<Outgoing> {
        if matches!(report, Some(IsolationReport::Unknown)) {
            return Vec::new();
        }
        let heard = report.and_then(|report| report.heard_at(self.ground.now()));
        let command = |isolation: &Option<Isolation>| isolation.as_ref().map(|known| known.command_id);
        let changes = command(&heard) != command(&self.record.isolation);
        if changes && !self.conduct.may_change(self.ground.now()) {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.record.isolation, heard);
        let now = self.record.isolation.clone();
        let event = match (&before, &now) {
            (None, None) => return Vec::new(),
            (Some(before), Some(now)) if before.command_id == now.command_id => None,
            (before, Some(now)) => Some(self.isolated(now, before.is_some())),
            (Some(before), None) => Some(self.unisolated(before, report)),
        };
        self.record.put(batch);
        let staged = event.and_then(|event| self.stage_change(event, batch));
        staged.into_iter().collect()
    }

    fn isolated(&self, isolation: &Isolation, renewed: bool) -> (&'static str, String, Value) {
        tracing::warn!(
            host = %self.record.host_id, hostname = %self.record.hostname, command = %isolation.command_id,
            until = %isolation.until, renewed, "host isolated"
        );
        let data = json!({
            "host_id": self.record.host_id,
            "hostname": self.record.hostname,
            "command_id": isolation.command_id,
            "since": isolation.since,
            "until": isolation.until,
            "persist": isolation.persist,
            "allow": isolation.allow,
            "renewed": renewed,
        });
        (ETYPE_ISOLATED, isolation.command_id.to_string(), data)
    }

    fn unisolated(
        &self,
        isolation: &Isolation,
        report: Option<&IsolationReport>,
    ) -> (&'static str, String, Value) {
        let why = match report {
            Some(IsolationReport::Ended { why, .. }) => *why,
            _ => IsolationEnd::Unknown,
        };
        tracing::warn!(
            host = %self.record.host_id, hostname = %self.record.hostname, command = %isolation.command_id,
            %why, "host isolated no more"
        );
        let data = json!({
            "host_id": self.record.host_id,
            "hostname": self.record.hostname,
            "command_id": isolation.command_id,
            "since": isolation.since,
            "why": why,
        });
        (ETYPE_UNISOLATED, isolation.command_id.to_string(), data)
    }

    fn stage_change(
        &self,
        (etype, command, data): (&'static str, String, Value),
        batch: &mut Batch,
    ) -> Option<Outgoing> {
        metrics::counter!("tripline_host_isolation_changes_total", "etype" => etype).increment(1);
        let event = self.to_event(AgentEvent {
            id: format!("{etype}/{command}"),
            etype: etype.parse().ok()?,
            time: self.ground.now(),
            data,
        });
        let message = super::event_message(&self.ground, &event);
        Some(stage(&self.ground.load, batch, message))
    }
}
