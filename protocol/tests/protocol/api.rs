//! Bodies of `/v1` and of the micro service.

use crate::control::{pause, pipeline_pause};
use crate::golden::Golden;
use crate::jobs::{cause, contain_miner, report, web_1};
use crate::samples::{at, client_stats, hash, host, isolation, p};
use serde_json::json;
use tripline_protocol::api::*;
use tripline_protocol::event::{HostHint, StreamGap, StreamedEvent};
use tripline_protocol::fanout::Target;
use tripline_protocol::job::{JobSpec, JobState, Outcome, Priority, Reason};
use tripline_protocol::littlebrother::{LoginMapping, UserConfig};
use tripline_protocol::selector::HostSelector;
use tripline_protocol::step::{Step, StepStatus};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Attestation, Event, HostId, InstallId, Org, Span};

fn token() -> TokenView {
    TokenView {
        id: "k3x9".into(),
        name: "ci".into(),
        role: Role::Enrol,
        org: Some(Org::default_org()),
        uses_left: Some(4),
        created_at: at("14:00:00"),
        expires_at: Some(p("2026-11-21T14:00:00Z")),
    }
}

#[test]
fn tokens_and_problems_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("api.json");
    let problem = Problem {
        kind: "urn:tripline:problem:not_found".into(),
        title: "not found".into(),
        status: 404,
        detail: "no job \"x\"".into(),
        code: "not_found".into(),
    };
    golden.both_ways("problem", &problem);
    let page = Page {
        items: vec!["alpha".to_owned(), "beta".to_owned()],
        next: Some("beta".into()),
    };
    golden.both_ways("page", &page);
    golden.both_ways(
        "last page",
        &Page::<String> {
            items: vec![],
            next: None,
        },
    );
    let roles = vec![Role::Enrol, Role::Viewer, Role::Operator, Role::Admin];
    for role in &roles {
        assert_eq!(serde_json::to_value(role).unwrap(), role.to_string());
        assert_eq!(p::<Role>(&role.to_string()), *role);
    }
    golden.both_ways("roles", &roles);
    let create = CreateToken {
        name: "ci".into(),
        role: Role::Enrol,
        org: Some(Org::default_org()),
        uses: Some(5),
        expires: Some(p("24h")),
    };
    golden.both_ways("create token", &create);
    let short = CreateToken {
        role: Role::Viewer,
        org: None,
        uses: None,
        expires: None,
        ..create
    };
    golden.both_ways("create token, short", &short);
    golden.both_ways("token", &token());
    let view = TokenView {
        role: Role::Viewer,
        org: None,
        uses_left: None,
        expires_at: None,
        ..token()
    };
    golden.both_ways(
        "created token",
        &CreatedToken {
            token: "k3x9.s3cret".into(),
            view,
        },
    );
    hosts(&mut golden);
    jobs(&mut golden);
    slots_and_pipelines(&mut golden);
    events(&mut golden);
}

fn hosts(golden: &mut Golden) {
    let enrol = Enrol {
        install_id: p::<InstallId>("11111111-2222-4333-8444-555555555555"),
        key_sha256: hash(),
        hostname: "web-1".into(),
        addresses: vec!["192.0.2.7".into()],
        platform: "linux".into(),
        arch: "x86_64".into(),
    };
    assert_eq!(HostId::derive(&Org::default_org(), enrol.install_id), host());
    golden.both_ways("enrol", &enrol);
    golden.both_ways(
        "enrolled",
        &Enrolled {
            host_id: host(),
            sensor_id: 1,
            org: Org::default_org(),
        },
    );
    let attachment = AttachmentView {
        kind: "agent".into(),
        verbs: vec![Verb::ListProcesses],
        since: at("14:00:00"),
        epoch: 3,
    };
    let view = HostView {
        host_id: host(),
        sensor_id: 1,
        org: Org::default_org(),
        hostname: "web-1".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "Debian GNU/Linux 12".into(),
        addresses: vec!["192.0.2.7".into()],
        agent_version: "0.1.0".into(),
        labels: vec!["dmz".into(), "prod".into()],
        agent_labels: vec!["dmz".into()],
        attachments: vec![attachment],
        created_at: at("13:00:00"),
        last_seen_at: at("14:00:00"),
        jobs_open: 2,
        isolation: Some(isolation()),
        sids: Vec::new(),
        littlebrother: None,
        cloned: None,
    };
    golden.both_ways("host", &view);
    let labels = vec![p("dmz"), p("owner:ana")];
    golden.both_ways("set labels", &SetLabels { labels });
    golden.both_ways(
        "change labels",
        &ChangeLabels {
            add: vec![p("dmz")],
            remove: vec![p("old")],
        },
    );
    littlebrother(golden);
}

