//! The pure machine, alone and beside a model; and what is read and written, on a store.

mod forgetting;
mod machine;
mod model;
mod rows;

pub(super) use rows::{commit, ground, store};

use super::plan::FanoutPlan;
use super::record::{FanoutRecord, HostRow, HostTurn, Phase};
use super::state::Joining;
use tripline_protocol::fanout::{FanoutHostState, Pace, Target};
use tripline_protocol::{FanoutId, HostId, Org, Span, Timestamp};
use uuid::Uuid;

const START: i64 = 1_800_000_000_000_000;
/// Longer than any sequence takes.
const EXPIRES: Span = Span::from_secs(3600);

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START + seconds * 1_000_000)
}

pub(super) fn host(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

pub(super) fn record(pace: Pace, standing: bool) -> FanoutRecord {
    let phase = match pace.canary {
        Some(_) => Phase::Canary { since: 0 },
        None => Phase::Wide,
    };
    FanoutRecord {
        fanout_id: FanoutId(Uuid::nil()),
        org: Org::default_org(),
        name: "sweep".parse().unwrap(),
        plan: FanoutPlan {
            target: Target::All,
            pace,
            standing,
            expires: EXPIRES,
            max_hosts: None,
            max_in_flight: None,
        },
        include_protected: false,
        pipeline: None,
        event: None,
        by: None,
        traceparent: None,
        depth: 0,
        created_at: at(0),
        expires_at: at(0).after(EXPIRES),
        timeout: None,
        resolved: false,
        cursor: None,
        chunks: 0,
        phase,
        history: Vec::new(),
        paused: None,
        any_number: false,
        failure: None,
        full: None,
        ends: 0,
        ended: None,
    }
}

/// A host that joins.
pub(super) fn joins(n: u128, attached: bool) -> Joining {
    Joining {
        host_id: host(n),
        attached,
        skipped: false,
    }
}

/// The row of a host whose job was made at `at`.
fn in_flight(run: u32, turn: u32, at: Timestamp) -> HostRow {
    HostRow {
        state: FanoutHostState::InFlight,
        job_id: None,
        run,
        turn,
        made: Some(HostTurn { since: turn, at }),
        reason: None,
        finished_at: None,
        unreadable: false,
    }
}
