//! Commands over a bad connection to a model of the agent: it writes an id to its journal before it begins,
//! begins none twice, and keeps a result until it is acked.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

#[derive(Debug, Clone)]
enum Op {
    Connect,
    Disconnect,
    /// One frame arrives at the agent.
    ToAgent,
    /// One result arrives at the server.
    ToServer,
    /// What the agent runs is done.
    Finish,
    AgentRestarts,
    AgentLosesItsJournal,
    HostActorRestarts,
    Execute {
        mutating: bool,
    },
    Cancel,
    Abandon,
    /// The slot has written down the oldest result it did not ack.
    Ack,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Connect),
        2 => Just(Op::Disconnect),
        10 => Just(Op::ToAgent),
        8 => Just(Op::ToServer),
        6 => Just(Op::Finish),
        1 => Just(Op::AgentRestarts),
        1 => Just(Op::AgentLosesItsJournal),
        1 => Just(Op::HostActorRestarts),
        8 => any::<bool>().prop_map(|mutating| Op::Execute { mutating }),
        1 => Just(Op::Cancel),
        1 => Just(Op::Abandon),
        5 => Just(Op::Ack),
    ]
}

#[derive(Default)]
struct Agent {
    journals: u128,
    begun: BTreeSet<CommandId>,
    running: BTreeSet<CommandId>,
    finished: BTreeMap<CommandId, CommandResult>,
}

impl Agent {
    fn finish(&mut self, command_id: CommandId, error: Option<Fault>) -> CommandResult {
        assert!(self.running.remove(&command_id));
        let ended = CommandResult {
            error,
            ..result(command_id)
        };
        self.finished.insert(command_id, ended.clone());
        ended
    }

    fn restart(&mut self) {
        for command_id in self.running.clone() {
            self.finish(command_id, Some(Fault::server("interrupted", "the agent died")));
        }
    }

    fn lose_journal(&mut self) {
        *self = Agent {
            journals: self.journals + 1,
            ..Agent::default()
        };
    }

    fn hello(&self) -> Hello {
        let running: Vec<_> = self.running.iter().copied().collect();
        let finished: Vec<_> = self.finished.keys().copied().collect();
        hello(journal(self.journals), &running, &finished)
    }
}

/// What the slot waits for.
struct Waiting {
    command_id: CommandId,
    call: VerbCall,
    journal_id: Option<Uuid>,
    cancelled: bool,
}

#[derive(Default)]
struct World {
    state: State<u8>,
    epoch: u64,
    connected: bool,
    agent: Agent,
    to_agent: VecDeque<ServerFrame>,
    to_server: VecDeque<CommandResult>,
    waiting: Option<Waiting>,
    to_ack: VecDeque<CommandId>,
    issued: u128,
    ends: HashMap<CommandId, u32>,
    abandoned: BTreeSet<CommandId>,
    executions: HashMap<CommandId, (bool, u32)>,
}

