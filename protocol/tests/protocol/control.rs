//! Bodies of what administrators do with the server as a whole.

use crate::golden::Golden;
use crate::samples::{at, hash, host, p};
use serde_json::json;
use tripline_protocol::api::*;
use tripline_protocol::event::Attestation;
use tripline_protocol::result::HostRef;
use tripline_protocol::{EventKey, FanoutId, JobId, Name, Org};

pub(crate) fn pause() -> Pause {
    Pause {
        since: at("14:00:00"),
        by: Asker {
            token_id: "k3x9".into(),
            name: "ana".into(),
        },
        reason: Some("INC-42".into()),
    }
}

pub(crate) fn pipeline_pause(by: Option<Asker>) -> PipelinePause {
    PipelinePause {
        since: at("14:00:00"),
        by,
        reason: Some("INC-42".into()),
    }
}

fn explanation() -> Explanation {
    let decided = decisions();
    let pipeline: Name = p("contain-miner");
    let unmet = Unmet {
        part: "event.data.severity >= 7".into(),
        number: 2,
        of: 3,
        why: Shortfall::False,
        field: None,
        error: None,
        seen: vec![SeenField {
            field: "event.data.severity".into(),
            value: "3".into(),
        }],
    };
    let verdict = |verdict: VerdictWord, text: &str| PipelineVerdict {
        pipeline: pipeline.clone(),
        verdict,
        recorded: false,
        version: Some(hash()),
        decided_by: None,
        reason: None,
        text: text.into(),
        unmet: None,
        key: None,
        would: None,
        at: None,
        jobs: Vec::new(),
        fanouts: Vec::new(),
    };
    let acted = PipelineVerdict {
        recorded: true,
        decided_by: Some(hash()),
        at: Some(at("14:00:00")),
        jobs: decided.jobs.clone(),
        ..verdict(VerdictWord::Acted, "it made a job on web-1")
    };
    let withheld = PipelineVerdict {
        recorded: true,
        decided_by: Some(hash()),
        reason: Some("suppressed".into()),
        key: Some("web-1/4711".into()),
        at: Some(at("14:00:00")),
        ..verdict(
            VerdictWord::Withheld,
            "it acted once within the last 30s, as often as suppress.max allows",
        )
    };
    let condition = PipelineVerdict {
        unmet: Some(unmet.clone()),
        ..verdict(VerdictWord::Condition, &unmet.to_string())
    };
    Explanation {
        asked: decided.key.to_string(),
        key: Some(decided.key),
        event: Some(ExplainedEvent {
            id: "e-1".into(),
            source: "siem".into(),
            org: Org::default_org(),
            etype: "acme.alert".parse().unwrap(),
            time: Some(at("13:59:59")),
            stored_at: Some(at("14:00:00")),
            sequence: Some(12),
            handled_at: Some(at("14:00:00")),
            attested_by: Some(Attestation::Publisher),
            host: Some(crate::jobs::web_1()),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        }),
        lookup: EventLookup::of(LookupState::Read),
        rules: ExplainedRules {
            version: hash(),
            loaded_at: at("13:00:00"),
            decided_by: Some(hash()),
        },
        pipelines: vec![acted, withheld, condition],
        pipelines_more: 2,
        not_listening: 40,
        dead_letters: decided
            .withheld
            .into_iter()
            .filter(|view| view.dead_letter)
            .collect(),
        fanouts: vec![crate::fanouts::of_pipeline()],
        fanouts_more: 2,
        jobs: vec![ExplainedJob {
            job: crate::api::job_view(),
            submitted_by: Some("ana".into()),
            last_session_at: Some(at("14:00:05")),
            resumed: 1,
            retries: 1,
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            result: Some(ExplainedResult {
                subject:
                    "tripline.results.default.contain-miner.succeeded.6a476cc7-fafe-5985-9fb8-67233a7efb39"
                        .into(),
                staged_at: at("14:00:09"),
                published_at: Some(at("14:00:10")),
                sequence: Some(17),
            }),
        }],
        jobs_more: 1,
        forgotten: decided.jobs,
        notes: vec!["other rules decided about the event than those in force now".into()],
    }
}

