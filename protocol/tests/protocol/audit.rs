//! Records of the audit, and what is said of chains.

use crate::golden::Golden;
use crate::samples::{at, hash, host};
use serde_json::json;
use std::collections::BTreeMap;
use tripline_protocol::Sha256;
use tripline_protocol::api::Role;
use tripline_protocol::audit::*;

fn nothing() -> Sha256 {
    Sha256::from_digest(&[0; 32])
}

fn mark(n: u64) -> AuditMark {
    AuditMark { n, sha256: hash() }
}

fn submitted() -> AuditRecord {
    let who = Who {
        name: Some("ana".into()),
        role: Some(Role::Operator),
        ..Who::with_id(WhoKind::Token, "k3x9")
    };
    let from = Place {
        dialect: Dialect::V1,
        address: Some("192.0.2.7:40001".into()),
        request: Some("01a1fb81-bc4e-75a4-98ba-95f8521db2b6".into()),
    };
    let job = "b181f097-458c-596e-ab14-23d84ca1c696".to_owned();
    AuditRecord {
        n: 17,
        prev: hash(),
        org: "default".into(),
        at: at("14:00:00"),
        action: Action::JobSubmit.as_str().into(),
        by: who,
        from: Some(from),
        on: BTreeMap::from([("host".into(), host().to_string()), ("job".into(), job)]),
        outcome: AuditOutcome {
            result: "refused".into(),
            code: Some("bad_job".into()),
        },
        detail: json!({"name": "look"}).as_object().cloned().unwrap(),
    }
}

#[test]
fn records_and_chains_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("audit.json");
    golden.both_ways("record", &submitted());
    let started = AuditRecord {
        n: 1,
        prev: nothing(),
        org: SERVER_CHAIN.into(),
        action: Action::ServerStart.as_str().into(),
        by: Who::of_kind(WhoKind::System),
        from: None,
        on: BTreeMap::new(),
        outcome: AuditOutcome {
            result: "done".into(),
            code: None,
        },
        detail: Default::default(),
        ..submitted()
    };
    golden.both_ways("record, of the server", &started);
    let kinds = vec![
        WhoKind::Token,
        WhoKind::Agent,
        WhoKind::Littlebrother,
        WhoKind::Pipeline,
        WhoKind::System,
        WhoKind::Unknown,
    ];
    golden.both_ways("kinds of actors", &kinds);
    let dialects = vec![
        Dialect::V1,
        Dialect::Carbonblack,
        Dialect::Littlebrother,
        Dialect::Nats,
        Dialect::Agent,
    ];
    for dialect in &dialects {
        assert_eq!(serde_json::to_value(dialect).unwrap(), dialect.as_str());
    }
    golden.both_ways("dialects", &dialects);
    chains(&mut golden);
}

fn chains(golden: &mut Golden) {
    let chain = AuditChain {
        org: "default".into(),
        first: Some(5),
        head: mark(17),
        pruned: Some(mark(4)),
        published: 16,
    };
    golden.both_ways("chain", &chain);
    let new = AuditChain {
        org: SERVER_CHAIN.into(),
        first: None,
        head: AuditMark {
            n: 0,
            sha256: nothing(),
        },
        pruned: None,
        published: 0,
    };
    golden.both_ways("chain, new", &new);
    let verified = AuditVerified {
        source: "store".into(),
        first: Some(5),
        last: Some(mark(17)),
        broken: None,
    };
    golden.both_ways("verified", &verified);
    let broken = AuditVerified {
        source: "nats".into(),
        last: Some(mark(8)),
        broken: Some(9),
        ..verified
    };
    golden.both_ways("verified, broken", &broken);
}
