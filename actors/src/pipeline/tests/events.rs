//! Events, hosts and rule sets for the tests of this module.

use crate::pipeline::{HostFacts, LoadError, RuleSet, SourceFile};
use serde_json::Value;
use tripline_protocol::{Attestation, Event, EventKey, HostId, Org};

/// An event of etype `acme.alert.high`.
pub(crate) fn event(data: Value) -> Event {
    let org: Org = "default".parse().unwrap();
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
        depth: 1,
        traceparent: None,
    }
}

/// A Linux host.
pub(crate) fn host() -> HostFacts {
    HostFacts {
        host_id: "7d444840-9dc0-11d1-b245-5ffdce74fad2".parse::<HostId>().unwrap(),
        hostname: "web-1".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "12".into(),
        labels: vec!["dmz".into()],
        addresses: vec!["10.0.0.1".into()],
        attached: true,
    }
}

pub(super) fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.into(),
        text: text.into(),
    }
}

/// One file of pipelines, one of named jobs.
///
/// What is taken is valid by the JSON Schemas, too.
pub(super) fn parse(pipelines: &str, jobs: &str) -> Result<RuleSet, LoadError> {
    let rules = RuleSet::parse(&[file("p.yaml", pipelines)], &[file("j.yaml", jobs)])?;
    let faults = super::schema::faults(pipelines, jobs);
    assert_eq!(faults, [""; 0], "{pipelines}\n{jobs}");
    Ok(rules)
}
