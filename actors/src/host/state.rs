//! A host's commands under way, as a state machine over any kind of slot address.
//!
//! What the agent carries out goes down its connection. What a LittleBrother client carries out is handed to its
//! own state machine ([`Effect::Littlebrother`]), which knows best whether a process is gone. A command that changes
//! something is carried out by the one its intent names, or not at all.

mod client;

pub(super) use client::LITTLEBROTHER_VERBS;

use super::littlebrother::KillStatus;
use super::messages::{Adopt, Execute};
use crate::slot::Report;
use client::Client;
use serde_json::json;
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
    /// For the LittleBrother client: carry it out, and say how it went.
    Littlebrother {
        command_id: CommandId,
        call: VerbCall,
    },
    /// For the LittleBrother client: nobody waits for it any more.
    Forget(CommandId),
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
    /// With the LittleBrother client.
    Littlebrother,
}

/// Commands of one lane follow one another: those of the host's jobs (`None`), and of each interactive session.
type Lane = Option<SessionId>;

/// Who carries a command out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Agent,
    Littlebrother,
}

#[derive(Debug)]
struct Pending<S> {
    slot: S,
    lane: Lane,
    call: VerbCall,
    deadline: Timestamp,
    /// The journal that the intent to send it names.
    journal_id: Option<Uuid>,
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
    client: Option<Client>,
    pending: HashMap<CommandId, Pending<S>>,
    /// Commands not sent yet, in order.
    waiting: VecDeque<CommandId>,
    /// Commands nobody waits for that may still run at the agent. While there are any, and the agent is here,
    /// nothing new of their lane is sent. Of those that an agent names and nobody knows, the lane is the jobs'.
    abandoned: HashMap<CommandId, Lane>,
    /// Commands whose result a slot has and has not acked, and who carried them out: what comes again meanwhile is
    /// not acked here.
    settling: HashMap<CommandId, Carrier>,
}

impl<S> Default for State<S> {
    fn default() -> Self {
        Self {
            epoch: 0,
            attachment: None,
            client: None,
            pending: HashMap::new(),
            waiting: VecDeque::new(),
            abandoned: HashMap::new(),
            settling: HashMap::new(),
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
        self.attachment.is_none()
            && !self.is_client_attached()
            && self.pending.is_empty()
            && self.settling.is_empty()
    }

    /// Who would carry a command out now.
    fn carrier(&self, pending: &Pending<S>) -> Option<Carrier> {
        let agent = self.attachment.is_some().then_some(Carrier::Agent);
        let client = self.is_client_attached().then_some(Carrier::Littlebrother);
        if !mutates(&pending.call) {
            agent.or(client)
        } else if self.is_client(pending.journal_id) {
            client
        } else {
            agent
        }
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
            journal_id,
        } = execute;
        let pending = Pending {
            slot,
            lane: session_id,
            call,
            deadline,
            journal_id,
            place: Place::Here,
            cancelled: false,
        };
        let carrier = self.carrier(&pending);
        self.pending.insert(command_id, pending);
        self.waiting.push_back(command_id);
        if carrier.is_none() {
            return self.tell(command_id, Report::Lost).into_iter().collect();
        }
        self.flush()
    }

