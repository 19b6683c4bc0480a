//! The state machine against a model of a client, of the network, and of a person at live response.
//!
//! Whatever happens, after some quiet rounds the table is what really runs, the client has the configuration in
//! force, and every command is done.

use super::super::{KILLS_MAX, KillStatus, OPEN_MAX, Outcome, Ticket};
use super::server::{NAME, OWN, Server, command};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tripline_protocol::littlebrother::{ClientMessage, LocalTime, PROCESS_HANDLER, WireEvent};
use tripline_protocol::{Span, Timestamp};

/// Processes with these pids are prohibited; the others count.
const PROHIBITED_FROM: u32 = 100;
/// A message is under way for less than this.
const UNDER_WAY_MAX: Span = Span::from_secs(30);

type Key = (u32, LocalTime);

#[derive(Debug, Clone, Copy)]
enum Op {
    Spawn(u32),
    Exit(u32),
    Scan,
    Send(Fate),
    Receipt(usize),
    Arrive(usize),
    KillClient,
    StartClient,
    StopClient(bool),
    RestartServer,
    LeaveMemory,
    Configure,
    Kill(u32),
    Cancel(usize),
    Later(u64),
}

/// What becomes of a message and its answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Heard,
    /// Heard, and the client sends so soon again that its receipt is late.
    HeardReceiptLate,
    /// The server handled it and could not write.
    NotWritten,
    /// It wrote, and the client had given up.
    NotHeard,
    /// It never arrives.
    Lost,
    /// It arrives later than the client waits.
    Late,
}

fn pid() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 1..4_u32, 1 => PROHIBITED_FROM..PROHIBITED_FROM + 2]
}

fn op() -> impl Strategy<Value = Op> {
    let fate = prop_oneof![
        6 => Just(Fate::Heard),
        2 => Just(Fate::HeardReceiptLate),
        2 => Just(Fate::NotWritten),
        2 => Just(Fate::NotHeard),
        2 => Just(Fate::Lost),
        2 => Just(Fate::Late),
    ];
    prop_oneof![
        6 => pid().prop_map(Op::Spawn),
        4 => pid().prop_map(Op::Exit),
        8 => Just(Op::Scan),
        12 => fate.prop_map(Op::Send),
        3 => (0..8_usize).prop_map(Op::Receipt),
        3 => (0..8_usize).prop_map(Op::Arrive),
        1 => Just(Op::KillClient),
        2 => Just(Op::StartClient),
        1 => any::<bool>().prop_map(Op::StopClient),
        1 => Just(Op::RestartServer),
        1 => Just(Op::LeaveMemory),
        1 => Just(Op::Configure),
        3 => pid().prop_map(Op::Kill),
        1 => (0..4_usize).prop_map(Op::Cancel),
        3 => (1..70_u64).prop_map(Op::Later),
    ]
}

/// The client's machine and the client on it.
#[derive(Default)]
struct Client {
    running: BTreeSet<Key>,
    alive: bool,
    known: BTreeSet<Key>,
    queue: Vec<WireEvent>,
    /// It could not send; everything is announced again once it can.
    cut_off: bool,
    /// The configuration it has; kept over restarts.
    config: u64,
    mapping: bool,
}

struct World {
    server: Server,
    client: Client,
    /// Seconds the client's clock is ahead.
    skew: i64,
    late: Vec<(Timestamp, ClientMessage)>,
    receipts: Vec<(Ticket, bool)>,
    config: u64,
    commands: Vec<u128>,
    silent: bool,
    /// Answers of this run with START_MASTER that were not given back.
    masters: Vec<Ticket>,
    /// What each answer under way ended.
    kills: BTreeMap<Ticket, Vec<Key>>,
    /// When a process was last told to end, by an answer that was not given back.
    killed_at: HashMap<Key, Timestamp>,
    reported_at: HashMap<Key, Timestamp>,
    published: HashMap<String, (String, Timestamp)>,
}

impl World {
    fn new(skew: i64) -> Self {
        let mut server = Server::new();
        server.configure(|settings| settings.users[0].process_name_pattern = "0".into());
        Self {
            server,
            client: Client::default(),
            skew,
            late: Vec::new(),
            receipts: Vec::new(),
            config: 0,
            commands: Vec::new(),
            silent: false,
            masters: Vec::new(),
            kills: BTreeMap::new(),
            killed_at: HashMap::new(),
            reported_at: HashMap::new(),
            published: HashMap::new(),
        }
    }

