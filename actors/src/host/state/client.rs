//! What the LittleBrother client carries out that the host reports as.

use super::{Effect, Pending, Place, State};
use crate::slot::Report;
use serde_json::Value;
use tripline_protocol::frame::CommandResult;
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, Fault};
use uuid::Uuid;

/// What a LittleBrother client can be asked for.
pub(in super::super) const LITTLEBROTHER_VERBS: [Verb; 2] = [Verb::ListProcesses, Verb::KillProcess];

/// The LittleBrother client that the host reports as.
#[derive(Debug)]
pub(super) struct Client {
    /// The id of its own record stands for a journal.
    journal_id: Uuid,
    /// Its messages come.
    attached: bool,
}

impl<S: Clone> State<S> {
    pub(super) fn is_client_attached(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.attached)
    }

    pub(super) fn is_client(&self, journal_id: Option<Uuid>) -> bool {
        let client = self.client.as_ref().map(|client| client.journal_id);
        client.is_some() && client == journal_id
    }

    /// The host reports as the client whose own record has this id, or as none any more.
    pub(in super::super) fn set_client(&mut self, own: Option<Uuid>) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        let with = |pending: &Pending<S>| pending.place == Place::Littlebrother;
        if own.is_none() {
            effects = self.tell_all(with, &Report::JournalLost);
            self.pending.retain(|_, pending| !with(pending));
        }
        self.client = own.map(|journal_id| Client {
            journal_id,
            attached: false,
        });
        effects
    }

    /// The client's messages come.
    pub(in super::super) fn client_attached(&mut self) -> Vec<Effect<S>> {
        match &mut self.client {
            Some(client) if !client.attached => client.attached = true,
            _ => return Vec::new(),
        }
        let with = |pending: &Pending<S>| pending.place == Place::Littlebrother;
        let mut effects = self.tell_all(with, &Report::Found);
        effects.extend(self.found_waiting());
        effects.extend(self.take_to_client());
        effects.extend(self.flush());
        effects
    }

    /// The client fell silent.
    pub(in super::super) fn client_detached(&mut self) -> Vec<Effect<S>> {
        match &mut self.client {
            Some(client) if client.attached => client.attached = false,
            _ => return Vec::new(),
        }
        let agent = self.attachment.is_some();
        let lost = |pending: &Pending<S>| pending.place == Place::Littlebrother || !agent;
        self.tell_all(lost, &Report::Lost)
    }

    pub(super) fn found_by_client(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        let here = self.is_client_attached();
        let report = if here { Report::Found } else { Report::Lost };
        let mut effects: Vec<Effect<S>> = self.tell(command_id, report).into_iter().collect();
        effects.extend(self.flush());
        effects
    }

    /// Without an agent, listings that were perhaps sent to one are made by the client: they only read.
    pub(super) fn take_to_client(&mut self) -> Vec<Effect<S>> {
        if self.attachment.is_some() || !self.is_client_attached() {
            return Vec::new();
        }
        let mut listings: Vec<CommandId> = Vec::new();
        for (command_id, pending) in &mut self.pending {
            if pending.place == Place::There(None) && pending.call.verb() == Verb::ListProcesses {
                pending.place = Place::Here;
                listings.push(*command_id);
            }
        }
        listings.sort_unstable();
        let found: Vec<Effect<S>> = listings
            .iter()
            .filter_map(|command_id| self.tell(*command_id, Report::Found))
            .collect();
        self.waiting.extend(listings);
        found.into_iter().chain(self.flush()).collect()
    }

    /// How a command ended that the client was asked for.
    pub(in super::super) fn client_ended(
        &mut self,
        command_id: CommandId,
        ended: Result<Value, Fault>,
    ) -> Vec<Effect<S>> {
        let is_there = |pending: &mut Pending<S>| pending.place == Place::Littlebrother;
        if !self.pending.get_mut(&command_id).is_some_and(is_there) {
            return Vec::new();
        }
        match ended {
            Err(fault) => self.fail(command_id, fault).into_iter().collect(),
            Ok(output) => {
                let result = CommandResult {
                    command_id,
                    output: Some(output),
                    error: None,
                    truncated: None,
                };
                self.settle(result, None)
            }
        }
    }
}
