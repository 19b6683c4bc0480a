//! Pipelines, named jobs and jobs in files: YAML, conditions, templates.
//!
//! Input: a pipeline's file, and after a line `%%%` a named job's. The whole is also read as `tripline job submit` reads a
//! job's file.

use serde_json::json;
use tripline_actors::pipeline::{HostFacts, RuleSet, SourceFile};
use tripline_protocol::event::{Event, WireEvent};
use tripline_protocol::job::JobSpec;
use tripline_protocol::{Etype, HostId, Org, Timestamp};

/// What is taken answers for an event; what is refused says where it is wrong.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pipeline, job) = text.split_once("\n%%%\n").unwrap_or((&text, ""));
    let file = |path: &str, text: &str| SourceFile {
        path: path.into(),
        text: text.to_owned(),
    };
    let jobs: Vec<SourceFile> = (!job.is_empty())
        .then(|| file("j.yaml", job))
        .into_iter()
        .collect();
    if let Ok(job) = serde_saphyr::from_str::<JobSpec>(&text) {
        serde_json::to_string(&job).expect("a job can be written");
    }
    match RuleSet::parse(&[file("p.yaml", pipeline)], &jobs) {
        Ok(rules) => decide(&rules),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without a word"),
    }
}

/// Lets every pipeline look at an event without a host, and make its job for one.
fn decide(rules: &RuleSet) {
    let (org, etype): (Org, Etype) = (Org::default_org(), "acme.alert".parse().expect("an etype"));
    let data = json!({"pid": 42, "name": "amelie", "list": [1, 2, 3], "deep": {"a": {"b": "c"}}});
    let payload = data.to_string();
    let event = Event::from_wire(&WireEvent {
        org: &org,
        etype: &etype,
        headers: &[],
        payload: payload.as_bytes(),
        stream: "TRIPLINE_EVENTS",
        sequence: 7,
        stored_at: Timestamp::from_micros(1_700_000_000_000_000),
    });
    let event = event.expect("an event");
    let host = host(&org);
    for pipeline in rules.pipelines() {
        let _ = pipeline.matches(&event, None);
        if let Err(error) = pipeline.render(&event, &host) {
            assert!(!error.to_string().is_empty(), "an error without a word");
        }
    }
}

fn host(org: &Org) -> HostFacts {
    HostFacts {
        host_id: HostId::derive_littlebrother(org, "amelie"),
        hostname: "amelie".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: String::new(),
        labels: vec!["dmz".into()],
        addresses: Vec::new(),
        attached: true,
    }
}
