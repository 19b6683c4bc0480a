//! What is kept of a client beside its processes: one small record.

use super::Key;
use serde::{Deserialize, Serialize};
use tripline_protocol::api::LittlebrotherView;
use tripline_protocol::littlebrother::{ClientStats, VERSION};
use tripline_protocol::{CommandId, HostId, Span, Timestamp};
use uuid::Uuid;

/// A client whose last message is older is shown as inactive.
const ACTIVE_WITHIN: Span = Span::from_secs(60);

/// The record of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The name it reports under.
    pub(crate) hostname: String,
    /// Whether it is attached.
    pub(crate) contact: Contact,
    /// The server run in which it was told that the server was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Uuid>,
    /// When its last message came; of an attached one up to five minutes earlier than in truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_message_at: Option<Timestamp>,
    /// Seconds its clock is behind ours; negative when ahead.
    #[serde(default)]
    pub(crate) behind_s: i64,
    /// With its last message, as far as that was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<Box<ClientStats>>,
    /// Its processes that have not ended.
    #[serde(default)]
    pub(crate) processes_open: u32,
    /// Commands of live response that are under way or whose end nobody has taken note of yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kills: Vec<SavedKill>,
    /// When it was last told to end a process, as long as that keeps the next time back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sent: Vec<SentKill>,
}

/// Whether a client is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Contact {
    /// No message came yet.
    Never,
    /// Its messages come.
    Attached,
    /// It was reported silent.
    Silent,
}

/// A `kill_process` under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedKill {
    pub(crate) command_id: CommandId,
    pub(crate) key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<Box<str>>,
    /// Of a prohibited process, which has no entry: when it was last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reported_at: Option<Timestamp>,
    /// The process is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) done: bool,
    /// Since when its reports are missed; not kept: whoever was away has missed some.
    #[serde(skip)]
    pub(crate) quiet_since: Option<Timestamp>,
}

/// A `KILL_PROCESS` that was put into an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentKill {
    pub(crate) key: Key,
    pub(crate) at: Timestamp,
}

impl Saved {
    /// Of a client that has not been heard of.
    pub(crate) fn new(hostname: String) -> Self {
        Self {
            hostname,
            contact: Contact::Never,
            run: None,
            last_message_at: None,
            behind_s: 0,
            stats: None,
            processes_open: 0,
            kills: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// What the topology shows of it; `own` is the id of the client's own record. `None` before its first message.
    pub(crate) fn view(&self, own: HostId, now: Timestamp) -> Option<LittlebrotherView> {
        let seen = Seen {
            hostname: &self.hostname,
            last_message_at: self.last_message_at?,
            stats: self.stats.as_deref(),
            processes_open: self.processes_open,
        };
        Some(seen.view(own, now))
    }
}

/// What the topology is made of.
pub(super) struct Seen<'a> {
    pub(super) hostname: &'a str,
    pub(super) last_message_at: Timestamp,
    pub(super) stats: Option<&'a ClientStats>,
    pub(super) processes_open: u32,
}

impl Seen<'_> {
    pub(super) fn view(&self, own: HostId, now: Timestamp) -> LittlebrotherView {
        let version = self.stats.and_then(|stats| stats.version.as_deref());
        LittlebrotherView {
            hostname: self.hostname.to_owned(),
            host_id: own,
            last_message_at: self.last_message_at,
            active: now.since(self.last_message_at) <= ACTIVE_WITHIN,
            outdated: version.and_then(is_outdated),
            processes_open: self.processes_open,
            client_stats: self.stats.cloned(),
        }
    }
}

/// Whether a version is lower than that of the real programs this follows; `None` when it is none.
fn is_outdated(version: &str) -> Option<bool> {
    let ours = numbers(VERSION)?;
    let theirs = numbers(version)?;
    // `0.5.8-rc1` goes before `0.5.8`.
    let preview = version.contains('-');
    Some(theirs < ours || (theirs == ours && preview))
}

/// The three parts of a version; those that are missing are 0.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let mut numbers = [0; 3];
    let mut parts = release.split('.');
    for number in &mut numbers {
        if let Some(part) = parts.next() {
            *number = part.parse().ok()?;
        }
    }
    parts.next().is_none().then_some(numbers)
}