fn littlebrother(golden: &mut Golden) {
    let view = LittlebrotherView {
        hostname: "beethoven".into(),
        host_id: host(),
        last_message_at: at("14:00:00"),
        active: true,
        outdated: Some(false),
        processes_open: 3,
        client_stats: Some(client_stats()),
    };
    golden.both_ways("littlebrother", &view);
    let old = LittlebrotherView {
        active: false,
        outdated: None,
        processes_open: 0,
        client_stats: None,
        ..view
    };
    golden.both_ways("littlebrother, old client", &old);
    let link = LinkHost {
        littlebrother: "beethoven".into(),
    };
    golden.both_ways("link host", &link);
    littlebrother_settings(golden);
}

fn littlebrother_settings(golden: &mut Golden) {
    let mapping = |group: &str, uid| LoginMapping {
        server_group: group.into(),
        entries: vec![("bela".into(), 1), ("amelie".into(), uid)],
    };
    let uids = GroupUid::of(
        "amelie",
        &[mapping("default-group", 1001), mapping("laptops", 1003)],
    );
    let amelie = LittlebrotherUser {
        config: UserConfig {
            login: "amelie".into(),
            active: true,
            process_name_pattern: "systemd\nbash".into(),
            prohibited_process_name_pattern: Some("minecraft".into()),
        },
        uids,
        logged_in: true,
        hosts: 1,
    };
    let settings = LittlebrotherSettings {
        served: true,
        org: Org::default_org(),
        time_zone: Some("Europe/Berlin".into()),
        check_interval: Some(p("5s")),
        maximum_time_without_send: Some(p("50s")),
        kill_process_delay: Some(p("10s")),
        kill_prohibited: true,
        users: vec![amelie],
        refused: Some("tripline.toml:7: littlebrother.users[0].login: is missing".into()),
    };
    golden.both_ways("littlebrother settings", &settings);
    let none = LittlebrotherSettings {
        served: false,
        org: Org::default_org(),
        time_zone: None,
        check_interval: None,
        maximum_time_without_send: None,
        kill_process_delay: None,
        kill_prohibited: false,
        users: Vec::new(),
        refused: None,
    };
    golden.both_ways("littlebrother settings, none", &none);
}

fn jobs(golden: &mut Golden) {
    let look = JobSpec::new(p("look"), vec![Step::new(Verb::ListProcesses, json!({}))]);
    let inline = SubmitJob {
        org: Some(Org::default_org()),
        host: "web-1".into(),
        job: Some(look),
        named: None,
        params: Default::default(),
        idempotency_key: Some("ticket-42".into()),
        investigation_id: None,
    };
    golden.both_ways("submit, inline", &inline);
    let named = SubmitJob {
        org: None,
        host: "7".into(),
        job: None,
        named: Some(p("collect-logs")),
        params: json!({"path": "/var/log"}).as_object().cloned().unwrap(),
        idempotency_key: None,
        investigation_id: None,
    };
    golden.both_ways("submit, named", &named);
    let waiting = job_view();
    golden.both_ways("job, waiting", &waiting);
    let ended = JobView {
        job_id: p("68ff2cc7-8ce0-5d20-a756-84922ce97c7d"),
        name: p("look"),
        state: JobState::Ended(Outcome::TimedOut),
        reason: Some(Reason::new("timed_out", "ran longer than 10m")),
        waiting: None,
        pipeline: None,
        event: None,
        priority: Priority::Normal,
        attempt: 1,
        started_at: Some(at("14:00:01")),
        finished_at: Some(at("14:10:01")),
        steps: vec![],
        ..waiting
    };
    golden.both_ways("job, ended", &ended);
}

/// A job that waits.
pub(crate) fn job_view() -> JobView {
    JobView {
        job_id: p("b181f097-458c-596e-ab14-23d84ca1c696"),
        org: Org::default_org(),
        name: p("contain-miner"),
        state: JobState::Queued,
        reason: None,
        waiting: Some(Waiting {
            position: 1,
            reason: Reason::new("no_free_slot", "no free slot"),
            until: Some(at("14:01:00")),
        }),
        host: web_1(),
        pipeline: Some(contain_miner()),
        event: Some(cause()),
        fanout: None,
        priority: Priority::High,
        run: 0,
        attempt: 0,
        queued_at: at("14:00:00"),
        expires_at: p("2026-11-21T14:00:00Z"),
        started_at: None,
        finished_at: None,
        steps: vec![report("step1", Verb::ListProcesses, StepStatus::Pending)],
    }
}

