//! Every rule of a watcher by itself, what the real programs said to each other, and random lives of host, agent
//! and server.

mod bounds;
mod captures;
mod config;
mod fuzz;
mod kills;
mod model;
mod order;
mod replays;
mod scanning;
mod silence;

use super::*;
use serde_json::{Value, json};
use tripline_protocol::littlebrother::{EventType, LocalTime, PROCESS_HANDLER};

pub(super) const AMELIE: u32 = 4242;
pub(super) const LEON: u32 = 4243;
pub(super) const STRANGER: u32 = 99;
const HOST: &str = "beethoven";

pub(super) fn local(s: u64) -> LocalTime {
    LocalTime::from_naive_seconds(1_800_000_000 + i64::try_from(s).unwrap()).unwrap()
}

/// That many seconds after the agent's start.
pub(super) fn at(s: u64) -> Moment {
    Moment {
        up: Duration::from_secs(s),
        local: local(s),
    }
}

pub(super) fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start: local(u64::from(pid)),
    }
}

/// A process named `name`, with a command line that says more, that began `pid` seconds after the agent.
pub(super) fn process(pid: u32, uid: u32, name: &str) -> Seen {
    Seen {
        pid,
        start: key(pid).start,
        start_exact: u64::from(pid) * 100,
        uid,
        name: name.to_owned(),
        command_line: format!("/usr/bin/{name} --option"),
    }
}

pub(super) fn game(pid: u32) -> Seen {
    process(pid, AMELIE, "lbgame")
}

pub(super) fn bad(pid: u32) -> Seen {
    process(pid, AMELIE, "lbbad")
}

pub(super) fn from_server(kind: EventType) -> WireEvent {
    WireEvent::new(kind, HOST, local(0))
}

pub(super) fn with_payload(kind: EventType, payload: Value) -> WireEvent {
    let mut event = from_server(kind);
    event.payload = Some(payload);
    event
}

/// Amelie and Leon play `lbgame`; `lbbad` is prohibited for Amelie.
pub(super) fn config() -> WireEvent {
    let users = json!({
        "amelie": {"active": true, "process_name_pattern": "lbgame", "prohibited_process_name_pattern": "lbbad"},
        "leon": {"active": true, "process_name_pattern": "lbgame", "prohibited_process_name_pattern": null},
    });
    let payload = json!({"config:user_config": users, "config:maximum_time_without_send": 20});
    with_payload(EventType::UpdateConfig, payload)
}

pub(super) fn mapping() -> WireEvent {
    let payload = json!([["default-group", [["amelie", AMELIE], ["leon", LEON]]]]);
    with_payload(EventType::UpdateLoginMapping, payload)
}

pub(super) fn of_process(kind: EventType, key: ProcessKey, login: &str) -> WireEvent {
    let mut event = from_server(kind);
    event.pid = Some(key.pid);
    event.process_start_time = Some(key.start);
    event.processhandler = Some(PROCESS_HANDLER.to_owned());
    event.username = Some(login.to_owned());
    event
}

pub(super) fn replay(key: ProcessKey) -> WireEvent {
    of_process(EventType::ProcessStart, key, "amelie")
}

pub(super) fn kill(key: ProcessKey, delay: u64) -> WireEvent {
    let mut event = of_process(EventType::KillProcess, key, "amelie");
    event.delay = delay;
    event
}

impl Watcher {
    /// A whole scan.
    pub(super) fn look(&mut self, seen: &[Seen], s: u64) -> Vec<Effect> {
        self.looks();
        self.scan(seen, at(s))
    }

    /// The next message, in words.
    pub(super) fn says(&mut self, s: u64) -> Vec<String> {
        words(&self.next_message(None, at(s)).events)
    }

    /// A message that is answered by `events`; the message, in words.
    pub(super) fn exchange(&mut self, events: &[WireEvent], s: u64) -> Vec<String> {
        let said = self.says(s);
        self.answered(events, at(s));
        said
    }

    /// A message that is lost; in words.
    pub(super) fn lose(&mut self, s: u64) -> Vec<String> {
        let said = self.says(s);
        self.failed(Failure::Unreachable, at(s));
        said
    }
}

/// Just started, knowing nothing.
pub(super) fn new() -> Watcher {
    Watcher::new(Options::new(HOST), None, at(0))
}

/// It knows the users, has said `START_CLIENT`, and nothing waits.
pub(super) fn watching() -> Watcher {
    let mut watcher = new();
    assert_eq!(watcher.exchange(&[config(), mapping()], 0), ["START_CLIENT"]);
    watcher
}

/// It also knows of these, and the server does.
pub(super) fn watching_over(seen: &[Seen]) -> Watcher {
    let mut watcher = watching();
    watcher.look(seen, 1);
    watcher.exchange(&[], 1);
    watcher
}

/// `PROCESS_START 7 amelie lbgame`
pub(super) fn words(events: &[WireEvent]) -> Vec<String> {
    let word = |event: &WireEvent| {
        let mut words = vec![event.event_type.to_string()];
        words.extend(event.pid.map(|pid| pid.to_string()));
        words.extend(event.username.clone());
        words.extend(event.processname.clone());
        words.extend((event.downtime > 0).then(|| format!("slept {}", event.downtime)));
        words.join(" ")
    };
    events.iter().map(word).collect()
}

pub(super) fn kills(effects: &[Effect]) -> Vec<(u32, Why)> {
    let kill = |effect: &Effect| match effect {
        Effect::Kill(kill) => Some((kill.process.pid, kill.why)),
        _ => None,
    };
    effects.iter().filter_map(kill).collect()
}

pub(super) fn logs(effects: &[Effect]) -> Vec<String> {
    let log = |effect: &Effect| match effect {
        Effect::Log(notice) => Some(notice.to_string()),
        _ => None,
    };
    effects.iter().filter_map(log).collect()
}

pub(super) fn saved(effects: &[Effect]) -> Option<Saved> {
    effects.iter().find_map(|effect| match effect {
        Effect::Save(saved) => Some(saved.clone()),
        _ => None,
    })
}