impl World {
    fn apply(&mut self, effects: Vec<Effect<u8>>) {
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.send(*frame),
                Effect::SendCommand { command, .. } => {
                    assert_eq!(command.epoch, self.epoch);
                    self.send(ServerFrame::Command(command));
                }
                Effect::Littlebrother { .. } | Effect::Forget(_) => panic!("this host reports as no client"),
                Effect::Tell {
                    command_id, report, ..
                } => self.told(command_id, &report),
            }
        }
    }

    fn send(&mut self, frame: ServerFrame) {
        assert!(self.connected, "sent {frame:?} to an agent that is away");
        self.to_agent.push_back(frame);
    }

    fn told(&mut self, command_id: CommandId, report: &Report) {
        let expected = self.waiting.as_ref().map(|waiting| waiting.command_id);
        assert_eq!(
            expected,
            Some(command_id),
            "a report nobody waits for: {report:?}"
        );
        match report {
            Report::Lost | Report::Found => return,
            Report::Ended(..) => self.to_ack.push_back(command_id),
            Report::JournalLost => {}
        }
        *self.ends.entry(command_id).or_default() += 1;
        self.waiting = None;
    }

    fn disconnect(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.to_agent.clear();
            self.to_server.clear();
            let effects = self.state.detach();
            self.apply(effects);
        }
    }

    fn connect(&mut self) {
        if self.connected {
            return;
        }
        self.connected = true;
        self.epoch += 1;
        let effects = self.state.attach(self.epoch, &self.agent.hello());
        self.to_server.extend(self.agent.finished.values().cloned());
        self.apply(effects);
    }

    fn arrive_at_agent(&mut self) {
        match self.to_agent.pop_front() {
            Some(ServerFrame::Command(command)) => {
                let command_id = command.command_id;
                assert!(
                    self.agent.begun.insert(command_id),
                    "it was sent twice to the same journal"
                );
                assert!(self.agent.running.is_empty(), "another command still runs");
                self.agent.running.insert(command_id);
                let mutating = command.call == mutates();
                self.executions.entry(command_id).or_insert((mutating, 0)).1 += 1;
            }
            Some(ServerFrame::Cancel { command_id }) if self.agent.running.contains(&command_id) => {
                let ended = self
                    .agent
                    .finish(command_id, Some(Fault::server("cancelled", "cancelled")));
                self.to_server.push_back(ended);
            }
            Some(ServerFrame::Ack { command_ids }) => {
                for command_id in command_ids {
                    self.agent.finished.remove(&command_id);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self) {
        if let Some(command_id) = self.agent.running.first().copied() {
            let ended = self.agent.finish(command_id, None);
            if self.connected {
                self.to_server.push_back(ended);
            }
        }
    }

    fn execute(&mut self, mutating: bool) {
        // A slot has one command at a time, and begins a mutating one only with its host there.
        if self.waiting.is_some() || (mutating && !self.connected) {
            return;
        }
        self.issued += 1;
        let (command_id, call) = (id(self.issued), if mutating { mutates() } else { reads() });
        self.waiting = Some(Waiting {
            command_id,
            call: call.clone(),
            journal_id: mutating.then(|| journal(self.agent.journals)),
            cancelled: false,
        });
        let effects = self.state.execute(SLOT, execute(command_id, call));
        self.apply(effects);
    }

    fn host_actor_restarts(&mut self) {
        self.connected = false;
        self.to_agent.clear();
        self.to_server.clear();
        self.state = State::default();
        if let Some(waiting) = &self.waiting {
            let adopt = Adopt {
                cancelled: waiting.cancelled,
                ..adopt(waiting.command_id, waiting.call.clone(), waiting.journal_id)
            };
            let effects = self.state.adopt(SLOT, adopt, None);
            self.apply(effects);
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Connect => self.connect(),
            Op::Disconnect => self.disconnect(),
            Op::ToAgent => self.arrive_at_agent(),
            Op::ToServer => {
                if let Some(ended) = self.to_server.pop_front() {
                    let effects = self.state.result(ended, None);
                    self.apply(effects);
                }
            }
            Op::Finish => self.finish(),
            Op::AgentRestarts => {
                self.disconnect();
                self.agent.restart();
            }
            Op::AgentLosesItsJournal => {
                self.disconnect();
                self.agent.lose_journal();
            }
            Op::HostActorRestarts => self.host_actor_restarts(),
            Op::Execute { mutating } => self.execute(*mutating),
            Op::Cancel => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.cancelled = true;
                    let command_id = waiting.command_id;
                    let effects = self.state.cancel(command_id);
                    self.apply(effects);
                }
            }
            Op::Abandon => {
                if let Some(waiting) = self.waiting.take() {
                    self.abandoned.insert(waiting.command_id);
                    let effects = self.state.abandon(waiting.command_id);
                    self.apply(effects);
                }
            }
            Op::Ack => {
                if let Some(command_id) = self.to_ack.pop_front() {
                    let effects = self.state.ack(command_id);
                    self.apply(effects);
                }
            }
        }
    }

    /// Lets everything come to its end over a connection that holds, then over one more.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.disconnect();
            self.connect();
            for _ in 0..100 {
                for op in [Op::ToAgent, Op::Finish, Op::ToServer, Op::Ack] {
                    self.step(&op);
                }
            }
        }
        self.disconnect();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_mutating_command_runs_twice_and_every_command_ends_once(
        ops in prop::collection::vec(op(), 1..200)
    ) {
        let mut world = World::default();
        ops.iter().for_each(|op| world.step(op));
        world.settle();
        for (command_id, (mutating, times)) in &world.executions {
            prop_assert!(!mutating || *times == 1, "{command_id} ran {times} times");
        }
        for n in 1..=world.issued {
            let expected = u32::from(!world.abandoned.contains(&id(n)));
            let ends = world.ends.get(&id(n)).copied().unwrap_or(0);
            prop_assert_eq!(ends, expected, "command {} ended {} times", n, ends);
        }
        prop_assert!(world.agent.finished.is_empty(), "the agent keeps results for ever");
        prop_assert!(world.state.is_idle());
    }
}