    /// By the client's clock.
    fn local(&self) -> LocalTime {
        at(self.server.now.as_micros() / 1_000_000 - NOON + self.skew)
    }

    fn event(&self, kind: EventType, (pid, start): Key) -> WireEvent {
        let mut event = WireEvent::new(kind, NAME, self.local());
        event.pid = Some(pid);
        event.process_start_time = Some(start);
        event.processhandler = Some(PROCESS_HANDLER.into());
        event.username = Some("amelie".into());
        event
    }

    fn step(&mut self, op: Op) {
        self.later(1);
        match op {
            Op::Spawn(pid) => {
                let start = self.local();
                if self.client.running.iter().all(|(known, _)| *known != pid) {
                    self.client.running.insert((pid, start));
                }
            }
            Op::Exit(pid) => self.client.running.retain(|(known, _)| *known != pid),
            Op::Scan => self.scan(),
            Op::Send(fate) => self.send(fate),
            Op::Receipt(index) => self.receipt(index),
            Op::Arrive(index) => self.arrive(index),
            Op::KillClient => self.die(),
            Op::StartClient => self.start_client(),
            Op::StopClient(heard) => self.stop_client(heard),
            Op::RestartServer => self.restart_server(),
            Op::LeaveMemory => {
                if self.server.state.is_idle() {
                    self.server.forget();
                }
            }
            Op::Configure => self.configure(),
            Op::Kill(pid) => self.kill(pid),
            Op::Cancel(index) => {
                if !self.commands.is_empty() {
                    let command = self.commands.remove(index % self.commands.len());
                    self.server.forget_kill(command);
                }
            }
            Op::Later(seconds) => self.later(seconds),
        }
        self.assert_bounds();
    }

    fn later(&mut self, seconds: u64) {
        self.server.later(seconds);
        let now = self.server.now;
        self.late.retain(|(sent, _)| now.since(*sent) < UNDER_WAY_MAX);
        let tick = self.server.tick();
        assert!(!(tick.silent && self.silent), "silence is told once");
        self.silent |= tick.silent;
    }

    fn scan(&mut self) {
        if !self.client.alive {
            return;
        }
        let (prohibited, counting): (Vec<Key>, Vec<Key>) = self
            .client
            .running
            .iter()
            .partition(|(pid, _)| *pid >= PROHIBITED_FROM);
        for key in counting {
            if self.client.known.insert(key) {
                let mut start = self.event(EventType::ProcessStart, key);
                start.processname = Some("lbgame".into());
                self.client.queue.push(start);
            }
        }
        let gone: Vec<Key> = self
            .client
            .known
            .difference(&self.client.running)
            .copied()
            .collect();
        for key in gone {
            self.client.known.remove(&key);
            let end = self.event(EventType::ProcessEnd, key);
            self.client.queue.push(end);
        }
        for key in prohibited {
            let report = self.event(EventType::ProhibitedProcess, key);
            self.client.queue.push(report);
        }
    }

    fn announce(&mut self) {
        for key in self.client.known.clone() {
            let start = self.event(EventType::ProcessStart, key);
            self.client.queue.push(start);
        }
    }

    fn start_client(&mut self) {
        if !self.client.alive {
            self.client.alive = true;
            let start = WireEvent::new(EventType::StartClient, NAME, self.local());
            self.client.queue.push(start);
            self.scan();
        }
    }

    fn die(&mut self) {
        self.client.alive = false;
        self.client.known.clear();
        self.client.queue.clear();
        self.client.cut_off = false;
    }

    fn stop_client(&mut self, heard: bool) {
        if self.client.alive {
            for key in std::mem::take(&mut self.client.known) {
                let end = self.event(EventType::ProcessEnd, key);
                self.client.queue.push(end);
            }
            self.send(if heard { Fate::Heard } else { Fate::Late });
            self.die();
        }
    }

    fn restart_server(&mut self) {
        self.server.restart();
        // Connections and the memory of answers are gone.
        self.late.clear();
        self.receipts.clear();
        self.kills.clear();
        self.masters.clear();
    }

