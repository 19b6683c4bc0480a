//! What the streams of jobs and hosts tell.

use crate::golden::Golden;
use crate::samples::{at, host, p};
use tripline_protocol::Org;
use tripline_protocol::api::*;
use tripline_protocol::job::{JobState, Outcome, Reason};
use tripline_protocol::result::HostRef;
use tripline_protocol::step::StepStatus;
use tripline_protocol::verb::Verb;

fn job() -> JobChange {
    JobChange {
        job_id: p("f55b90f4-733f-5262-8e6c-f625c1a85787"),
        org: Org::default_org(),
        name: p("contain"),
        state: JobState::Running,
        host: HostRef {
            host_id: host(),
            hostname: "web01".into(),
        },
        reason: None,
        attempt: 1,
        step: Some(StepChange {
            id: "kill".into(),
            verb: Verb::KillProcess,
            status: StepStatus::Running,
        }),
        time: at("14:00:00"),
    }
}

fn told(change: HostChangeKind, gone: bool) -> HostChange {
    HostChange {
        change,
        gone,
        time: at("14:00:00"),
        host: HostView {
            host_id: host(),
            sensor_id: 1,
            org: Org::default_org(),
            hostname: "web01".into(),
            platform: "linux".into(),
            arch: "x86_64".into(),
            os_version: String::new(),
            addresses: Vec::new(),
            agent_version: "0.1.0".into(),
            labels: Vec::new(),
            agent_labels: Vec::new(),
            attachments: Vec::new(),
            created_at: at("14:00:00"),
            last_seen_at: at("14:00:00"),
            jobs_open: 0,
            isolation: None,
            littlebrother: None,
            cloned: None,
        },
    }
}

#[test]
fn what_streams_tell_is_as_the_golden_file_has_it() {
    let mut golden = Golden::open("streams.json");
    golden.both_ways("a job at a step", &job());
    let ended = JobChange {
        state: JobState::Ended(Outcome::Cancelled),
        reason: Some(Reason::new("cancelled", "it was cancelled before it started")),
        attempt: 0,
        step: None,
        ..job()
    };
    golden.both_ways("a job that has ended", &ended);
    golden.both_ways("a host", &told(HostChangeKind::Attached, false));
    golden.both_ways("a host that is gone", &told(HostChangeKind::Forgotten, true));
    golden.both_ways("ready", &HostsReady { hosts: 17 });
    golden.both_ways("a gap", &ChangeGap { missed: Some(7) });
    golden.both_ways("a gap of another run", &ChangeGap { missed: None });
}

#[test]
fn every_change_of_a_host_has_the_word_that_it_says() {
    use HostChangeKind::*;
    for change in [
        Present, Enrolled, Attached, Detached, Labelled, Isolated, Unisolated, Linked, Unlinked, Cloned,
        Forgotten,
    ] {
        assert_eq!(serde_json::to_value(change).unwrap(), change.as_str());
    }
}
