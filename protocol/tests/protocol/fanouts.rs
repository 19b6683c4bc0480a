//! Bodies of fan-outs.

use crate::control::pause;
use crate::golden::Golden;
use crate::jobs::cause;
use crate::samples::{at, hash, host, json, p};
use serde_json::{Map, json};
use tripline_protocol::fanout::*;
use tripline_protocol::job::{JobSpec, Outcome, PipelineRef, Reason};
use tripline_protocol::result::HostRef;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;
use tripline_protocol::{FanoutId, JobId, Org, Span};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn submit() -> SubmitFanout {
    SubmitFanout {
        org: Some(Org::default_org()),
        target: Target::Hosts(HostSelector {
            labels: vec![p("dmz"), p("owner:ana")],
            platform: Some(p("linux")),
            hostname: Some(p("web-*")),
            attached: Some(p("agent")),
            seen_within: Some(Span::from_secs(7 * DAY)),
            unseen_for: Some(Span::from_secs(HOUR)),
            agent_version: Some(p("0.1.0")),
        }),
        job: None,
        named: Some(p("collect-file")),
        params: Map::from_iter([("path".to_owned(), json!("/etc/hosts"))]),
        pace: Pace {
            in_flight: 20,
            per_minute: Some(60),
            canary: Some(5),
            ramp: 3,
            auto_pause: Some(AutoPause { failed: 3, of: 10 }),
        },
        expires: Some(Span::from_secs(7 * DAY)),
        standing: true,
        max_hosts: Some(200),
        include_protected: true,
        reason: Some("INC-42".into()),
        idempotency_key: Some("hunt-7".into()),
    }
}

fn short() -> SubmitFanout {
    let steps = vec![Step::new(Verb::ListProcesses, json!({}))];
    SubmitFanout {
        org: None,
        target: Target::All,
        job: Some(JobSpec::new(p("look"), steps)),
        named: None,
        params: Map::new(),
        pace: Pace::default(),
        expires: None,
        standing: false,
        max_hosts: None,
        include_protected: false,
        reason: None,
        idempotency_key: None,
    }
}

/// As it is at its end.
fn ended() -> FanoutView {
    FanoutView {
        fanout_id: FanoutId(host().0),
        org: Org::default_org(),
        name: p("look"),
        state: FanoutState::Ended(FanoutOutcome::Succeeded),
        reason: None,
        target: Target::All,
        pace: Pace::default(),
        standing: false,
        max_hosts: None,
        pipeline: None,
        event: None,
        by: Some(pause().by),
        created_at: at("14:00:00"),
        expires_at: at("15:00:00"),
        finished_at: Some(at("14:03:00")),
        counts: FanoutCounts {
            hosts: 2,
            succeeded: 2,
            ..FanoutCounts::default()
        },
    }
}

pub(crate) fn of_pipeline() -> FanoutView {
    FanoutView {
        name: p("collect-file"),
        state: FanoutState::Paused,
        reason: Some(Reason::new("canary_failed", "one of the first 5 hosts failed")),
        target: Target::Hosts(HostSelector {
            platform: Some(p("linux")),
            ..HostSelector::default()
        }),
        pace: Pace {
            in_flight: 20,
            canary: Some(5),
            ..Pace::default()
        },
        standing: true,
        max_hosts: Some(200),
        pipeline: Some(PipelineRef {
            name: p("contain-miner"),
            version: hash(),
        }),
        event: Some(cause()),
        by: None,
        finished_at: None,
        counts: FanoutCounts {
            hosts: 12,
            pending: 5,
            offline: 2,
            in_flight: 1,
            succeeded: 3,
            failed: 1,
            interrupted: 1,
            skipped: 1,
            ..FanoutCounts::default()
        },
        ..ended()
    }
}

fn timed_out() -> FanoutHostView {
    FanoutHostView {
        host_id: host(),
        hostname: "web-1".into(),
        state: FanoutHostState::Ended(Outcome::TimedOut),
        job_id: Some(JobId(host().0)),
        run: 1,
        reason: Some(Reason::new("timed_out", "it ran longer than 10m")),
        finished_at: Some(at("14:03:00")),
    }
}

fn summary() -> FanoutSummary {
    FanoutSummary {
        fanout: FanoutView {
            state: FanoutState::Ended(FanoutOutcome::Failed),
            counts: FanoutCounts {
                hosts: 2,
                timed_out: 2,
                ..FanoutCounts::default()
            },
            ..ended()
        },
        not_succeeded: vec![timed_out()],
        more: 1,
    }
}

#[test]
fn fan_outs_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("fanouts.json");
    golden.both_ways("submit", &submit());
    golden.both_ways("submit, inline", &short());
    let reach = FanoutReach {
        hosts: 3,
        attached: 2,
        protected: 1,
        first: vec![HostRef {
            host_id: host(),
            hostname: "web-1".into(),
        }],
        more: 2,
    };
    golden.both_ways("reach", &reach);
    golden.both_ways("fanout", &of_pipeline());
    golden.both_ways("fanout, ended", &ended());
    golden.both_ways("host", &timed_out());
    let pending = FanoutHostView {
        state: FanoutHostState::Pending,
        job_id: None,
        run: 0,
        reason: None,
        finished_at: None,
        ..timed_out()
    };
    golden.both_ways("host, pending", &pending);
    let retry = RetryFanout {
        outcomes: vec![Outcome::TimedOut, Outcome::Expired],
        timeout: Some(Span::from_secs(30 * 60)),
        expires: Some(Span::from_secs(7 * DAY)),
    };
    golden.both_ways("retry", &retry);
    golden.both_ways("retry, short", &RetryFanout::default());
    golden.both_ways("summary", &summary());
    states(&mut golden);
}