    fn configure(&mut self) {
        self.config += 1;
        let config = self.config.to_string();
        self.server
            .configure(|settings| settings.users[0].process_name_pattern = config);
    }

    fn kill(&mut self, pid: u32) {
        let n = u128::from(self.server.now.as_micros().unsigned_abs());
        if self.server.kill(n, pid, None).is_ok() {
            self.commands.push(n);
        }
    }

    fn send(&mut self, fate: Fate) {
        if !self.client.alive {
            return;
        }
        let message = ClientMessage {
            hostname: NAME.into(),
            events: std::mem::take(&mut self.client.queue),
            client_stats: None,
        };
        match fate {
            Fate::Heard | Fate::HeardReceiptLate => {
                let outcome = self.post(message);
                self.receipts.push((outcome.ticket, true));
                if fate == Fate::Heard {
                    self.receipt(self.receipts.len() - 1);
                }
                self.hear(outcome.answer);
                return;
            }
            Fate::NotWritten | Fate::NotHeard => {
                let outcome = self.post(message.clone());
                self.receipts.push((outcome.ticket, fate == Fate::NotHeard));
            }
            Fate::Lost => {}
            Fate::Late => self.late.push((self.server.now, message.clone())),
        }
        self.client.queue = message.events;
        self.client.cut_off = true;
    }

    fn arrive(&mut self, index: usize) {
        if !self.late.is_empty() {
            let (_, message) = self.late.remove(index % self.late.len());
            let outcome = self.post(message);
            self.receipts.push((outcome.ticket, false));
        }
    }

    fn receipt(&mut self, index: usize) {
        if self.receipts.is_empty() {
            return;
        }
        let (ticket, written) = self.receipts.remove(index % self.receipts.len());
        let killed = self.kills.remove(&ticket).unwrap_or_default();
        if written {
            return self.server.state.written(ticket);
        }
        self.server.lose(ticket);
        self.masters.retain(|known| *known != ticket);
        for key in killed {
            self.killed_at.remove(&key);
        }
    }

