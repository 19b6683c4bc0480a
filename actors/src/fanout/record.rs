//! What is stored of fan-outs.
//!
//! A fan-out has a record, which begins with what it is and goes on with how far it has come; its definition, which never
//! changes; the hosts that were found for it, in chunks; and a row for each host that had its turn. What happens to many
//! hosts at once (those that wait end, those that failed are tried again) is one entry of the record's history, and a
//! row says up to which entry it was written: what came after is applied when it is read ([`standing`]).

use super::plan::FanoutPlan;
use crate::audit::By;
use crate::record::{by_time_key, encode, is_zero};
use crate::store::{Batch, Table, key};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tripline_protocol::api::Asker;
use tripline_protocol::audit::WhoKind;
use tripline_protocol::event::EventRef;
use tripline_protocol::fanout::{
    FanoutCounts, FanoutHostState, FanoutOutcome, FanoutRef, FanoutState, FanoutView,
};
use tripline_protocol::job::{JobSpec, Outcome, PipelineRef, Reason};
use tripline_protocol::{Event, FanoutId, HostId, JobId, Name, Org, Span, Timestamp};
use uuid::Uuid;

/// Hosts in a chunk: their ids take less than 4 KiB.
pub(super) const CHUNK_HOSTS_MAX: usize = 250;
/// Characters of a reason that a host's row keeps.
const REASON_CHARS_MAX: usize = 300;

/// The reason of a host whose job has no record.
pub(super) const JOB_LOST: &str = "job_lost";

/// Something that happened to many hosts of a fan-out at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Turn {
    /// Those that waited ended so.
    Closed {
        outcome: Outcome,
        reason: Reason,
        at: Timestamp,
    },
    /// Those that ended so wait again.
    Retried { outcomes: Vec<Outcome> },
    /// It went on after a pause: what ended before is not counted again.
    Resumed,
}

/// How many jobs may be open, apart from the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The first hosts since this entry of the history go alone.
    Canary { since: u32 },
    /// So many at once, and more after each wave that ended well.
    Ramp { width: u32 },
    /// As many as the pace says.
    Wide,
}

/// A fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FanoutRecord {
    pub(crate) fanout_id: FanoutId,
    pub(crate) org: Org,
    pub(crate) name: Name,
    pub(crate) plan: FanoutPlan,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) include_protected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline: Option<PipelineRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<EventRef>,
    /// Who submitted it; `None`: a pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<By>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    #[serde(default)]
    pub(crate) depth: u8,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// How long its jobs may run, where a retry said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<Span>,
    /// All hosts were looked at, up to the one that is named here if not.
    pub(crate) resolved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<HostId>,
    /// How many chunks of hosts there are.
    #[serde(default)]
    pub(crate) chunks: u32,
    pub(crate) phase: Phase,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<Turn>,
    /// There while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Reason>,
    /// A person has let it go on with more hosts than it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) any_number: bool,
    /// Why it failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Reason>,
    /// Why a host that would have joined it was turned away, if no other joined since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) full: Option<Reason>,
    /// How often it ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) ends: u32,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
}

/// How a fan-out ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) outcome: FanoutOutcome,
    pub(crate) reason: Reason,
    pub(crate) at: Timestamp,
    pub(crate) counts: FanoutCounts,
}

impl FanoutRecord {
    pub(super) fn to_ref(&self) -> FanoutRef {
        FanoutRef {
            fanout_id: self.fanout_id,
            name: self.name.clone(),
        }
    }

    /// Whether hosts of it are still being found. One that is over finds no more, unless it is tried again.
    pub(super) fn is_resolving(&self) -> bool {
        !self.resolved && self.closed().is_none()
    }

    /// Up to where its history has come.
    pub(crate) fn turn(&self) -> u32 {
        u32::try_from(self.history.len()).unwrap_or(u32::MAX)
    }

    /// How the hosts that waited ended, if no host can have a turn any more.
    pub(super) fn closed(&self) -> Option<Outcome> {
        self.history.iter().rev().find_map(|turn| match turn {
            Turn::Closed { outcome, .. } => Some(Some(*outcome)),
            Turn::Retried { .. } => Some(None),
            Turn::Resumed => None,
        })?
    }

