//! A host's commands under way, as a state machine over any kind of slot address.

use super::messages::{Adopt, Execute};
use crate::slot::Report;
use std::collections::{HashMap, HashSet, VecDeque};
use tripline_protocol::frame::{CODE_CANCELLED, Command, CommandResult, Hello, ServerFrame};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::{Effect as VerbEffect, Verb, VerbCall};
use tripline_protocol::{CommandId, Fault, SessionId, Timestamp};
use uuid::Uuid;

/// What is to be done, in this order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect<S> {
    Send(Box<ServerFrame>),
    /// Like `Send`, with the time that remains filled in.
    SendCommand {
        command: Box<Command>,
        deadline: Timestamp,
    },
    Tell {
        slot: S,
        command_id: CommandId,
        report: Report,
    },
}

/// Where a command is, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not sent yet.
    Here,
    /// Sent to the agent with this journal; `None`: it only reads, and the journal does not matter.
    There(Option<Uuid>),
}

/// Commands of one lane follow one another: those of the host's jobs (`None`), and of each interactive session.
type Lane = Option<SessionId>;

#[derive(Debug)]
struct Pending<S> {
    slot: S,
    lane: Lane,
    call: VerbCall,
    deadline: Timestamp,
    place: Place,
    /// Its end was asked for.
    cancelled: bool,
}

#[derive(Debug)]
struct Attachment {
    verbs: Vec<Verb>,
    journal_id: Uuid,
}

#[derive(Debug)]
pub(super) struct State<S> {
    epoch: u64,
    attachment: Option<Attachment>,
    pending: HashMap<CommandId, Pending<S>>,
    /// Commands not sent yet, in order.
    waiting: VecDeque<CommandId>,
    /// Commands nobody waits for that may still run at the agent. While there are any, nothing new of their
    /// lane is sent. Of those that an agent names and nobody knows, the lane is the jobs'.
    abandoned: HashMap<CommandId, Lane>,
    /// Commands whose result a slot has and has not acked: what comes again meanwhile is not acked here.
    settling: HashSet<CommandId>,
}

impl<S> Default for State<S> {
    fn default() -> Self {
        Self {
            epoch: 0,
            attachment: None,
            pending: HashMap::new(),
            waiting: VecDeque::new(),
            abandoned: HashMap::new(),
            settling: HashSet::new(),
        }
    }
}

fn mutates(call: &VerbCall) -> bool {
    call.verb().effect() == VerbEffect::Mutates
}

impl<S: Clone> State<S> {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_idle(&self) -> bool {
        self.attachment.is_none() && self.pending.is_empty() && self.settling.is_empty()
    }

    fn tell(&self, command_id: CommandId, report: Report) -> Option<Effect<S>> {
        let slot = self.pending.get(&command_id)?.slot.clone();
        Some(Effect::Tell {
            slot,
            command_id,
            report,
        })
    }

    /// A slot has a command for the host.
    pub(super) fn execute(&mut self, slot: S, execute: Execute) -> Vec<Effect<S>> {
        let Execute {
            command_id,
            session_id,
            call,
            deadline,
        } = execute;
        let pending = Pending {
            slot,
            lane: session_id,
            call,
            deadline,
            place: Place::Here,
            cancelled: false,
        };
        self.pending.insert(command_id, pending);
        self.waiting.push_back(command_id);
        if self.attachment.is_none() {
            return self.tell(command_id, Report::Lost).into_iter().collect();
        }
        self.flush()
    }