fn slots_and_pipelines(golden: &mut Golden) {
    let session = |holder| SlotSession {
        host: web_1(),
        since: at("14:00:00"),
        holder,
    };
    let job = SlotHolder::Job {
        job_id: p("b181f097-458c-596e-ab14-23d84ca1c696"),
        step: 1,
    };
    let interactive = |command| SlotHolder::Interactive {
        session_id: p("0b0f6a83-44b1-4a8a-8d6f-0d3f4c8a2b11"),
        owner: "amelie".into(),
        command,
    };
    let slots = SlotsView {
        total: 4,
        interactive_reserved: 0,
        jobs_reserved: 0,
        waiting: 4,
        sessions_waiting: 1,
        pause: Some(crate::control::pause()),
        slots: [
            Some(job),
            None,
            Some(interactive(Some(3))),
            Some(interactive(None)),
        ]
        .into_iter()
        .zip(0..)
        .map(|(holder, slot)| SlotView {
            slot,
            session: holder.map(session),
        })
        .collect(),
    };
    golden.both_ways("slots", &slots);
    let pipeline = PipelineView {
        name: p("contain-miner"),
        version: hash(),
        file: "contain-miner.yaml".into(),
        enabled: false,
        dry_run: true,
        orgs: Some(vec![Org::default_org(), p("acme")]),
        events_max_age: Some(Span::from_secs(6 * 3600)),
        on: vec!["PROHIBITED_PROCESS".into(), "acme.alert.*".into()],
        when: Some("host.platform == \"linux\"".into()),
        target: Some(Target::Hosts(HostSelector {
            labels: vec![p("dmz")],
            ..HostSelector::default()
        })),
        job: p("contain-miner"),
        pause: Some(pipeline_pause(Some(pause().by))),
        in_flight: 3,
        withheld: vec![WithheldCount {
            reason: "suppressed".into(),
            count: 7,
            unrecorded: 2,
            first_at: at("13:00:00"),
            last_at: at("14:00:00"),
        }],
    };
    let pipelines = PipelinesView {
        pipelines: vec![pipeline],
        named_jobs: vec![p("collect-logs")],
        loaded_at: at("14:00:00"),
        refused: Some("contain-miner.yaml:3:1: unknown key".into()),
    };
    golden.both_ways("pipelines", &pipelines);
}

fn events(golden: &mut Golden) {
    let publish = PublishEvent {
        org: Some(Org::default_org()),
        etype: p("acme.alert"),
        id: Some("a-1".into()),
        source: Some("urn:acme:scanner".into()),
        host_id: Some(host()),
        time: Some(at("14:00:00")),
        data: json!({"pid": 4711}),
    };
    golden.both_ways("publish", &publish);
    let short = PublishEvent {
        org: None,
        id: None,
        source: None,
        host_id: None,
        time: None,
        data: json!(null),
        ..publish
    };
    golden.both_ways("publish, short", &short);
    let detection = ReportDetection {
        org: Some(Org::default_org()),
        cat: "miner".into(),
        priority: 7,
        host: Some("web-1".into()),
        data: json!({"pid": 4711}),
        id: Some("a-1".into()),
        source: Some("urn:acme:scanner".into()),
        time: Some(at("14:00:00")),
    };
    golden.both_ways("report detection", &detection);
    let short = ReportDetection {
        org: None,
        cat: "miner".into(),
        priority: 0,
        host: None,
        data: json!(null),
        id: None,
        source: None,
        time: None,
    };
    golden.both_ways("report detection, short", &short);
    let published = PublishedEvent {
        id: "a-1".into(),
        key: p("1d1c257b-2511-59fa-8b8d-fd9323d41812"),
    };
    golden.both_ways("published", &published);
    streamed(golden);
}

fn streamed(golden: &mut Golden) {
    let read = Event {
        id: "a-1".into(),
        key: p("1d1c257b-2511-59fa-8b8d-fd9323d41812"),
        org: Org::default_org(),
        source: "urn:acme:scanner".into(),
        etype: p("acme.alert"),
        host: Some(HostHint::Hostname("web-1".into())),
        time: at("14:00:00"),
        data: json!({"hostname": "web-1"}),
        attested_by: Attestation::Agent,
        depth: 2,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let about = |hint| Event {
        host: Some(hint),
        depth: 0,
        traceparent: None,
        ..read.clone()
    };
    let named = StreamedEvent::of(about(HostHint::HostId(host())), None);
    let subject = StreamedEvent::of(about(HostHint::Subject("orders/7".into())), None);
    golden.both_ways("streamed", &StreamedEvent::of(read, Some(host())));
    golden.both_ways("streamed, of a subject", &subject);
    assert_eq!(
        named.hostid,
        Some(host()),
        "what a publisher said of its host is kept"
    );
    let gap = StreamGap {
        after: 2,
        next: 5,
        lost: Some(2),
    };
    golden.both_ways("gap", &gap);
    golden.both_ways("gap, of another stream", &StreamGap { lost: None, ..gap });
}

#[test]
fn a_word_that_names_no_role_is_refused() {
    assert!("root".parse::<Role>().is_err());
    assert!("Admin".parse::<Role>().is_err());
}
