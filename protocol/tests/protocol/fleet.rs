//! Bodies of hosts as administrators manage them.

use crate::golden::Golden;
use crate::samples::{at, hash, host, p};
use tripline_protocol::Org;
use tripline_protocol::api::*;

fn key(state: KeyState) -> KeyView {
    KeyView {
        key_sha256: hash(),
        host_id: host(),
        hostname: "web-1".into(),
        org: Org::default_org(),
        install_id: None,
        state,
        created_at: at("13:00:00"),
        last_used_at: None,
        last_used_from: None,
        agent_version: None,
        in_use: false,
        rotation_asked_at: None,
        revoked_at: None,
    }
}

fn cloned() -> CloneView {
    CloneView {
        first_at: at("13:00:00"),
        last_at: at("14:00:00"),
        times: 3,
        served: AgentPlace {
            address: Some("192.0.2.7:40001".into()),
            hostname: "web-1".into(),
        },
        other: AgentPlace {
            address: None,
            hostname: "web-1-copy".into(),
        },
    }
}

/// A host of which nothing is known but that its agent has a double.
pub(crate) fn cloned_host() -> HostView {
    HostView {
        host_id: host(),
        sensor_id: 1,
        org: Org::default_org(),
        hostname: "web-1".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: String::new(),
        addresses: Vec::new(),
        agent_version: String::new(),
        labels: Vec::new(),
        agent_labels: Vec::new(),
        attachments: Vec::new(),
        created_at: at("13:00:00"),
        last_seen_at: at("14:00:00"),
        jobs_open: 0,
        isolation: None,
        sids: Vec::new(),
        littlebrother: None,
        cloned: Some(cloned()),
    }
}

#[test]
fn forgotten_hosts_keys_and_clones_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("fleet.json");
    let forgotten = ForgottenHost {
        host_id: host(),
        hostname: "web-1".into(),
        org: Org::default_org(),
        jobs_cancelled: 2,
        sessions_closed: 1,
        isolated_until: Some(at("18:00:00")),
    };
    golden.both_ways("forgotten", &forgotten);
    let current = KeyView {
        install_id: Some(p("11111111-2222-4333-8444-555555555555")),
        last_used_at: Some(at("14:00:00")),
        last_used_from: Some("192.0.2.7".into()),
        agent_version: Some("0.1.0".into()),
        in_use: true,
        rotation_asked_at: Some(at("14:00:01")),
        ..key(KeyState::Current)
    };
    let revoked = KeyView {
        revoked_at: Some(at("14:00:00")),
        ..key(KeyState::Revoked)
    };
    golden.both_ways("keys", &vec![current, revoked]);
    let states = vec![KeyState::Current, KeyState::Next, KeyState::Revoked];
    for state in &states {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    golden.both_ways("key states", &states);
    golden.both_ways("cloned", &cloned());
    golden.both_ways("host, cloned", &cloned_host());
}
