use super::*;
use serde_json::json;
use tripline_protocol::{Attestation, EventKey};

pub(crate) fn event(data: serde_json::Value) -> Event {
    let org: tripline_protocol::Org = "default".parse().unwrap();
    Event {
        id: "e1".into(),
        key: EventKey::derive(&org, "test", "e1"),
        org,
        source: "test".into(),
        etype: "acme.alert.high".parse().unwrap(),
        host: None,
        time: "2026-11-20T14:00:00Z".parse().unwrap(),
        data,
        attested_by: Attestation::Publisher,
        depth: 0,
        traceparent: None,
    }
}

fn check(source: &str, data: serde_json::Value) -> Match {
    Condition::compile(source).unwrap().matches(&event(data), None)
}

#[test]
fn simple() {
    assert_eq!(check("event.data.a == 1", json!({"a": 1})), Match::Yes);
    assert_eq!(check("event.data.a == 1", json!({})), Match::No);
    assert_eq!(check("re(event.data.a, \"^x\")", json!({"a": "xy"})), Match::Yes);
    assert!(matches!(
        check("re(event.data.a, \"^x\")", json!({"a": 1})),
        Match::Error(_)
    ));
    assert_eq!(
        check(
            "event.data.l.exists(x, x.v > 2)",
            json!({"l": [{"v": 1}, {"v": 3}]})
        ),
        Match::Yes
    );
    assert_eq!(
        check(
            "event.data.l.map(x, x.v).exists(v, v == 3)",
            json!({"l": [{"v": 1}, {"v": 3}]})
        ),
        Match::Yes
    );
    assert_eq!(
        check(
            "event.data.l.filter(x, x.v > 1).all(x, x.v == 3)",
            json!({"l": [{"v": 1}, {"v": 3}]})
        ),
        Match::Yes
    );
    assert_eq!(check("host.platform == 'linux'", json!({})), Match::No);
}
