//! One process of a client, as it is kept.

use serde::{Deserialize, Serialize};
use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::{LocalTime, WireEvent};

/// Bytes of a key in the store.
const KEY_BYTES: usize = 4 + 19;

/// Which process: the user is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Process id.
    pub(crate) pid: u32,
    /// When it started, as its client wrote it.
    pub(crate) start: LocalTime,
}

impl Key {
    /// Of an event about a process.
    pub(crate) fn of(event: &WireEvent) -> Option<Self> {
        Some(Self {
            pid: event.pid?,
            start: event.process_start_time?,
        })
    }

    /// The part of a store key behind the client's host id: pid big-endian, then the start time's text.
    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        let (pid, start) = bytes.split_at_mut(4);
        pid.copy_from_slice(&self.pid.to_be_bytes());
        start.copy_from_slice(self.start.as_bytes());
        bytes
    }

    /// Reads [`Key::to_bytes`]; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (pid, start) = bytes.split_at_checked(4)?;
        Some(Self {
            pid: u32::from_be_bytes(pid.try_into().ok()?),
            start: std::str::from_utf8(start).ok()?.parse().ok()?,
        })
    }
}

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Login of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<Box<str>>,
    /// From its first announcement: later ones have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Box<str>>,
    /// Hardly any client fills them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extras: Option<Box<Extras>>,
    /// When it was first heard of.
    pub(crate) first_seen_at: Timestamp,
    /// When it ended, by our clock; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Timestamp>,
    /// Seconds it slept, as its client last said.
    #[serde(default)]
    pub(crate) downtime_s: u64,
}

/// Attributes that clients leave empty, kept for those that fill them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extras {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) locale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostlabel: Option<String>,
    /// Share of the activity that counts.
    pub(crate) percent: i64,
}

impl Process {
    /// As its first announcement says.
    pub(crate) fn announced(event: &WireEvent, now: Timestamp) -> Self {
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        let extras = Extras {
            text: event.text.clone(),
            locale: event.locale.clone(),
            hostlabel: event.hostlabel.clone(),
            percent: event.percent,
        };
        Self {
            username: boxed(&event.username),
            name: boxed(&event.processname),
            extras: (!extras.is_plain()).then(|| Box::new(extras)),
            first_seen_at: now,
            ended_at: None,
            downtime_s: 0,
        }
    }

    /// Fills in what was not said before; whether there was anything.
    pub(super) fn complete(&mut self, event: &WireEvent) -> bool {
        let fill = |known: &mut Option<Box<str>>, said: &Option<String>| {
            let new = known.is_none() && said.is_some();
            if new {
                *known = said.as_deref().map(Box::from);
            }
            new
        };
        let username = fill(&mut self.username, &event.username);
        let name = fill(&mut self.name, &event.processname);
        username || name
    }

    /// It has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }
}

impl Extras {
    fn is_plain(&self) -> bool {
        self.text.is_none() && self.locale.is_none() && self.hostlabel.is_none() && self.percent == 100
    }
}
