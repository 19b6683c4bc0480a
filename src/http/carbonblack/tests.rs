//! What the dialect's tests are about.

use serde_json::Value;
use tripline_actors::OwnSession;
use tripline_protocol::api::HostView;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{CommandState, CommandView, SessionOwner, SessionState, SessionView};
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, HostId, Org, SessionId, Span, Timestamp};
use uuid::Uuid;

const SESSION: SessionId = SessionId(Uuid::from_u128(5));
const HOST: HostId = HostId(Uuid::from_u128(7));
const EARLY: Timestamp = Timestamp::from_micros(1_500_000);

pub(super) fn own() -> OwnSession {
    OwnSession {
        session_id: SESSION,
        number: 5,
        sensor_id: 7,
    }
}

pub(super) fn host(sensor_id: u32, hostname: &str) -> HostView {
    HostView {
        host_id: HOST,
        sensor_id,
        org: Org::default_org(),
        hostname: hostname.into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: String::new(),
        addresses: Vec::new(),
        agent_version: String::new(),
        labels: Vec::new(),
        agent_labels: Vec::new(),
        attachments: Vec::new(),
        created_at: EARLY,
        last_seen_at: EARLY,
        jobs_open: 0,
        isolation: None,
        littlebrother: None,
        sids: Vec::new(),
        cloned: None,
    }
}

pub(super) fn session(state: SessionState) -> SessionView {
    SessionView {
        session_id: SESSION,
        number: 5,
        org: Org::default_org(),
        host: HostRef {
            host_id: HOST,
            hostname: "pc".into(),
        },
        sensor_id: 7,
        owner: SessionOwner {
            token_id: "t".into(),
            name: "ana".into(),
        },
        state,
        waiting: None,
        reason: None,
        error: None,
        verbs: Vec::new(),
        opened_at: EARLY,
        active_since: None,
        closed_at: None,
        last_request_at: EARLY,
        idle_timeout: Span::from_secs(300),
    }
}

pub(super) fn command(verb: Verb, arguments: Value) -> CommandView {
    CommandView {
        session_id: SESSION,
        number: 3,
        command_id: CommandId(Uuid::from_u128(9)),
        verb,
        arguments,
        state: CommandState::Pending,
        timeout: Span::from_secs(120),
        output: None,
        file: None,
        artifact: None,
        truncated: None,
        error: None,
        origin: None,
        caller: "ana".into(),
        cancelled_by: None,
        queued_at: EARLY,
        started_at: None,
        finished_at: None,
    }
}