fn nothing_known() -> Explanation {
    Explanation {
        event: None,
        lookup: EventLookup {
            state: LookupState::NotFound,
            searched: Some(EventSearch {
                since: at("13:00:00"),
                messages: 5,
                first_sequence: 8,
                last_sequence: 12,
                complete: true,
            }),
        },
        rules: ExplainedRules {
            version: hash(),
            loaded_at: at("13:00:00"),
            decided_by: None,
        },
        pipelines: Vec::new(),
        pipelines_more: 0,
        dead_letters: Vec::new(),
        fanouts: Vec::new(),
        fanouts_more: 0,
        jobs: Vec::new(),
        jobs_more: 0,
        forgotten: Vec::new(),
        notes: Vec::new(),
        ..explanation()
    }
}

fn decisions() -> EventDecisions {
    let suppressed = WithheldView {
        pipeline: Some(p("contain-miner")),
        version: Some(hash()),
        reason: "suppressed".into(),
        text: "it acted once within the last 30s, as often as suppress.max allows".into(),
        key: Some("web-1/4711".into()),
        would: None,
        at: at("14:00:00"),
        run: 0,
        dead_letter: false,
    };
    let stale = WithheldView {
        pipeline: None,
        version: None,
        reason: "stale".into(),
        text: "the event is 2h old, at most 1h is taken".into(),
        key: None,
        run: 1,
        dead_letter: true,
        ..suppressed.clone()
    };
    let dry_run = WithheldView {
        reason: "dry_run".into(),
        text: "it is a dry run: it would run job contain-miner on web-1".into(),
        key: None,
        would: Some(DryRun {
            job: p("contain-miner"),
            host: HostRef {
                host_id: host(),
                hostname: "web-1".into(),
            },
            steps: vec![json!({"id": "kill", "kill_process": {"pid": 42}, "when": true})],
            steps_omitted: 1,
        }),
        ..suppressed.clone()
    };
    EventDecisions {
        key: EventKey(host().0),
        jobs: vec![JobId(host().0)],
        fanouts: vec![FanoutId(host().0)],
        withheld: vec![suppressed, stale, dry_run],
    }
}

#[test]
fn what_administrators_control_is_as_the_golden_file_has_it() {
    let mut golden = Golden::open("control.json");
    let reason = Some("INC-42".to_owned());
    golden.both_ways("pause", &SetPause { reason });
    golden.both_ways("pause, short", &SetPause::default());
    let paused = PauseView {
        paused: true,
        pause: Some(pause()),
    };
    golden.both_ways("paused", &paused);
    let not_paused = PauseView {
        paused: false,
        pause: None,
    };
    golden.both_ways("not paused", &not_paused);
    for (case, pause) in [
        ("pipeline, paused", Some(pipeline_pause(Some(pause().by)))),
        ("pipeline, paused by itself", Some(pipeline_pause(None))),
        ("pipeline, not paused", None),
    ] {
        let name = p("contain-miner");
        golden.both_ways(case, &PipelinePauseView { name, pause });
    }
    golden.both_ways("decisions", &decisions());
    golden.both_ways("explanation", &explanation());
    golden.both_ways("explanation, nothing known", &nothing_known());
    let drain = DrainView {
        draining: true,
        by: Some(pause().by),
        since: Some(at("14:00:00")),
        until: Some(at("14:00:20")),
        jobs_running: 2,
        messages_waiting: 13,
        broker: true,
    };
    golden.both_ways("drain", &drain);
    let no_drain = DrainView {
        draining: false,
        by: None,
        since: None,
        until: None,
        jobs_running: 0,
        messages_waiting: 0,
        broker: false,
    };
    golden.both_ways("no drain", &no_drain);
    dead_letters(&mut golden);
    outbox(&mut golden);
    status(&mut golden);
}