    /// Sends what waits, unless an abandoned command of its lane may still run.
    fn flush(&mut self) -> Vec<Effect<S>> {
        let (mut effects, mut unsupported) = (Vec::new(), Vec::new());
        let Some(attachment) = &self.attachment else {
            return effects;
        };
        let held: HashSet<Lane> = self.abandoned.values().copied().collect();
        for command_id in std::mem::take(&mut self.waiting) {
            let Some(pending) = self.pending.get_mut(&command_id) else {
                continue;
            };
            if held.contains(&pending.lane) {
                self.waiting.push_back(command_id);
                continue;
            }
            let verb = pending.call.verb();
            if !attachment.verbs.contains(&verb) {
                unsupported.push((command_id, verb));
                continue;
            }
            pending.place = Place::There(mutates(&pending.call).then_some(attachment.journal_id));
            let command = Command {
                command_id,
                epoch: self.epoch,
                call: pending.call.clone(),
                remaining_ms: 0,
                transfer: None,
            };
            effects.push(Effect::SendCommand {
                command: Box::new(command),
                deadline: pending.deadline,
            });
        }
        for (command_id, verb) in unsupported {
            let text = format!("the host's agent does not offer {verb}");
            effects.extend(self.fail(command_id, Fault::unsupported("unsupported_verb", text)));
        }
        effects
    }

    /// Ends a command here with a fault of our own.
    fn fail(&mut self, command_id: CommandId, fault: Fault) -> Option<Effect<S>> {
        let pending = self.pending.remove(&command_id)?;
        self.waiting.retain(|waiting| *waiting != command_id);
        let result = CommandResult {
            command_id,
            output: None,
            error: Some(fault),
            truncated: None,
        };
        Some(Effect::Tell {
            slot: pending.slot,
            command_id,
            report: Report::Ended(Box::new(result), None),
        })
    }

    /// A slot waits for a command that was perhaps sent before this actor was made.
    pub(super) fn adopt(&mut self, slot: S, adopt: Adopt) -> Vec<Effect<S>> {
        let Adopt {
            command_id,
            session_id,
            call,
            deadline,
            journal_id,
            cancelled,
        } = adopt;
        // A mutating command without a journal was never allowed to leave.
        let place = Place::There(journal_id);
        // Its end was asked for because nobody seemed to wait for it: that it ended is still to come.
        let known = self.abandoned.remove(&command_id).is_some() && self.attachment.is_some();
        self.pending.insert(
            command_id,
            Pending {
                slot,
                lane: session_id,
                call,
                deadline,
                place,
                cancelled,
            },
        );
        // What the agent knows of it, its next hello tells.
        let report = if known { Report::Found } else { Report::Lost };
        self.tell(command_id, report).into_iter().collect()
    }

    pub(super) fn cancel(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        let Some(pending) = self.pending.get_mut(&command_id) else {
            return Vec::new();
        };
        pending.cancelled = true;
        match (pending.place, &self.attachment) {
            (Place::Here, _) => self.fail(command_id, cancelled()).into_iter().collect(),
            (Place::There(_), Some(_)) => vec![Effect::Send(Box::new(ServerFrame::Cancel { command_id }))],
            // Asked for when the agent is back.
            (Place::There(_), None) => Vec::new(),
        }
    }

    /// Its slot gave up on it. Attached, the agent still has to confirm its end before anything new is sent.
    pub(super) fn abandon(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        if self.settling.contains(&command_id) {
            return self.ack(command_id);
        }
        let Some(pending) = self.pending.remove(&command_id) else {
            return Vec::new();
        };
        self.waiting.retain(|waiting| *waiting != command_id);
        if pending.place == Place::Here || self.attachment.is_none() {
            return Vec::new();
        }
        self.abandoned.insert(command_id, pending.lane);
        vec![Effect::Send(Box::new(ServerFrame::Cancel { command_id }))]
    }

    pub(super) fn ack(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        self.settling.remove(&command_id);
        // A detached agent offers the result again, and nobody waits for it then: it is acked at once.
        if self.attachment.is_none() {
            return Vec::new();
        }
        vec![Effect::Send(Box::new(ServerFrame::Ack {
            command_ids: vec![command_id],
        }))]
    }