    /// Sends what waits, unless an abandoned command of its lane may still run.
    fn flush(&mut self) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        let held: HashSet<Lane> = match self.attachment {
            Some(_) => self.abandoned.values().copied().collect(),
            None => HashSet::new(),
        };
        for command_id in std::mem::take(&mut self.waiting) {
            let Some(pending) = self.pending.get(&command_id) else {
                continue;
            };
            match self.carrier(pending).filter(|_| !held.contains(&pending.lane)) {
                Some(carrier) => effects.extend(self.hand_over(command_id, carrier)),
                None => self.waiting.push_back(command_id),
            }
        }
        effects
    }

    fn hand_over(&mut self, command_id: CommandId, carrier: Carrier) -> Option<Effect<S>> {
        let journal_id = self.attachment.as_ref().map(|attachment| attachment.journal_id);
        let pending = self.pending.get_mut(&command_id)?;
        let verb = pending.call.verb();
        let offered = match carrier {
            Carrier::Agent => self.attachment.as_ref().map(|agent| agent.verbs.as_slice()),
            Carrier::Littlebrother => Some(LITTLEBROTHER_VERBS.as_slice()),
        };
        if !offered.is_some_and(|verbs| verbs.contains(&verb)) {
            let who = match carrier {
                Carrier::Agent => "the host's agent",
                Carrier::Littlebrother => "the host's LittleBrother client",
            };
            let why = match verb {
                Verb::Isolate | Verb::Unisolate => {
                    ": it may lack the program nft or CAP_NET_ADMIN; its log says which"
                }
                _ => "",
            };
            let fault = Fault::unsupported("unsupported_verb", format!("{who} does not offer {verb}{why}"));
            return self.fail(command_id, fault);
        }
        let call = pending.call.clone();
        Some(match carrier {
            Carrier::Agent => {
                pending.place = Place::There(journal_id.filter(|_| mutates(&call)));
                let command = Command {
                    command_id,
                    epoch: self.epoch,
                    call,
                    remaining_ms: 0,
                    transfer: None,
                };
                Effect::SendCommand {
                    command: Box::new(command),
                    deadline: pending.deadline,
                }
            }
            Carrier::Littlebrother => {
                pending.place = Place::Littlebrother;
                Effect::Littlebrother { command_id, call }
            }
        })
    }

    /// Ends a command here with a fault of our own.
    pub(super) fn fail(&mut self, command_id: CommandId, fault: Fault) -> Option<Effect<S>> {
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

    /// A slot waits for a command that was perhaps sent before this actor was made. `kill`: what the client knows
    /// of it, if its intent names the client.
    pub(super) fn adopt(&mut self, slot: S, adopt: Adopt, kill: Option<KillStatus>) -> Vec<Effect<S>> {
        let Adopt {
            command_id,
            session_id,
            call,
            deadline,
            journal_id,
            cancelled,
        } = adopt;
        let place = match kill {
            // A mutating command without a journal was never allowed to leave.
            None => Place::There(journal_id),
            Some(KillStatus::Unknown) => Place::Here,
            Some(KillStatus::Pending | KillStatus::Done) => Place::Littlebrother,
        };
        // Its end was asked for because nobody seemed to wait for it: that it ended is still to come.
        let known = self.abandoned.remove(&command_id).is_some() && self.attachment.is_some();
        let pending = Pending {
            slot,
            lane: session_id,
            call,
            deadline,
            journal_id,
            place,
            cancelled,
        };
        self.pending.insert(command_id, pending);
        match kill {
            None => self.adopted(command_id, known),
            Some(KillStatus::Done) => self.client_ended(command_id, Ok(json!({}))),
            Some(_) if cancelled => self.cancel(command_id),
            Some(KillStatus::Unknown) => {
                self.waiting.push_back(command_id);
                self.found_by_client(command_id)
            }
            Some(KillStatus::Pending) => self.found_by_client(command_id),
        }
    }

    /// What the agent knows of it, its next hello tells.
    fn adopted(&mut self, command_id: CommandId, known: bool) -> Vec<Effect<S>> {
        let report = if known { Report::Found } else { Report::Lost };
        let mut effects: Vec<Effect<S>> = self.tell(command_id, report).into_iter().collect();
        if !known {
            effects.extend(self.take_to_client());
        }
        effects
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
            (Place::Littlebrother, _) => {
                let forget = Some(Effect::Forget(command_id));
                forget
                    .into_iter()
                    .chain(self.fail(command_id, cancelled()))
                    .collect()
            }
        }
    }

    /// Its slot gave up on it. Attached, the agent still has to confirm its end before anything new is sent.
    pub(super) fn abandon(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        if self.settling.contains_key(&command_id) {
            return self.ack(command_id);
        }
        let Some(pending) = self.pending.remove(&command_id) else {
            return Vec::new();
        };
        self.waiting.retain(|waiting| *waiting != command_id);
        if pending.place == Place::Littlebrother {
            return vec![Effect::Forget(command_id)];
        }
        if pending.place == Place::Here || self.attachment.is_none() {
            return Vec::new();
        }
        self.abandoned.insert(command_id, pending.lane);
        vec![Effect::Send(Box::new(ServerFrame::Cancel { command_id }))]
    }

    pub(super) fn ack(&mut self, command_id: CommandId) -> Vec<Effect<S>> {
        if self.settling.remove(&command_id) == Some(Carrier::Littlebrother) {
            return vec![Effect::Forget(command_id)];
        }
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
        if self.settling.contains_key(&command_id) {
            return Vec::new();
        }
        if self.pending.contains_key(&command_id) {
            return self.settle(result, artifact);
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
        effects.extend(self.found_waiting());
        effects.extend(self.flush());
        effects
    }

    /// What waits for somebody who is here now.
    fn found_waiting(&self) -> Vec<Effect<S>> {
        let able = |command_id: &&CommandId| {
            let pending = self.pending.get(command_id);
            pending.is_some_and(|pending| self.carrier(pending).is_some())
        };
        let waiting = self.waiting.iter().filter(able);
        waiting
            .filter_map(|command_id| self.tell(*command_id, Report::Found))
            .collect()
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
        let goes_on = self.is_client_attached();
        let lost = |pending: &Pending<S>| pending.place != Place::Littlebrother || !goes_on;
        self.tell_all(lost, &Report::Lost)
    }

    fn tell_all(&self, whom: impl Fn(&Pending<S>) -> bool, report: &Report) -> Vec<Effect<S>> {
        let ids = self.pending.iter().filter(|(_, pending)| whom(pending));
        ids.filter_map(|(command_id, _)| self.tell(*command_id, report.clone()))
            .collect()
    }

    /// Whether a slot waits for this command, or has its end and has not taken note of it yet.
    pub(super) fn awaits(&self, command_id: CommandId) -> bool {
        self.pending.contains_key(&command_id) || self.settling.contains_key(&command_id)
    }

    /// Tells the slot that waits how its command ended.
    fn settle(&mut self, result: CommandResult, artifact: Option<ArtifactRef>) -> Vec<Effect<S>> {
        let command_id = result.command_id;
        let Some(pending) = self.pending.remove(&command_id) else {
            return Vec::new();
        };
        let carrier = match pending.place {
            Place::Littlebrother => Carrier::Littlebrother,
            Place::Here | Place::There(_) => Carrier::Agent,
        };
        self.settling.insert(command_id, carrier);
        vec![Effect::Tell {
            slot: pending.slot,
            command_id,
            report: Report::Ended(Box::new(result), artifact),
        }]
    }
}

fn cancelled() -> Fault {
    Fault::server(CODE_CANCELLED, "it was cancelled before it was sent")
}
