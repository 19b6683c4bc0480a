//! Random interleavings of what happens to kills and listings on a host that reports as a client, with an agent that
//! comes and goes and with restarts of the server.

use super::*;
use crate::host::littlebrother::KillStatus;
use crate::host::state::State;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const OWN: u128 = 77;

#[derive(Debug, Clone)]
enum Op {
    Kill,
    List,
    ClientComes,
    ClientFallsSilent,
    AgentComes,
    AgentGoes,
    /// The process of a kill under way at the client is gone.
    Gone(prop::sample::Index),
    Cancel(prop::sample::Index),
    Abandon(prop::sample::Index),
    /// A slot has written a result down.
    Ack(prop::sample::Index),
    /// The server starts anew: slots ask for the kills whose intents are stored.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        6 => Just(Op::Kill),
        3 => Just(Op::List),
        3 => Just(Op::ClientComes),
        2 => Just(Op::ClientFallsSilent),
        2 => Just(Op::AgentComes),
        2 => Just(Op::AgentGoes),
        4 => any().prop_map(Op::Gone),
        2 => any().prop_map(Op::Cancel),
        1 => any().prop_map(Op::Abandon),
        4 => any().prop_map(Op::Ack),
        1 => Just(Op::Restart),
    ]
}

/// The host, with what its client, its slots and the store know.
struct World {
    state: State<u8>,
    next: u128,
    /// What the client's record knows of kills; it survives a restart.
    kills: BTreeMap<CommandId, KillStatus>,
    /// Commands that slots wait for.
    open: BTreeMap<CommandId, VerbCall>,
    /// Commands whose results slots have and have not acked.
    settling: BTreeSet<CommandId>,
    client: bool,
    agent: bool,
}

impl World {
    fn new() -> Self {
        Self {
            state: fresh(),
            next: 0,
            kills: BTreeMap::new(),
            open: BTreeMap::new(),
            settling: BTreeSet::new(),
            client: false,
            agent: false,
        }
    }

    fn apply(&mut self, effects: Vec<Effect<u8>>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Littlebrother { command_id, call } => {
                    assert!(self.client, "it is away");
                    if call.verb() == Verb::ListProcesses {
                        effects.extend(self.state.client_ended(command_id, Ok(json!({}))));
                    } else {
                        let known = self.kills.insert(command_id, KillStatus::Pending);
                        assert_eq!(known, None, "a kill is asked for once");
                    }
                }
                Effect::Forget(command_id) => drop(self.kills.remove(&command_id)),
                Effect::SendCommand { command, .. } => {
                    assert!(self.agent, "it is away");
                    assert_ne!(command.call.verb(), Verb::KillProcess, "it is the client's");
                    // It lists at once.
                    effects.extend(self.state.result(result(command.command_id), None));
                }
                Effect::Send(_) => {}
                Effect::Tell {
                    command_id,
                    report: Report::Ended(ended, _),
                    ..
                } => {
                    assert!(self.open.remove(&command_id).is_some(), "it ended twice");
                    if ended.error.is_none() {
                        self.settling.insert(command_id);
                    }
                }
                Effect::Tell {
                    command_id, report, ..
                } => {
                    assert!(self.open.contains_key(&command_id), "nobody waits for it");
                    assert_ne!(report, Report::JournalLost);
                }
            }
        }
    }

    fn execute(&mut self, verb: Verb) {
        self.next += 1;
        let command_id = id(self.next);
        let kill = verb == Verb::KillProcess;
        let call = VerbCall::parse(verb, if kill { json!({ "pid": 4 }) } else { json!({}) }).unwrap();
        self.open.insert(command_id, call.clone());
        let execute = Execute {
            journal_id: kill.then_some(Uuid::from_u128(OWN)),
            ..execute(command_id, call)
        };
        let effects = self.state.execute(SLOT, execute);
        self.apply(effects);
    }

    /// What slots wait for survives in their records, but for listings, which their jobs begin anew.
    fn restart(&mut self) {
        self.state = fresh();
        (self.client, self.agent) = (false, false);
        self.settling.clear();
        self.open.retain(|_, call| call.verb() == Verb::KillProcess);
        for (command_id, call) in self.open.clone() {
            let status = self.kills.get(&command_id).copied();
            let adopt = adopt(command_id, call, Some(Uuid::from_u128(OWN)));
            let kill = Some(status.unwrap_or(KillStatus::Unknown));
            let effects = self.state.adopt(SLOT, adopt, kill);
            self.apply(effects);
        }
        // As the actor does with the second message: nobody asked for them.
        let state = &self.state;
        self.kills.retain(|command_id, _| state.awaits(*command_id));
    }

    fn step(&mut self, op: Op) {
        let pick = |ids: Vec<CommandId>, index: prop::sample::Index| {
            (!ids.is_empty()).then(|| ids[index.index(ids.len())])
        };
        let open: Vec<CommandId> = self.open.keys().copied().collect();
        let effects = match op {
            Op::Kill => return self.execute(Verb::KillProcess),
            Op::List => return self.execute(Verb::ListProcesses),
            Op::Restart => return self.restart(),
            Op::ClientComes => {
                self.client = true;
                self.state.client_attached()
            }
            Op::ClientFallsSilent => {
                self.client = false;
                self.state.client_detached()
            }
            Op::AgentComes => {
                self.agent = true;
                let mut hello = hello(journal(1), &[], &[]);
                hello.verbs.push(Verb::KillProcess);
                self.state.attach(1, &hello)
            }
            Op::AgentGoes => {
                self.agent = false;
                self.state.detach()
            }
            Op::Gone(index) => {
                let pending = self
                    .kills
                    .iter()
                    .filter(|(_, status)| **status == KillStatus::Pending);
                let ids: Vec<CommandId> = pending.map(|(command_id, _)| *command_id).collect();
                let Some(command_id) = pick(ids, index).filter(|_| self.client) else {
                    return;
                };
                self.kills.insert(command_id, KillStatus::Done);
                self.state.client_ended(command_id, Ok(json!({})))
            }
            Op::Cancel(index) => pick(open, index).map_or(vec![], |command_id| self.state.cancel(command_id)),
            Op::Abandon(index) => {
                let Some(command_id) = pick(open, index) else {
                    return;
                };
                self.open.remove(&command_id);
                self.state.abandon(command_id)
            }
            Op::Ack(index) => {
                let ids: Vec<CommandId> = self.settling.iter().copied().collect();
                let Some(command_id) = pick(ids, index) else {
                    return;
                };
                self.settling.remove(&command_id);
                self.state.ack(command_id)
            }
        };
        self.apply(effects);
    }

    fn assert_invariants(&self) {
        for command_id in self.kills.keys() {
            assert!(self.state.awaits(*command_id), "{command_id} goes on for nobody");
        }
        for (command_id, call) in &self.open {
            let kill = call.verb() == Verb::KillProcess;
            assert!(self.state.awaits(*command_id));
            if self.client && kill {
                assert!(
                    self.kills.contains_key(command_id),
                    "{command_id} waits for nothing"
                );
            }
            if !kill {
                assert!(
                    !self.client && !self.agent,
                    "a listing waits although somebody is here"
                );
            }
        }
    }
}

fn fresh() -> State<u8> {
    let mut state = State::default();
    state.set_client(Some(Uuid::from_u128(OWN)));
    state
}

proptest! {
    #[test]
    fn every_kill_is_asked_for_once_ends_once_and_goes_on_for_nobody(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
            world.assert_invariants();
        }
    }
}