    fn hear(&mut self, answer: Vec<WireEvent>) {
        if std::mem::take(&mut self.client.cut_off) {
            self.announce();
        }
        for event in answer {
            let key = event.pid.zip(event.process_start_time);
            match (event.event_type, key) {
                (EventType::UpdateConfig, _) => {
                    let payload = event.payload.unwrap();
                    let pattern = &payload["config:user_config"]["amelie"]["process_name_pattern"];
                    self.client.config = pattern.as_str().unwrap().parse().unwrap();
                    self.client.mapping = false;
                }
                (EventType::UpdateLoginMapping, _) => self.client.mapping = true,
                (EventType::StartMaster, _) => self.announce(),
                (EventType::ProcessStart, Some(key)) => drop(self.client.known.insert(key)),
                (EventType::KillProcess, Some(key)) => {
                    if self.client.running.remove(&key) {
                        continue;
                    }
                    let end = self.event(EventType::ProcessEnd, key);
                    self.client.known.remove(&key);
                    self.client.queue.push(end);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn post(&mut self, message: ClientMessage) -> Outcome {
        let now = self.server.now;
        for event in &message.events {
            if event.event_type == EventType::ProhibitedProcess {
                let key = (event.pid.unwrap(), event.process_start_time.unwrap());
                self.reported_at.insert(key, now);
            }
        }
        let outcome = self.server.post_message(message);
        assert_eq!(outcome.back, std::mem::take(&mut self.silent));
        self.assert_published(&outcome);
        self.assert_answer(&outcome);
        for id in &outcome.killed {
            assert_eq!(self.server.state.kill_status(*id), KillStatus::Done);
        }
        outcome
    }

    fn assert_published(&mut self, outcome: &Outcome) {
        let now = self.server.now;
        for reported in &outcome.events {
            assert!(reported.time <= now);
            let text = reported.event.to_canonical_json();
            let known = self.published.insert(reported.id.clone(), (text.clone(), now));
            assert!(known.is_none_or(|(known, _)| known == text), "one id, two events");
        }
        let ids: BTreeSet<&str> = outcome.events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids.len(), outcome.events.len(), "an event twice in one message");
    }

    fn assert_answer(&mut self, outcome: &Outcome) {
        let now = self.server.now;
        let order = |event: &WireEvent| match event.event_type {
            EventType::UpdateConfig => 0,
            EventType::UpdateLoginMapping => 1,
            EventType::StartMaster => 2,
            EventType::KillProcess => 3,
            _ => 4,
        };
        assert!(outcome.answer.is_sorted_by_key(order));
        let mut seen = BTreeSet::new();
        for event in &outcome.answer {
            if event.event_type == EventType::StartMaster {
                self.masters.push(outcome.ticket);
                assert_eq!(self.masters.len(), 1, "once in a run");
            }
            let Some(key) = event.pid.zip(event.process_start_time) else {
                continue;
            };
            assert!(seen.insert((order(event), key)), "twice in one answer");
            let open = self.open().contains(&key);
            if event.event_type == EventType::ProcessStart {
                assert!(open, "{key:?} is replayed and not open");
                continue;
            }
            let reported = self.reported_at.get(&key).copied();
            let reported = reported.is_some_and(|at| now.since(at) <= Span::from_secs(180));
            assert!(
                open || (key.0 >= PROHIBITED_FROM && reported),
                "{key:?} is not there"
            );
            let last = self.killed_at.insert(key, now);
            if key.0 < PROHIBITED_FROM {
                assert!(last.is_none_or(|last| now.since(last) >= Span::from_secs(10)));
                self.kills.entry(outcome.ticket).or_default().push(key);
            }
        }
    }

    /// Open by the rows in the store.
    fn open(&self) -> BTreeSet<Key> {
        let open = self.server.rows.iter().filter(|(_, process)| process.is_open());
        let key = |bytes| super::super::Key::from_bytes(bytes).unwrap();
        open.map(|(bytes, _)| (key(bytes).pid, key(bytes).start))
            .collect()
    }

    fn assert_bounds(&self) {
        assert!(self.server.rows.len() <= OPEN_MAX);
        assert!(self.server.state.under_way_len() <= 32);
        assert!(self.server.state.saved().kills.len() <= KILLS_MAX);
        let view = self.server.state.view(self.server.now);
        let open = view.map_or(0, |view| view.processes_open);
        assert_eq!(open as usize, self.open().len());
    }

    /// Nothing goes wrong any more.
    fn calm(&mut self) {
        while !self.late.is_empty() {
            self.step(Op::Arrive(0));
        }
        while !self.receipts.is_empty() {
            self.step(Op::Receipt(0));
        }
        self.step(Op::StartClient);
        for _ in 0..40 {
            self.step(Op::Later(3));
            self.step(Op::Scan);
            self.step(Op::Send(Fate::Heard));
        }
        // What was written and never heard is mended when everything is told again.
        for _ in 0..25 {
            self.step(Op::Later(30));
            self.step(Op::Scan);
            self.step(Op::Send(Fate::Heard));
        }
    }

    fn assert_converged(&self) {
        let counting = |(pid, _): &&Key| *pid < PROHIBITED_FROM;
        let running: BTreeSet<Key> = self.client.running.iter().filter(counting).copied().collect();
        assert_eq!(self.open(), running, "the table is what runs");
        assert_eq!(self.client.known, running);
        assert_eq!(self.client.config, self.config, "the configuration arrived");
        assert!(self.client.mapping, "and the mapping after it");
        assert_eq!(self.masters.len(), 1, "START_MASTER went out in this run");
        for n in &self.commands {
            assert_eq!(self.server.state.kill_status(command(*n)), KillStatus::Done);
        }
        let prohibited = self.client.running.iter().any(|(pid, _)| *pid >= PROHIBITED_FROM);
        assert!(!prohibited || !self.server.settings.kill_prohibited);
        assert_eq!(self.server.state.own, OWN);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn after_any_history_table_configuration_and_commands_converge(
        ops in prop::collection::vec(op(), 1..80),
        skew in prop::sample::select(vec![0, 0, 3600, -3600]),
        kill_prohibited: bool,
    ) {
        let mut world = World::new(skew);
        world.server.configure(|settings| settings.kill_prohibited = kill_prohibited);
        for op in ops {
            world.step(op);
        }
        world.calm();
        world.assert_converged();
    }
}