    /// The agent reports how a command ended. One that nobody waits for is acked, so that it is forgotten.
    pub(super) fn result(&mut self, result: CommandResult, artifact: Option<ArtifactRef>) -> Vec<Effect<S>> {
        let command_id = result.command_id;
        if self.settling.contains(&command_id) {
            return Vec::new();
        }
        if let Some(pending) = self.pending.remove(&command_id) {
            self.settling.insert(command_id);
            let report = Report::Ended(Box::new(result), artifact);
            return vec![Effect::Tell {
                slot: pending.slot,
                command_id,
                report,
            }];
        }
        let mut effects = vec![Effect::Send(Box::new(ServerFrame::Ack {
            command_ids: vec![command_id],
        }))];
        if self.abandoned.remove(&command_id).is_some() {
            effects.extend(self.flush());
        }
        effects
    }

    /// The agent is (back) here: what runs and what finished there is set against what is waited for here.
    pub(super) fn attach(&mut self, epoch: u64, hello: &Hello) -> Vec<Effect<S>> {
        self.epoch = epoch;
        self.attachment = Some(Attachment {
            verbs: hello.verbs.clone(),
            journal_id: hello.journal_id,
        });
        let running: HashSet<CommandId> = hello.running.iter().copied().collect();
        let finished: HashSet<CommandId> = hello.finished.iter().copied().collect();
        // Running there and nobody waits here: a job that ended without it. It must end before the next.
        let before = std::mem::take(&mut self.abandoned);
        self.abandoned = running
            .iter()
            .filter(|id| !self.pending.contains_key(id))
            .map(|id| (*id, before.get(id).copied().flatten()))
            .collect();
        let cancel = |command_id: &CommandId| {
            Effect::Send(Box::new(ServerFrame::Cancel {
                command_id: *command_id,
            }))
        };
        let mut effects: Vec<Effect<S>> = self.abandoned.keys().map(cancel).collect();
        let mut there: Vec<(CommandId, Option<Uuid>)> = Vec::new();
        for (command_id, pending) in &self.pending {
            if let Place::There(journal_id) = pending.place {
                there.push((*command_id, journal_id));
            }
        }
        there.sort_unstable();
        for (command_id, journal_id) in there {
            let known = running.contains(&command_id) || finished.contains(&command_id);
            effects.extend(self.reconcile(command_id, known, journal_id, hello.journal_id));
        }
        let here: Vec<CommandId> = self.waiting.iter().copied().collect();
        effects.extend(
            here.into_iter()
                .filter_map(|command_id| self.tell(command_id, Report::Found)),
        );
        effects.extend(self.flush());
        effects
    }

    /// One command that was sent before the agent came back.
    fn reconcile(
        &mut self,
        command_id: CommandId,
        known: bool,
        journal_id: Option<Uuid>,
        journal_now: Uuid,
    ) -> Vec<Effect<S>> {
        let cancelled_before = self
            .pending
            .get(&command_id)
            .is_some_and(|pending| pending.cancelled);
        if known {
            let cancel = Effect::Send(Box::new(ServerFrame::Cancel { command_id }));
            let mut effects: Vec<Effect<S>> = self.tell(command_id, Report::Found).into_iter().collect();
            effects.extend(cancelled_before.then_some(cancel));
            return effects;
        }
        if journal_id.is_some_and(|journal_id| journal_id != journal_now) {
            let lost = self.tell(command_id, Report::JournalLost);
            self.pending.remove(&command_id);
            return lost.into_iter().collect();
        }
        // The journal is the same and does not know it: it never arrived, so it never ran.
        if cancelled_before {
            return self.fail(command_id, cancelled()).into_iter().collect();
        }
        if let Some(pending) = self.pending.get_mut(&command_id) {
            pending.place = Place::Here;
            self.waiting.push_front(command_id);
        }
        Vec::new()
    }

    /// The connection ended.
    pub(super) fn detach(&mut self) -> Vec<Effect<S>> {
        self.attachment = None;
        let ids: Vec<CommandId> = self.pending.keys().copied().collect();
        ids.into_iter()
            .filter_map(|command_id| self.tell(command_id, Report::Lost))
            .collect()
    }
}

fn cancelled() -> Fault {
    Fault::server(CODE_CANCELLED, "it was cancelled before it was sent")
}