fn dead_letters(golden: &mut Golden) {
    let letter = DeadLetter {
        sequence: 17,
        org: Some(Org::default_org()),
        reason: "stale".into(),
        text: "the event is 2h old, at most 1h is taken".into(),
        subject: "tripline.events.default.acme.alert".into(),
        stored_at: at("14:00:00"),
        bytes: 12,
        replayed: Some(Replayed {
            at: at("15:00:00"),
            by: pause().by,
            run: 1,
        }),
    };
    golden.both_ways("dead letter", &letter);
    let whole = DeadLetterView {
        letter: DeadLetter {
            org: None,
            reason: "bad_subject".into(),
            text: "no event subject".into(),
            subject: "tripline.events.x".into(),
            replayed: None,
            ..letter
        },
        headers: vec![("Tripline-Dead-Reason".into(), "bad_subject".into())],
        data: Some(json!({"pid": 4711})),
        content: None,
        content_b64: None,
    };
    golden.both_ways("dead letter, whole", &whole);
    let of_default = |sequence, bytes| DeadLetterView {
        letter: DeadLetter {
            sequence,
            org: Some(Org::default_org()),
            reason: "not_json".into(),
            text: "the body is no JSON".into(),
            subject: "tripline.events.default.acme.alert".into(),
            bytes,
            ..whole.letter.clone()
        },
        headers: Vec::new(),
        data: None,
        ..whole.clone()
    };
    let text = DeadLetterView {
        content: Some("no JSON".into()),
        ..of_default(18, 7)
    };
    golden.both_ways("dead letter, of a text", &text);
    let bytes = DeadLetterView {
        content_b64: Some("/w==".into()),
        ..of_default(19, 1)
    };
    golden.both_ways("dead letter, of bytes", &bytes);
    golden.both_ways("replay", &ReplayDead { again: true });
    golden.both_ways("replay, short", &ReplayDead::default());
    let replayed = ReplayedEvent {
        sequence: 17,
        id: "a-1".into(),
        key: p("0b0f6a83-44b1-4a8a-8d6f-0d3f4c8a2b11"),
        run: 1,
    };
    golden.both_ways("replayed", &replayed);
}

fn outbox(golden: &mut Golden) {
    let oldest = OutboxEntry {
        sequence: 41,
        subject: "tripline.results.default.look.failed.6a476cc7-fafe-5985-9fb8-67233a7efb39".into(),
        message_id: "b181f097-458c-596e-ab14-23d84ca1c696".into(),
        bytes: 812,
        staged_at: Some(at("14:00:00")),
        refused: None,
    };
    let outbox = OutboxView {
        waiting: 13,
        in_flight: 2,
        messages_max: 300_000,
        quarantined: 1,
        oldest: Some(oldest),
        subjects: vec![SubjectCount {
            subject: "tripline.events.default.new_sensor".into(),
            waiting: 12,
        }],
        subjects_total: 2,
    };
    golden.both_ways("outbox", &outbox);
    let empty = OutboxView {
        waiting: 0,
        in_flight: 0,
        quarantined: 0,
        oldest: None,
        subjects: Vec::new(),
        subjects_total: 0,
        ..outbox
    };
    golden.both_ways("outbox, empty", &empty);
    let quarantined = OutboxEntry {
        sequence: 40,
        subject: "tripline.events.default.x".into(),
        message_id: "m".into(),
        bytes: 2_000_000,
        staged_at: None,
        refused: Some("max payload exceeded".into()),
    };
    golden.both_ways("quarantined", &quarantined);
    golden.both_ways("retry", &RetryQuarantined { sequences: vec![40] });
    golden.both_ways("retried", &Retried { retried: 1 });
}

fn status(golden: &mut Golden) {
    let slots = SlotsView {
        total: 1,
        interactive_reserved: 0,
        jobs_reserved: 0,
        waiting: 4,
        sessions_waiting: 1,
        pause: None,
        slots: vec![SlotView {
            slot: 0,
            session: None,
        }],
    };
    let status = StatusView {
        at: at("14:00:00"),
        version: "0.1.0".into(),
        started_at: at("13:00:00"),
        ready: true,
        pause: None,
        draining: false,
        broker: BrokerState {
            connected: true,
            detail: "connected".into(),
        },
        slots,
        jobs: JobCounts {
            open: 9,
            running: 2,
            lanes: 5,
            host_offline: 2,
            behind_job: 1,
            no_free_slot: 4,
            resting: 3,
            held: 1,
        },
        hosts: HostCounts {
            total: 40,
            attached: 38,
            silent: 1,
        },
        outbox: OutboxCounts {
            waiting: 7,
            messages_max: 300_000,
            quarantined: 2,
        },
        totals: Totals {
            events: 100,
            jobs_accepted: 20,
            jobs_ended: 11,
            published: 31,
        },
    };
    golden.both_ways("status", &status);
    let paused = StatusView {
        ready: false,
        pause: Some(pause()),
        draining: true,
        broker: BrokerState {
            connected: false,
            detail: "connecting".into(),
        },
        slots: SlotsView {
            pause: Some(pause()),
            ..status.slots.clone()
        },
        ..status
    };
    golden.both_ways("status, paused", &paused);
}
