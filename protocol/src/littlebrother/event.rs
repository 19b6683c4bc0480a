//! One event, with the fifteen attributes it always has on the wire.

use super::LocalTime;
use super::attributes::Attributes;
use crate::limit::is_shallow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// An attribute that cannot be read, of an event or of what a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InvalidWireEvent {
    /// The attribute.
    pub key: &'static str,
    /// What is wrong and what was expected.
    pub problem: String,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventType {
    /// A process that counts was found (client), or is still known (server, replayed).
    ProcessStart,
    /// It is gone.
    ProcessEnd,
    /// It slept this long in all since its client started.
    ProcessDowntime,
    /// A process that must not run was found; at every scan while it lives.
    ProhibitedProcess,
    /// The client was started.
    StartClient,
    /// The server was started: announce all open processes again.
    StartMaster,
    /// End this process, after a delay.
    KillProcess,
    /// The users, their patterns, and the longest silence.
    UpdateConfig,
    /// Which uid is which login.
    UpdateLoginMapping,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ProcessStart,
        Self::ProcessEnd,
        Self::ProcessDowntime,
        Self::ProhibitedProcess,
        Self::StartClient,
        Self::StartMaster,
        Self::KillProcess,
        Self::UpdateConfig,
        Self::UpdateLoginMapping,
    ];

    /// The word on the wire, also the etype.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProcessStart => "PROCESS_START",
            Self::ProcessEnd => "PROCESS_END",
            Self::ProcessDowntime => "PROCESS_DOWNTIME",
            Self::ProhibitedProcess => "PROHIBITED_PROCESS",
            Self::StartClient => "START_CLIENT",
            Self::StartMaster => "START_MASTER",
            Self::KillProcess => "KILL_PROCESS",
            Self::UpdateConfig => "UPDATE_CONFIG",
            Self::UpdateLoginMapping => "UPDATE_LOGIN_MAPPING",
        }
    }

    /// Whether a client may send it. (A server also replays `PROCESS_START`.)
    pub const fn is_from_client(self) -> bool {
        matches!(
            self,
            Self::ProcessStart
                | Self::ProcessEnd
                | Self::ProcessDowntime
                | Self::ProhibitedProcess
                | Self::StartClient
        )
    }

    /// Whether it is about one process: pid and start time are needed.
    pub const fn is_of_process(self) -> bool {
        matches!(
            self,
            Self::ProcessStart
                | Self::ProcessEnd
                | Self::ProcessDowntime
                | Self::ProhibitedProcess
                | Self::KillProcess
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// An event. Written with all fifteen attributes, as the real programs do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WireEvent {
    /// Seconds to wait before a `KILL_PROCESS` is carried out.
    pub delay: u64,
    /// Seconds a process slept (`PROCESS_DOWNTIME`).
    pub downtime: u64,
    /// When it happened, by the sender's clock.
    pub event_time: LocalTime,
    /// What it is about.
    pub event_type: EventType,
    /// Only of devices.
    pub hostlabel: Option<String>,
    /// The host it concerns: the sender, or whom it is for.
    pub hostname: String,
    /// Never filled by 0.5.8.
    pub locale: Option<String>,
    /// Of `UPDATE_CONFIG` and `UPDATE_LOGIN_MAPPING`, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(default, deserialize_with = "crate::limit::shallow_option")]
    pub payload: Option<Value>,
    /// Share of the activity that counts; 100 but for devices.
    pub percent: i64,
    /// Process id.
    pub pid: Option<u32>,
    /// When the process started, to the second.
    pub process_start_time: Option<LocalTime>,
    /// [`super::PROCESS_HANDLER`] where a process is concerned.
    pub processhandler: Option<String>,
    /// Name of the process (`comm`); absent when it is announced again.
    pub processname: Option<String>,
    /// Never filled by 0.5.8.
    pub text: Option<String>,
    /// Login of the process' owner.
    pub username: Option<String>,
}

impl WireEvent {
    /// An event of `kind` with every other attribute at its default.
    pub fn new(kind: EventType, hostname: impl Into<String>, event_time: LocalTime) -> Self {
        Self {
            delay: 0,
            downtime: 0,
            event_time,
            event_type: kind,
            hostlabel: None,
            hostname: hostname.into(),
            locale: None,
            payload: None,
            percent: 100,
            pid: None,
            process_start_time: None,
            processhandler: None,
            processname: None,
            text: None,
            username: None,
        }
    }

    /// The attributes as a map with sorted keys: the same event always gives the same text.
    pub fn to_canonical_json(&self) -> String {
        // No map keys that are no texts, no fallible impls: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads an event of a known type. `hostname` and `now` stand in where the event names none. Unknown attributes
    /// are ignored, and so is the payload of a type that clients send: it never has one.
    ///
    /// # Errors
    /// An attribute of the wrong type, a time in another format, a text over [`super::TEXT_BYTES_MAX`], a payload
    /// nested too deeply, a missing pid or start time where a process is concerned.
    pub fn read(
        kind: EventType,
        map: &Map<String, Value>,
        hostname: &str,
        now: LocalTime,
    ) -> Result<Self, InvalidWireEvent> {
        let map = Attributes(map);
        let event = Self {
            delay: map.seconds("delay")?,
            downtime: map.seconds("downtime")?,
            event_time: map.time("event_time")?.unwrap_or(now),
            event_type: kind,
            hostlabel: map.text("hostlabel")?,
            hostname: map.text("hostname")?.unwrap_or_else(|| hostname.to_owned()),
            locale: map.text("locale")?,
            payload: map.get("payload").filter(|_| !kind.is_from_client()).cloned(),
            percent: map.integer("percent")?.unwrap_or(100),
            pid: map.pid()?,
            process_start_time: map.time("process_start_time")?,
            processhandler: map.text("processhandler")?,
            processname: map.text("processname")?,
            text: map.text("text")?,
            username: map.text("username")?,
        };
        event.check()
    }

    /// Checks what the types do not: [`super::TEXT_BYTES_MAX`], the payload's nesting, and what a process needs.
    pub(super) fn check(self) -> Result<Self, InvalidWireEvent> {
        let of_process = self.event_type.is_of_process();
        if of_process && self.pid.is_none() {
            return Err(self.missing("pid"));
        }
        if of_process && self.process_start_time.is_none() {
            return Err(self.missing("process_start_time"));
        }
        for (key, text) in self.texts() {
            super::attributes::check_text(key, text, super::TEXT_BYTES_MAX)?;
        }
        match self.payload.as_ref().is_none_or(is_shallow) {
            true => Ok(self),
            false => Err(InvalidWireEvent {
                key: "payload",
                problem: format!("is nested more than {} levels deep", crate::limit::NESTING_MAX),
            }),
        }
    }

    fn missing(&self, key: &'static str) -> InvalidWireEvent {
        InvalidWireEvent {
            key,
            problem: format!("is missing, and {} needs it", self.event_type),
        }
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("hostlabel", self.hostlabel.as_deref()),
            ("hostname", Some(self.hostname.as_str())),
            ("locale", self.locale.as_deref()),
            ("processhandler", self.processhandler.as_deref()),
            ("processname", self.processname.as_deref()),
            ("text", self.text.as_deref()),
            ("username", self.username.as_deref()),
        ]
        .into_iter()
        .filter_map(|(key, text)| text.map(|text| (key, text)))
    }

    /// Whether an event has an attribute of this name.
    pub(super) fn knows(attribute: &str) -> bool {
        matches!(
            attribute,
            "delay"
                | "downtime"
                | "event_time"
                | "event_type"
                | "hostlabel"
                | "hostname"
                | "locale"
                | "payload"
                | "percent"
                | "pid"
                | "process_start_time"
                | "processhandler"
                | "processname"
                | "text"
                | "username"
        )
    }
}
