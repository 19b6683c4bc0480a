//! What the streams of jobs and hosts tell.

use crate::fleet::cloned_host;
use crate::golden::Golden;
use crate::jobs::web_1;
use crate::samples::{at, p};
use tripline_protocol::Org;
use tripline_protocol::api::*;
use tripline_protocol::job::{JobState, Outcome, Reason};
use tripline_protocol::step::StepStatus;
use tripline_protocol::verb::Verb;

fn queued() -> JobChange {
    JobChange {
        job_id: p("b181f097-458c-596e-ab14-23d84ca1c696"),
        org: Org::default_org(),
        name: p("contain-miner"),
        state: JobState::Queued,
        host: web_1(),
        reason: None,
        attempt: 0,
        step: None,
        time: at("14:00:00"),
    }
}

fn kill(status: StepStatus) -> Option<StepChange> {
    Some(StepChange {
        id: "kill".into(),
        verb: Verb::KillProcess.into(),
        status,
    })
}

#[test]
fn changes_of_jobs_and_hosts_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("streams.json");
    golden.both_ways("job, queued", &queued());
    let running = JobChange {
        state: JobState::Running,
        attempt: 1,
        step: kill(StepStatus::Running),
        ..queued()
    };
    golden.both_ways("job, running", &running);
    let ended = JobChange {
        state: JobState::Ended(Outcome::Failed),
        attempt: 1,
        reason: Some(Reason::new("step_failed", "step kill failed")),
        step: kill(StepStatus::Failed),
        ..queued()
    };
    golden.both_ways("job, ended", &ended);
    let host = HostChange {
        change: HostChangeKind::Cloned,
        gone: false,
        time: at("14:00:00"),
        host: cloned_host(),
    };
    golden.both_ways("host", &host);
    let gone = HostChange {
        change: HostChangeKind::Forgotten,
        gone: true,
        ..host
    };
    golden.both_ways("host, gone", &gone);
    kinds(&mut golden);
    golden.both_ways("ready", &HostsReady { hosts: 40 });
    golden.both_ways("gap", &ChangeGap { missed: Some(17) });
    golden.both_ways("gap, of another server", &ChangeGap { missed: None });
}

fn kinds(golden: &mut Golden) {
    let kinds = vec![
        HostChangeKind::Present,
        HostChangeKind::Enrolled,
        HostChangeKind::Attached,
        HostChangeKind::Detached,
        HostChangeKind::Labelled,
        HostChangeKind::Isolated,
        HostChangeKind::Unisolated,
        HostChangeKind::Linked,
        HostChangeKind::Unlinked,
        HostChangeKind::Cloned,
        HostChangeKind::Forgotten,
    ];
    for kind in &kinds {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
    golden.both_ways("kinds of changes", &kinds);
}