    /// Since which entry of its history ends are counted for `auto_pause`.
    pub(super) fn counted_since(&self) -> u32 {
        let counted = |turn: &Turn| matches!(turn, Turn::Resumed | Turn::Retried { .. });
        let last = self
            .history
            .iter()
            .rposition(counted)
            .map_or(0, |index| index + 1);
        u32::try_from(last).unwrap_or(u32::MAX)
    }

    pub(super) fn put(&self, batch: &mut Batch) {
        batch.put(Table::Fanout, self.fanout_id.as_bytes().to_vec(), encode(self));
    }

    /// Writes one that was just accepted, with its index.
    pub(super) fn put_new(&self, work: &Definition, batch: &mut Batch) {
        self.put(batch);
        let id = self.fanout_id.as_bytes();
        batch.put(Table::FanoutDefinition, id.to_vec(), encode(work));
        batch.put(Table::FanoutByTime, by_time_key(self.created_at, id), Vec::new());
    }

    /// As the API shows it. `held`: why it is held back although it is not paused itself.
    pub(super) fn to_view(&self, counts: FanoutCounts, held: Option<Reason>) -> FanoutView {
        let (state, reason) = match (&self.ended, &self.paused) {
            (Some(ended), _) => (FanoutState::Ended(ended.outcome), Some(ended.reason.clone())),
            (None, Some(reason)) => (FanoutState::Paused, Some(reason.clone())),
            (None, None) if held.is_some() => (FanoutState::Paused, held),
            (None, None) if self.is_resolving() => (FanoutState::Resolving, None),
            (None, None) => {
                let reason = self.closing_reason().or_else(|| self.full.clone());
                (FanoutState::Running, reason)
            }
        };
        FanoutView {
            fanout_id: self.fanout_id,
            org: self.org.clone(),
            name: self.name.clone(),
            state,
            reason,
            target: self.plan.target.clone(),
            pace: self.plan.pace.clone(),
            standing: self.plan.standing,
            max_hosts: self.plan.max_hosts,
            pipeline: self.pipeline.clone(),
            event: self.event.clone(),
            by: self.by.as_ref().and_then(asker),
            created_at: self.created_at,
            expires_at: self.expires_at,
            finished_at: self.ended.as_ref().map(|ended| ended.at),
            counts,
        }
    }

    /// Why no host has a turn any more while jobs are still open.
    fn closing_reason(&self) -> Option<Reason> {
        self.closed()?;
        self.history.iter().rev().find_map(|turn| match turn {
            Turn::Closed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }
}

fn asker(by: &By) -> Option<Asker> {
    (by.who.kind == WhoKind::Token).then(|| Asker {
        token_id: by.who.id.clone().unwrap_or_default(),
        name: by.who.name.clone().unwrap_or_default(),
    })
}

/// What a fan-out does on each host, as it was when it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Definition {
    /// A pipeline's job over an event: the text of the pipeline, and of the named job if it has one.
    Pipeline {
        pipeline: String,
        named: Option<String>,
        event: Box<Event>,
    },
    /// A job that was checked.
    Job { spec: Box<JobSpec> },
    /// A named job's text, and its parameters.
    Named {
        text: String,
        params: Map<String, Value>,
    },
}

/// A host of a fan-out that had its turn, in its last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostRow {
    pub(crate) state: FanoutHostState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<JobId>,
    pub(crate) run: u32,
    /// Up to which entry of the history this is written.
    pub(crate) turn: u32,
    /// Its turn; absent where it ended without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<HostTurn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    /// It stands for one that could not be read: the host has no other turn, whatever is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unreadable: bool,
}

/// When a host had its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostTurn {
    /// Up to which entry the history had come.
    pub(crate) since: u32,
    pub(crate) at: Timestamp,
}

impl HostRow {
    /// In place of one that cannot be read. Whether its job ran is not known, so it must not run again.
    pub(super) fn unreadable(now: Timestamp) -> Self {
        let text = "its row cannot be read: how far it had come is not known, and it has no other turn";
        Self {
            state: FanoutHostState::Ended(Outcome::Failed),
            job_id: None,
            run: 0,
            turn: 0,
            made: None,
            reason: Some(Reason::new("row_unreadable", text)),
            finished_at: Some(now),
            unreadable: true,
        }
    }

