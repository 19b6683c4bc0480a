//! A server with one client: commits what the state machine wants stored, and can be started again from it.

use super::super::{Changes, Context, Key, Outcome, Process, Row, Saved, State, Tick, Ticket};
use crate::littlebrother::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use tripline_protocol::littlebrother::{
    ClientMessage, EventType, LocalTime, LoginMapping, PROCESS_HANDLER, UserConfig, WireEvent, Zone,
};
use tripline_protocol::verb::KillProcess;
use tripline_protocol::{CommandId, Fault, HostId, Span, Timestamp};
use uuid::Uuid;

/// 2026-11-20 12:00:00 UTC, in seconds.
pub(super) const NOON: i64 = 1_795_176_000;
pub(super) const OWN: HostId = HostId(Uuid::from_u128(0x15));
pub(super) const NAME: &str = "beethoven";

pub(super) fn settings() -> Settings {
    let user = |login: &str, active| UserConfig {
        login: login.into(),
        active,
        process_name_pattern: "lbgame".into(),
        prohibited_process_name_pattern: Some("lbbad".into()),
    };
    Settings {
        org: "default".parse().unwrap(),
        users: vec![user("amelie", true), user("leon", false)],
        mappings: vec![LoginMapping {
            server_group: "default-group".into(),
            entries: vec![("amelie".into(), 4242), ("leon".into(), 4243)],
        }],
        check_interval: Span::from_secs(5),
        maximum_time_without_send: Span::from_secs(50),
        kill_process_delay: Span::from_secs(10),
        kill_prohibited: true,
        zone: Zone::utc(),
    }
}

pub(super) struct Server {
    pub(super) state: State,
    pub(super) settings: Arc<Settings>,
    pub(super) run: u128,
    pub(super) started: Timestamp,
    pub(super) now: Timestamp,
    /// The store: the client's record and its rows, by their keys as bytes.
    pub(super) saved: Option<Saved>,
    pub(super) rows: BTreeMap<[u8; 23], Process>,
}

impl Server {
    /// Up for an hour, with a client nobody has heard of.
    pub(super) fn new() -> Self {
        let now = Timestamp::from_micros(NOON * 1_000_000);
        Self {
            state: State::new(OWN, NAME.into()),
            settings: Arc::new(settings()),
            run: 1,
            started: now.before(Span::from_secs(3600)),
            now,
            saved: None,
            rows: BTreeMap::new(),
        }
    }

    /// With a client that was introduced and has nothing open.
    pub(super) fn introduced() -> Self {
        let mut server = Self::new();
        for _ in 0..2 {
            let outcome = server.post(vec![]);
            server.state.written(outcome.ticket);
        }
        server
    }