/// Words are read from texts, too.
fn states(golden: &mut Golden) {
    let ended = [
        FanoutOutcome::Succeeded,
        FanoutOutcome::Failed,
        FanoutOutcome::Expired,
        FanoutOutcome::Cancelled,
    ];
    let open = [FanoutState::Resolving, FanoutState::Running, FanoutState::Paused];
    let states: Vec<FanoutState> = open.into_iter().chain(ended.map(FanoutState::Ended)).collect();
    for state in &states {
        assert_eq!(p::<FanoutState>(&state.to_string()), *state);
    }
    golden.both_ways("states", &states);
    let open = ["pending", "in_flight", "skipped"].map(p::<FanoutHostState>);
    let ended = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::Expired,
        Outcome::Cancelled,
        Outcome::Interrupted,
    ];
    let ended = ended.map(FanoutHostState::Ended);
    let states: Vec<FanoutHostState> = open.into_iter().chain(ended).collect();
    for state in &states {
        assert_eq!(p::<FanoutHostState>(&state.to_string()), *state);
    }
    golden.both_ways("states of hosts", &states);
}

#[test]
fn what_is_left_out_of_a_submission_has_its_default() {
    let said: SubmitFanout =
        json(r#"{"target": "all", "job": {"name": "look", "steps": [{"list_processes": {}}]}}"#).unwrap();
    assert_eq!(said, short());
    assert_eq!(json::<RetryFanout>("{}").unwrap(), RetryFanout::default());
    let pace: Pace = json("{}").unwrap();
    assert_eq!((pace.in_flight, pace.ramp, pace.canary), (50, 2, None));
}

#[test]
fn a_target_asks_for_something_and_has_no_other_words() {
    for (target, told) in [
        ("{}", "every host: say \"all\""),
        (r#"{"platform": null}"#, "every host: say \"all\""),
        (r#"{"labels": []}"#, "expected 1 to 64 labels"),
        (r#""event_host""#, "\"all\", or a map"),
        (r#"["web-1"]"#, "\"all\", or a map"),
        (r#"{"label": "dmz"}"#, "unknown field `label`"),
        (r#"{"hostname": ""}"#, "1 to 255 bytes"),
        (r#"{"attached": "maybe"}"#, "expected agent"),
    ] {
        let error = json::<Target>(target).expect_err(target).to_string();
        assert!(error.contains(told), "{target}: {error}");
    }
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let pace = |change: fn(&mut Pace)| {
        let mut request = short();
        change(&mut request.pace);
        request.check().expect_err("it is out of bounds")
    };
    assert_eq!(submit().check(), Ok(()));
    assert_eq!(short().check(), Ok(()));
    for (told, expected) in [
        (
            pace(|pace| pace.in_flight = 0),
            "in_flight is 0, expected 1 to 10000",
        ),
        (
            pace(|pace| pace.per_minute = Some(60_001)),
            "per_minute is 60001, expected 1 to 60000",
        ),
        (
            pace(|pace| pace.canary = Some(1_001)),
            "canary is 1001, expected 1 to 1000",
        ),
        (pace(|pace| pace.ramp = 1), "ramp is 1, expected 2 to 100"),
        (
            pace(|pace| pace.auto_pause = Some(AutoPause { failed: 1, of: 101 })),
            "auto_pause.of is 101, expected 1 to 100",
        ),
        (
            pace(|pace| pace.auto_pause = Some(AutoPause { failed: 4, of: 3 })),
            "auto_pause.failed is 4, expected 1 to 3",
        ),
    ] {
        assert_eq!(told, expected);
    }
    for (expires, fits) in [(0, false), (30 * DAY, true), (30 * DAY + 1, false)] {
        let expires = Some(Span::from_secs(expires));
        assert_eq!(
            SubmitFanout { expires, ..short() }.check().is_ok(),
            fits,
            "{expires:?}"
        );
        let retry = RetryFanout {
            expires,
            ..RetryFanout::default()
        };
        assert_eq!(retry.check().is_ok(), fits, "{expires:?}");
    }
    for (hosts, fits) in [(0, false), (1, true), (100_000, true), (100_001, false)] {
        let max_hosts = Some(hosts);
        assert_eq!(
            SubmitFanout { max_hosts, ..short() }.check().is_ok(),
            fits,
            "{hosts}"
        );
    }
    for outcomes in [vec![], vec![Outcome::Failed, Outcome::Succeeded]] {
        let retry = RetryFanout {
            outcomes,
            ..RetryFanout::default()
        };
        assert!(retry.check().is_err(), "{retry:?}");
    }
}