    pub(crate) fn put(&self, batch: &mut Batch, fanout: FanoutId, host: HostId) {
        batch.put(Table::FanoutHost, host_key(fanout, host), encode(self));
    }
}

/// A reason that a row keeps.
pub(crate) fn brief(reason: &Reason) -> Reason {
    let text = reason.text.chars().take(REASON_CHARS_MAX).collect::<String>();
    Reason::new(reason.code.clone(), text)
}

/// What a job's record has of its fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FanoutPart {
    #[serde(flatten)]
    pub(crate) of: FanoutRef,
    /// Its host there, which another one may stand for by now.
    pub(crate) host_id: HostId,
    pub(crate) made_in: u32,
    /// When the fan-out expires, as it was when the job was made: until then it may begin. A version that had it in the job's own
    /// time wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    /// A person wants it on protected hosts, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) include_protected: bool,
}

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: FanoutHostState,
    pub(crate) run: u32,
    /// The entry of the history by which its state is so; `None`: its row says so.
    pub(crate) by: Option<usize>,
}

/// Where a host is that was found when the history had come to entry `turn`, by its row if it has one.
pub(super) fn place(history: &[Turn], turn: u32, row: Option<&HostRow>) -> Standing {
    match row {
        Some(row) if row.unreadable => Standing {
            state: row.state,
            run: row.run,
            by: None,
        },
        Some(row) => standing(history, row.turn, row.state, row.run),
        None => standing(history, turn, FanoutHostState::Pending, 0),
    }
}

/// Where a host is whose state was written up to entry `turn` of the history.
pub(crate) fn standing(history: &[Turn], turn: u32, state: FanoutHostState, run: u32) -> Standing {
    let mut standing = Standing { state, run, by: None };
    for (index, entry) in history.iter().enumerate().skip(turn as usize) {
        match (entry, standing.state) {
            (Turn::Closed { outcome, .. }, FanoutHostState::Pending) => {
                standing.state = FanoutHostState::Ended(*outcome);
                standing.by = Some(index);
            }
            (Turn::Retried { outcomes }, FanoutHostState::Ended(outcome)) if outcomes.contains(&outcome) => {
                standing.state = FanoutHostState::Pending;
                standing.run += 1;
                standing.by = Some(index);
            }
            _ => {}
        }
    }
    standing
}

/// Hosts that were found at once: up to which entry of the history, and their ids.
pub(super) fn chunk(turn: u32, hosts: &[HostId]) -> Vec<u8> {
    let mut value = key::u32(turn).to_vec();
    hosts
        .iter()
        .for_each(|host| value.extend_from_slice(host.as_bytes()));
    value
}

/// Takes such a row apart.
pub(crate) fn read_chunk(value: &[u8]) -> Option<(u32, Vec<HostId>)> {
    let (turn, ids) = value.split_first_chunk::<4>()?;
    let (ids, rest) = ids.as_chunks::<16>();
    let hosts = ids.iter().map(|id| HostId(Uuid::from_bytes(*id))).collect();
    rest.is_empty().then_some((u32::from_be_bytes(*turn), hosts))
}

pub(super) fn chunk_key(fanout: FanoutId, number: u32) -> Vec<u8> {
    let mut key = fanout.as_bytes().to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn host_key(fanout: FanoutId, host: HostId) -> Vec<u8> {
    let mut key = fanout.as_bytes().to_vec();
    key.extend_from_slice(host.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_so_many_characters_of_a_reason() {
        for (length, kept) in [
            (REASON_CHARS_MAX, REASON_CHARS_MAX),
            (REASON_CHARS_MAX + 1, REASON_CHARS_MAX),
        ] {
            let text = "\u{e9}".repeat(length);
            let reason = brief(&Reason::new("step_failed", text));
            assert_eq!(
                (reason.code.as_str(), reason.text),
                ("step_failed", "\u{e9}".repeat(kept))
            );
        }
    }
}
