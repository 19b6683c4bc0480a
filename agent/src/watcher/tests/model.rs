//! Random lives of a host, its agent and a server as the facts describe it: processes come, go and use pids
//! again, messages and answers are lost, agent and server are killed and started again. When it becomes quiet, the
//! server's table holds exactly the living processes that count; and never was a wrong process ended.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PIDS: std::ops::Range<u32> = 2..7;

#[derive(Debug, Clone)]
enum Step {
    Start(u32, u32, &'static str),
    Die(u32),
    BeginScan,
    EndScan,
    Scan,
    Exchange(Line),
    /// The server wants the process with this pid ended, as one of this user; a wrong start time if `true`.
    Order(u32, &'static str, u64, bool),
    Executed(bool),
    Overslept(u64),
    Wait(u64),
    /// Amelie, Leon active or not.
    Configure(bool, bool),
    RestartAgent,
    StopAgent,
    /// It has lost its table if `true`.
    RestartServer(bool),
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    Good,
    LostThere,
    LostBack,
    WrongSecret,
}

fn step() -> impl Strategy<Value = Step> {
    let uid = proptest::sample::select(vec![AMELIE, AMELIE, LEON, STRANGER]);
    let name = proptest::sample::select(vec!["lbgame", "lbgame", "lbbad", "other"]);
    let login = proptest::sample::select(vec!["amelie", "amelie", "leon", "root"]);
    let line = proptest::sample::select(vec![Line::LostThere, Line::LostBack, Line::WrongSecret]);
    prop_oneof![
        6 => (PIDS, uid, name).prop_map(|(pid, uid, name)| Step::Start(pid, uid, name)),
        4 => PIDS.prop_map(Step::Die),
        1 => Just(Step::BeginScan),
        1 => Just(Step::EndScan),
        6 => Just(Step::Scan),
        8 => Just(Step::Exchange(Line::Good)),
        4 => line.prop_map(Step::Exchange),
        4 => (PIDS, login, 0u64..15, proptest::bool::weighted(0.2))
            .prop_map(|(pid, login, delay, wrong)| Step::Order(pid, login, delay, wrong)),
        3 => proptest::bool::weighted(0.8).prop_map(Step::Executed),
        1 => (0u64..60).prop_map(Step::Overslept),
        3 => (1u64..15).prop_map(Step::Wait),
        1 => any::<(bool, bool)>().prop_map(|(amelie, leon)| Step::Configure(amelie, leon)),
        1 => Just(Step::RestartAgent),
        1 => Just(Step::StopAgent),
        1 => any::<bool>().prop_map(Step::RestartServer),
    ]
}

/// The server's view of one client.
#[derive(Default)]
struct Server {
    /// Whether each process ever reported is open.
    table: BTreeMap<ProcessKey, bool>,
    waiting: Vec<WireEvent>,
    knows_host: bool,
    active: (bool, bool),
}

impl Server {
    fn tells_users(&mut self) {
        let user = |active| {
            json!({
                "active": active, "process_name_pattern": "lbgame", "prohibited_process_name_pattern": "lbbad",
            })
        };
        let users = json!({"amelie": user(self.active.0), "leon": user(self.active.1)});
        let payload = json!({"config:user_config": users, "config:maximum_time_without_send": 20});
        self.waiting.push(with_payload(EventType::UpdateConfig, payload));
        self.waiting.push(mapping());
    }

    fn handle(&mut self, events: &[WireEvent]) {
        if !self.knows_host {
            self.knows_host = true;
            self.tells_users();
            self.waiting.push(from_server(EventType::StartMaster));
        }
        for event in events {
            let key = super::super::outgoing::key_of(event);
            match (event.event_type, key) {
                (EventType::StartClient, _) => {
                    self.tells_users();
                    let open = self.table.iter().filter(|(_, open)| **open);
                    let replays: Vec<WireEvent> = open.map(|(key, _)| replay(*key)).collect();
                    self.waiting.extend(replays);
                }
                (EventType::ProcessStart, Some(key)) => {
                    self.table.insert(key, true);
                }
                (EventType::ProcessEnd, Some(key)) => {
                    if let Some(open) = self.table.get_mut(&key) {
                        *open = false;
                    }
                }
                _ => {}
            }
        }
    }

    fn open(&self) -> BTreeSet<ProcessKey> {
        self.table
            .iter()
            .filter(|(_, open)| **open)
            .map(|(key, _)| *key)
            .collect()
    }
}

struct World {
    s: u64,
    processes: BTreeMap<u32, Seen>,
    watcher: Watcher,
    saved: Option<Saved>,
    server: Server,
    /// What a scan saw that is not over.
    scanning: Option<Vec<Seen>>,
    /// The last scan that is over.
    scanned: Vec<Seen>,
    /// With the time each began.
    under_way: Vec<(u64, Kill)>,
}

impl World {
    fn new() -> Self {
        Self {
            s: 1000,
            processes: BTreeMap::new(),
            watcher: Watcher::new(Options::new(HOST), None, at(1000)),
            saved: None,
            server: Server {
                active: (true, true),
                ..Server::default()
            },
            scanning: None,
            scanned: Vec::new(),
            under_way: Vec::new(),
        }
    }

    fn seen(&self, looks: &HashMap<u32, Look>) -> Vec<Seen> {
        let looked = |seen: &&Seen| looks.contains_key(&seen.uid);
        self.processes.values().filter(looked).cloned().collect()
    }

    fn begin_scan(&mut self) {
        let looks = self.watcher.looks();
        self.scanning = Some(self.seen(&looks));
    }

    fn end_scan(&mut self) -> Result<(), TestCaseError> {
        if let Some(seen) = self.scanning.take() {
            self.scanned.clone_from(&seen);
            let effects = self.watcher.scan(&seen, at(self.s));
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn scan(&mut self) -> Result<(), TestCaseError> {
        self.begin_scan();
        self.end_scan()
    }

    fn exchange(&mut self, line: Line) -> Result<(), TestCaseError> {
        let events = self.watcher.next_message(None, at(self.s)).events;
        if matches!(line, Line::Good | Line::LostBack) {
            self.server.handle(&events);
        }
        let effects = match line {
            Line::Good => {
                let answer = std::mem::take(&mut self.server.waiting);
                self.watcher.answered(&answer, at(self.s))
            }
            Line::WrongSecret => self.watcher.failed(Failure::WrongSecret, at(self.s)),
            Line::LostThere | Line::LostBack => self.watcher.failed(Failure::Unreachable, at(self.s)),
        };
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), TestCaseError> {
        if let Some(saved) = saved(&effects) {
            self.saved = Some(saved);
        }
        for effect in effects {
            if let Effect::Kill(kill) = effect {
                self.check_kill(&kill)?;
                self.under_way.push((self.s, kill));
            }
        }
        Ok(())
    }

    /// It was seen like this, its user is one the agent was told of, and it is not being ended already.
    fn check_kill(&self, kill: &Kill) -> Result<(), TestCaseError> {
        let is_it = |seen: &&Seen| seen.key() == kill.process && seen.start_exact == kill.start_exact;
        let seen = self.scanned.iter().find(is_it);
        prop_assert!(
            seen.is_some_and(|seen| seen.uid == kill.uid),
            "{kill:?} was not seen"
        );
        let login = match kill.uid {
            AMELIE => "amelie",
            LEON => "leon",
            other => return Err(TestCaseError::fail(format!("user {other} was killed"))),
        };
        prop_assert_eq!(login, &kill.username);
        let told = self.saved.iter().flat_map(|saved| &saved.users);
        prop_assert!(told.into_iter().any(|user| user.login == login && user.active));
        prop_assert!(
            self.under_way
                .iter()
                .all(|(_, other)| other.process != kill.process),
            "twice: {kill:?}"
        );
        Ok(())
    }

    /// As the killer does it: only the very process is hit.
    fn execute(&mut self, works: bool) -> Result<(), TestCaseError> {
        let Some((_, kill)) = self.under_way.pop() else {
            return Ok(());
        };
        let living = self.processes.get(&kill.process.pid);
        let is_it = living.is_some_and(|seen| seen.start_exact == kill.start_exact && seen.uid == kill.uid);
        let outcome = match (is_it, works) {
            (false, _) => KillOutcome::Gone,
            (true, false) => KillOutcome::Failed("no permission".to_owned()),
            (true, true) => {
                self.processes.remove(&kill.process.pid);
                KillOutcome::Ended
            }
        };
        let effects = self.watcher.kill_ended(kill.process, outcome, at(self.s));
        self.carry_out(effects)
    }

    fn restart_agent(&mut self) {
        self.watcher = Watcher::new(Options::new(HOST), self.saved.clone(), at(self.s));
        self.scanning = None;
        self.scanned.clear();
        self.under_way.clear();
    }

    fn act(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.s += 1;
        // Every attempt comes to an end.
        while self.under_way.iter().any(|(began, _)| began + 30 < self.s) {
            self.execute(false)?;
        }
        match step {
            Step::Start(pid, uid, name) => {
                let process = Seen {
                    start: local(self.s),
                    start_exact: self.s,
                    ..process(pid, uid, name)
                };
                self.processes.insert(pid, process);
            }
            Step::Die(pid) => {
                self.processes.remove(&pid);
            }
            Step::BeginScan => self.begin_scan(),
            Step::EndScan => self.end_scan()?,
            Step::Scan => self.scan()?,
            Step::Exchange(line) => self.exchange(line)?,
            Step::Order(pid, login, delay, wrong) => {
                if let Some(seen) = self.processes.get(&pid) {
                    let mut order = of_process(EventType::KillProcess, seen.key(), login);
                    order.delay = delay;
                    order.process_start_time = order.process_start_time.filter(|_| !wrong).or(Some(local(3)));
                    self.server.waiting.push(order);
                }
            }
            Step::Executed(works) => self.execute(works)?,
            Step::Overslept(by) => {
                self.s += by;
                let effects = self.watcher.overslept(Duration::from_secs(by), at(self.s));
                self.carry_out(effects)?;
            }
            Step::Wait(more) => {
                self.s += more;
                let effects = self.watcher.tick(at(self.s));
                self.carry_out(effects)?;
            }
            Step::Configure(amelie, leon) => {
                self.server.active = (amelie, leon);
                self.server.tells_users();
            }
            Step::RestartAgent => self.restart_agent(),
            Step::StopAgent => {
                let known: BTreeSet<ProcessKey> = self.watcher.open.0.keys().copied().collect();
                self.watcher.stop(at(self.s));
                self.exchange(Line::Good)?;
                prop_assert!(self.server.open().is_disjoint(&known));
                self.restart_agent();
            }
            Step::RestartServer(forgets) => {
                if forgets {
                    self.server.table.clear();
                }
                self.server.waiting.clear();
                self.server.knows_host = false;
            }
        }
        Ok(())
    }

    /// Nothing fails any more, and nobody orders anything.
    fn become_quiet(&mut self) -> Result<(), TestCaseError> {
        self.server
            .waiting
            .retain(|event| event.event_type != EventType::KillProcess);
        self.scanning = None;
        for _ in 0..20 {
            self.s += 5;
            while !self.under_way.is_empty() {
                self.execute(true)?;
            }
            self.exchange(Line::Good)?;
            self.scan()?;
        }
        while !self.under_way.is_empty() {
            self.execute(true)?;
        }
        self.exchange(Line::Good)
    }

    fn counting(&self) -> BTreeSet<ProcessKey> {
        let counts = |seen: &&Seen| {
            let active = match seen.uid {
                AMELIE => self.server.active.0,
                LEON => self.server.active.1,
                _ => false,
            };
            active && seen.name == "lbgame"
        };
        self.processes.values().filter(counts).map(Seen::key).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_servers_table_becomes_what_lives_and_no_wrong_process_is_ended(steps in vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps {
            world.act(step)?;
        }
        world.become_quiet()?;
        prop_assert_eq!(world.server.open(), world.counting());
        let counting = world.counting().len();
        prop_assert_eq!(world.watcher.open_processes(), counting);
        world.exchange(Line::Good)?;
        let events = world.watcher.next_message(None, at(world.s)).events;
        let only_prohibited = events.iter().all(|event| event.event_type == EventType::ProhibitedProcess);
        prop_assert!(only_prohibited, "{events:?}");
    }
}