    pub(super) fn later(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.after(Span::from_secs(seconds));
        self
    }

    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings));
    }

    /// A message with these events, whose changes are committed.
    pub(super) fn post(&mut self, events: Vec<WireEvent>) -> Outcome {
        self.post_message(ClientMessage {
            hostname: NAME.into(),
            events,
            client_stats: None,
        })
    }

    pub(super) fn post_message(&mut self, message: ClientMessage) -> Outcome {
        let before = self.state.saved();
        let mut outcome = self.with(|state, context| state.message(message, context));
        let changes = std::mem::take(&mut outcome.changes);
        self.assert_said(before, &changes);
        outcome.changes.saved = changes.saved;
        outcome.changes.rows.clone_from(&changes.rows);
        self.commit(changes);
        outcome
    }

    /// What is worth keeping and not said to be kept would be lost with the next restart.
    fn assert_said(&self, mut before: Saved, changes: &Changes) {
        let after = self.state.saved();
        (before.last_message_at, before.stats) = (after.last_message_at, after.stats.clone());
        // What no longer keeps a kill back may stay stored.
        before.sent.retain(|sent| after.sent.contains(sent));
        for (old, new) in before.kills.iter_mut().zip(&after.kills) {
            (old.quiet_since, old.reported_at) = (new.quiet_since, new.reported_at);
        }
        assert!(changes.saved || before == after, "{before:#?}\n{after:#?}");
    }

    /// A message without events whose answer is written.
    pub(super) fn poll(&mut self) -> Vec<String> {
        let outcome = self.post(vec![]);
        self.state.written(outcome.ticket);
        words(&outcome.answer)
    }

    pub(super) fn lose(&mut self, ticket: Ticket) {
        let changes = self.state.lost(ticket);
        self.commit(changes);
    }

    pub(super) fn tick(&mut self) -> Tick {
        let mut tick = self.with(|state, context| state.tick(context));
        self.commit(std::mem::take(&mut tick.changes));
        tick
    }

    pub(super) fn kill(&mut self, n: u128, pid: u32, start_time: Option<i64>) -> Result<(), Fault> {
        let args = KillProcess {
            pid,
            start_time,
            wait: None,
        };
        let changes = self.with(|state, context| state.kill(command(n), &args, context))?;
        self.commit(changes);
        Ok(())
    }

    pub(super) fn forget_kill(&mut self, n: u128) {
        let changes = self.state.forget_kill(command(n));
        self.commit(changes);
    }

    /// Another run of the server, from what was committed.
    pub(super) fn restart(&mut self) {
        self.run += 1;
        self.started = self.now;
        self.forget();
    }

    /// The actor left memory and is made again, from what was committed.
    pub(super) fn forget(&mut self) {
        // Through the same text as in the store.
        let text = serde_json::to_vec(&(&self.saved, self.rows.values().collect::<Vec<_>>())).unwrap();
        let (saved, rows): (Option<Saved>, Vec<Process>) = serde_json::from_slice(&text).unwrap();
        let keys = self.rows.keys().map(|key| Key::from_bytes(key).unwrap());
        let saved = saved.unwrap_or_else(|| Saved::new(NAME.into()));
        self.state = State::load(OWN, saved, keys.zip(rows));
    }

    pub(super) fn with<T>(&mut self, act: impl FnOnce(&mut State, &Context<'_>) -> T) -> T {
        let context = Context {
            settings: &self.settings,
            run: Uuid::from_u128(self.run),
            started: self.started,
            now: self.now,
        };
        act(&mut self.state, &context)
    }

    fn commit(&mut self, changes: Changes) {
        if changes.saved {
            self.saved = Some(self.state.saved());
        }
        for row in changes.rows {
            match row {
                Row::Put(key, process) => drop(self.rows.insert(key.to_bytes(), process)),
                Row::Delete(key) => drop(self.rows.remove(&key.to_bytes())),
            }
        }
    }

    /// Pids of the open processes that the store knows.
    pub(super) fn open(&self) -> Vec<u32> {
        let open = self.rows.iter().filter(|(_, process)| process.is_open());
        open.map(|(key, _)| Key::from_bytes(key).unwrap().pid).collect()
    }

    pub(super) fn process(&self, pid: u32) -> &Process {
        &self.rows[&Key { pid, start: at(0) }.to_bytes()]
    }
}

pub(super) fn command(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

/// Seconds after noon, as a client writes it.
pub(super) fn at(seconds: i64) -> LocalTime {
    LocalTime::from_naive_seconds(NOON + seconds).unwrap()
}

/// Of process `pid` of amelie, which started at noon; it happened `seconds` later.
pub(super) fn event(kind: EventType, pid: u32, seconds: i64) -> WireEvent {
    let mut event = WireEvent::new(kind, NAME, at(seconds));
    event.pid = Some(pid);
    event.process_start_time = Some(at(0));
    event.processhandler = Some(PROCESS_HANDLER.into());
    event.username = Some("amelie".into());
    event
}

pub(super) fn start(pid: u32, seconds: i64) -> WireEvent {
    let mut event = event(EventType::ProcessStart, pid, seconds);
    event.processname = Some("lbgame".into());
    event
}

pub(super) fn end(pid: u32, seconds: i64) -> WireEvent {
    event(EventType::ProcessEnd, pid, seconds)
}

pub(super) fn downtime(pid: u32, seconds: i64, downtime: u64) -> WireEvent {
    let mut event = event(EventType::ProcessDowntime, pid, seconds);
    event.downtime = downtime;
    event
}

pub(super) fn prohibited(pid: u32, seconds: i64) -> WireEvent {
    let mut event = event(EventType::ProhibitedProcess, pid, seconds);
    event.processname = Some("lbbad".into());
    event
}

pub(super) fn start_client(seconds: i64) -> WireEvent {
    WireEvent::new(EventType::StartClient, NAME, at(seconds))
}

/// An answer as words: `config`, `mapping`, `start_master`, `start 7`, `kill 7`.
pub(super) fn words(answer: &[WireEvent]) -> Vec<String> {
    let word = |event: &WireEvent| {
        assert_eq!(event.hostname, NAME);
        let pid = event.pid.unwrap_or_default();
        match event.event_type {
            EventType::UpdateConfig => "config".into(),
            EventType::UpdateLoginMapping => "mapping".into(),
            EventType::StartMaster => "start_master".into(),
            EventType::ProcessStart => format!("start {pid}"),
            EventType::KillProcess => format!("kill {pid}"),
            other => panic!("a client was sent {other}"),
        }
    };
    answer.iter().map(word).collect()
}
