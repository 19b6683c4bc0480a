//! A LittleBrother client played by the test, by hand.

use crate::fixture::{Fixture, Setup, eventually};
use serde_json::{Value, json};
use tripline_actors::littlebrother::{Answer, Settings};
use tripline_actors::ports::OutMessage;
use tripline_actors::{Core, Refusal};
use tripline_protocol::littlebrother::{
    ClientMessage, ClientStats, EventType, LocalTime, LoginMapping, PROCESS_HANDLER, UserConfig, WireEvent,
    Zone,
};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, Org, Span, Timestamp};

/// With one user, amelie.
pub(crate) fn settings() -> Settings {
    Settings {
        org: Org::default_org(),
        users: vec![UserConfig {
            login: "amelie".into(),
            active: true,
            process_name_pattern: "game".into(),
            prohibited_process_name_pattern: Some("miner".into()),
        }],
        mappings: vec![LoginMapping {
            server_group: "default-group".into(),
            entries: vec![("amelie".into(), 4242)],
        }],
        check_interval: Span::from_secs(5),
        maximum_time_without_send: Span::from_secs(50),
        kill_process_delay: Span::from_secs(10),
        kill_prohibited: true,
        zone: Zone::utc(),
    }
}

/// A core that serves clients.
pub(crate) fn served() -> Fixture {
    served_with(Setup::default())
}

pub(crate) fn served_with(setup: Setup) -> Fixture {
    let fixture = Fixture::start_with(setup);
    fixture.core.set_littlebrother(Some(settings()));
    fixture
}

/// Stops it in the middle of whatever it does; another one serves clients on the same data.
pub(crate) async fn restarted(fixture: Fixture) -> Fixture {
    let fixture = fixture.restart().await;
    fixture.core.set_littlebrother(Some(settings()));
    fixture
}

pub(crate) struct Client {
    pub(crate) hostname: String,
}

impl Client {
    pub(crate) fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.into(),
        }
    }

    /// The id of its own record.
    pub(crate) fn own(&self) -> HostId {
        HostId::derive_littlebrother(&Org::default_org(), &self.hostname)
    }

    pub(crate) fn event(&self, kind: EventType, now: Timestamp) -> WireEvent {
        WireEvent::new(kind, self.hostname.clone(), local(now))
    }

    /// Of a process of amelie's that started when the core did, or so.
    pub(crate) fn of_process(&self, kind: EventType, pid: u32, now: Timestamp) -> WireEvent {
        WireEvent {
            pid: Some(pid),
            process_start_time: Some("2026-11-20 10:00:00".parse().unwrap()),
            processhandler: Some(PROCESS_HANDLER.into()),
            processname: Some("game".into()),
            username: Some("amelie".into()),
            ..self.event(kind, now)
        }
    }

    pub(crate) fn message(&self, events: Vec<WireEvent>) -> ClientMessage {
        ClientMessage {
            hostname: self.hostname.clone(),
            events,
            client_stats: Some(ClientStats {
                version: Some("0.5.8".into()),
                resident_memory_bytes: Some(1e6),
                ..ClientStats::default()
            }),
        }
    }

    /// Sends a message whose answer is written.
    pub(crate) async fn say(&self, core: &Core, events: Vec<WireEvent>) -> Vec<WireEvent> {
        let answer = self.ask(core, events).await.unwrap();
        answer.receipt.written();
        answer.events
    }

    pub(crate) async fn ask(&self, core: &Core, events: Vec<WireEvent>) -> Result<Answer, Refusal> {
        core.littlebrother_message(self.message(events)).await
    }

    /// Announces itself and one process, and takes the configuration twice.
    pub(crate) async fn arrive(&self, fixture: &Fixture, pid: u32) {
        let now = fixture.now();
        let events = vec![
            self.event(EventType::StartClient, now),
            self.of_process(EventType::ProcessStart, pid, now),
        ];
        self.say(&fixture.core, events).await;
        for _ in 0..2 {
            self.say(&fixture.core, vec![]).await;
        }
    }

    /// Tells that a process started.
    pub(crate) async fn starts(&self, fixture: &Fixture, pid: u32) -> Vec<WireEvent> {
        let event = self.of_process(EventType::ProcessStart, pid, fixture.now());
        self.say(&fixture.core, vec![event]).await
    }

    /// Tells that a process ended.
    pub(crate) async fn ends(&self, fixture: &Fixture, pid: u32) -> Vec<WireEvent> {
        let event = self.of_process(EventType::ProcessEnd, pid, fixture.now());
        self.say(&fixture.core, vec![event]).await
    }

    /// Asks until it is told to end this process, and nothing else.
    pub(crate) async fn is_told_to_kill(&self, fixture: &Fixture, pid: u32) {
        eventually("the client is told", || async {
            (self.kills(&fixture.core).await == [pid]).then_some(())
        })
        .await;
    }

    /// The pids it is told to end, by its next answer.
    pub(crate) async fn kills(&self, core: &Core) -> Vec<u32> {
        pids(&self.say(core, vec![]).await)
    }
}

pub(crate) fn local(now: Timestamp) -> LocalTime {
    Zone::utc().to_local(now)
}

pub(crate) fn kinds(answer: &[WireEvent]) -> Vec<EventType> {
    answer.iter().map(|event| event.event_type).collect()
}

pub(crate) fn pids(answer: &[WireEvent]) -> Vec<u32> {
    let kills = answer
        .iter()
        .filter(|event| event.event_type == EventType::KillProcess);
    kills.filter_map(|event| event.pid).collect()
}

pub(crate) fn kill(pid: u32) -> Step {
    Step::new(Verb::KillProcess, json!({ "pid": pid }))
}

pub(crate) fn data(message: &OutMessage) -> Value {
    let event: Value = serde_json::from_slice(&message.payload).unwrap();
    event["data"].clone()
}

/// Who attested it.
pub(crate) fn attested_by(message: &OutMessage) -> &str {
    let header = message
        .headers
        .iter()
        .find(|(name, _)| name == "Tripline-Attestation");
    header.unwrap().1.split(':').next().unwrap()
}
