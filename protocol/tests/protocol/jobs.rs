//! Jobs, steps, results and their words.

use crate::golden::Golden;
use crate::samples::{at, hash, host, json, no_such_process, p};
use serde_json::json;
use tripline_protocol::event::{Attestation, EventRef};
use tripline_protocol::job::{JobSpec, JobState, Outcome, PipelineRef, Priority, Reason};
use tripline_protocol::result::{HostRef, JobResult};
use tripline_protocol::step::{
    ArtifactRef, EventHost, ForEach, OnError, Retry, RetryOn, ServerCall, ServerVerb, Step, StepReport,
    StepStatus, StepVerb, Truncated, When,
};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Fault, FaultClass, Span};

fn job(name: &str, steps: Vec<Step>) -> JobSpec {
    JobSpec::new(p(name), steps)
}

pub(crate) fn report(id: &str, verb: impl Into<StepVerb>, status: StepStatus) -> StepReport {
    StepReport {
        status,
        ..StepReport::pending(id, verb)
    }
}

pub(crate) fn web_1() -> HostRef {
    HostRef {
        host_id: host(),
        hostname: "web-1".into(),
    }
}

pub(crate) fn contain_miner() -> PipelineRef {
    PipelineRef {
        name: p("contain-miner"),
        version: hash(),
    }
}

pub(crate) fn cause() -> EventRef {
    EventRef {
        id: "evt-1".into(),
        source: "nats".into(),
        etype: p("PROHIBITED_PROCESS"),
    }
}

fn retry() -> Retry {
    Retry {
        attempts: 3,
        backoff: Span::from_secs(5),
        backoff_max: None,
        on: Vec::new(),
    }
}

fn of_an_event() -> JobResult {
    JobResult {
        job_id: p("b181f097-458c-596e-ab14-23d84ca1c696"),
        org: p("default"),
        name: p("contain-miner"),
        pipeline: Some(contain_miner()),
        event: Some(cause()),
        fanout: None,
        host: web_1(),
        outcome: Outcome::Failed,
        reason: Reason::new("step_failed", "step step2 failed: no such process (ESRCH)"),
        run: 0,
        attempt: 1,
        queued_at: at("14:00:00"),
        started_at: Some(at("14:00:01")),
        finished_at: at("14:00:02.5"),
        steps_failed: 1,
        steps: vec![StepReport {
            error: Some(no_such_process()),
            ..report("step2", Verb::KillProcess, StepStatus::Failed)
        }],
    }
}

#[test]
fn jobs_steps_and_results_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("jobs.json");
    let whole = JobSpec {
        expires: Some(p("7d")),
        timeout: Some(Span::from_secs(120)),
        priority: Priority::High,
        retry: Some(Retry {
            backoff_max: Some(Span::from_secs(60)),
            on: vec![RetryOn::Failed, RetryOn::TimedOut],
            ..retry()
        }),
        ..job(
            "contain-miner",
            vec![
                Step {
                    id: Some("processes".into()),
                    ..Step::new(Verb::ListProcesses, json!({}))
                },
                Step {
                    timeout: Some(Span::from_secs(30)),
                    on_error: OnError::Continue,
                    retry: Some(retry()),
                    idempotent: true,
                    ..Step::new(
                        Verb::KillProcess,
                        json!({"pid": 4711, "start_time": 1_795_183_200}),
                    )
                },
            ],
        )
    };
    golden.both_ways("job, everything given", &whole);
    let cleaning = JobSpec {
        finally: vec![Step::new(Verb::Unisolate, json!({}))],
        finally_timeout: Some(Span::from_secs(30)),
        ..job("contain", vec![Step::new(Verb::Isolate, json!({}))])
    };
    golden.both_ways("job, with steps for its end", &cleaning);
    let short = job("look", vec![Step::new(Verb::ListProcesses, json!({}))]);
    golden.both_ways("job, as short as it can be", &short);
    let fetch = Step {
        id: Some("fetch".into()),
        timeout: Some(Span::from_secs(5400)),
        ..Step::new(Verb::GetFile, json!({"path": "/etc/hosts"}))
    };
    golden.both_ways("step", &fetch);
    let template = json!({"pid": "{{ steps.processes.output.processes[0].pid }}"});
    golden.both_ways(
        "step, arguments with a template",
        &Step::new(Verb::KillProcess, template),
    );
    let choosy = Step {
        when: Some(When::Late("steps.look.status == 'succeeded'".into())),
        on_error: OnError::Goto(p("tell")),
        ..Step::new(Verb::ListProcesses, json!({}))
    };
    golden.both_ways("step, on a condition", &choosy);
    let wait = Step::new(ServerVerb::Wait, json!("30s"));
    golden.both_ways("step, a wait", &wait);
    let publish =
        json!({"etype": "acme.contained", "data": {"pid": "{{ steps.look.output.pid }}"}, "host": null});
    let each = Step {
        for_each: Some(ForEach {
            items: json!("{{ steps.look.output.files }}"),
            max: 20,
        }),
        ..Step::new(Verb::DeleteFile, json!({"path": "{{ item.path }}"}))
    };
    golden.both_ways("step, for every element of a list", &each);
    golden.both_ways("step, an event", &Step::new(ServerVerb::Publish, publish));
    let detect = json!({"cat": "miner", "priority": 5});
    golden.both_ways("step, a detection", &Step::new(ServerVerb::Detect, detect));
    let decided = Step {
        when: Some(When::No {
            no: "event.data.pid > 1".into(),
        }),
        ..Step::new(Verb::ListProcesses, json!({}))
    };
    golden.both_ways("step, whose condition did not hold", &decided);
    golden.both_ways("priority low", &Priority::Low);

    let fault = Fault::live_response("ENOENT", "no such file or directory");
    golden.both_ways("fault", &fault);
    let full =
        Fault::server("queue_full", "1000 jobs wait for this host").with_detail(json!({"waiting": 1000}));
    golden.both_ways("fault, with detail", &full);

    let with_output = StepReport {
        output: Some(json!({"processes": [], "omitted": 0})),
        truncated: Some(Truncated { bytes: 12 }),
        started_at: Some(at("14:00:01")),
        finished_at: Some(at("14:00:02.5")),
        ..report("processes", Verb::ListProcesses, StepStatus::Succeeded)
    };
    golden.both_ways("step report, with output", &with_output);
    let with_artifact = StepReport {
        artifact: Some(ArtifactRef {
            sha256: hash(),
            bytes: 0,
            name: "hosts".into(),
        }),
        ..report("fetch", Verb::GetFile, StepStatus::Succeeded)
    };
    golden.both_ways("step report, with artifact", &with_artifact);
    let failed = StepReport {
        error: Some(no_such_process()),
        ..report("step2", Verb::KillProcess, StepStatus::Failed)
    };
    golden.both_ways("step report, failed", &failed);
    let mut skipped = report("step3", Verb::ListProcesses, StepStatus::Pending);
    skipped.skip(Reason::new(
        "condition_false",
        "its condition does not hold: event.data.pid > 1",
    ));
    golden.both_ways("step report, skipped", &skipped);
    let list = StepReport {
        items: Some(2),
        ..report("each", Verb::DeleteFile, StepStatus::Failed)
    };
    golden.both_ways("step report, of a list", &list);
    let last = StepReport {
        finally: true,
        ..report("finally1", Verb::Unisolate, StepStatus::Succeeded)
    };
    golden.both_ways("step report, of a step of finally", &last);
    let again = StepReport {
        tries: Some(2),
        ..report("pause", ServerVerb::Wait, StepStatus::Running)
    };
    golden.both_ways("step report, a wait at its second try", &again);

    golden.both_ways("result, of an event", &of_an_event());
    let never_started = JobResult {
        job_id: p("68ff2cc7-8ce0-5d20-a756-84922ce97c7d"),
        name: p("look"),
        pipeline: None,
        event: None,
        outcome: Outcome::Expired,
        reason: Reason::new("expired", "waited 1d for its host"),
        run: 1,
        attempt: 0,
        started_at: None,
        finished_at: p("2026-11-21T14:00:00Z"),
        steps_failed: 0,
        steps: vec![report("step1", Verb::ListProcesses, StepStatus::Skipped)],
        ..of_an_event()
    };
    golden.both_ways("result, of a job that never started", &never_started);
    words(&mut golden);
}

fn words(golden: &mut Golden) {
    use Outcome::*;
    let outcomes = vec![Succeeded, Failed, TimedOut, Expired, Cancelled, Interrupted];
    let mut states = vec![
        JobState::Queued,
        JobState::AwaitingApproval,
        JobState::Running,
        JobState::Paused,
    ];
    states.extend(outcomes.iter().map(|outcome| JobState::Ended(*outcome)));
    for state in &states {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        assert_eq!(state.as_str().parse::<JobState>().unwrap(), *state);
    }
    for outcome in &outcomes {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        assert_eq!(JobState::Ended(*outcome).outcome(), Some(*outcome));
    }
    golden.both_ways("states", &states);
    golden.both_ways("outcomes", &outcomes);
    use StepStatus as S;
    let statuses = vec![
        S::Pending,
        S::Running,
        S::Succeeded,
        S::Failed,
        S::Skipped,
        S::Interrupted,
    ];
    golden.both_ways("step statuses", &statuses);
    use FaultClass as F;
    golden.both_ways(
        "fault classes",
        &vec![F::Timeout, F::LiveResponse, F::Unsupported, F::Server],
    );
    use Attestation as A;
    let attestations = vec![A::Agent, A::Littlebrother, A::Limacharlie, A::Publisher];
    for attestation in &attestations {
        assert_eq!(serde_json::to_value(attestation).unwrap(), attestation.as_str());
    }
    golden.both_ways("attestations", &attestations);
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    assert_eq!(JobSpec::EXPIRES_DEFAULT.to_string(), "1d");
    assert_eq!(JobSpec::TIMEOUT_DEFAULT.to_string(), "10m");
    assert_eq!(JobSpec::STEP_TIMEOUT_DEFAULT.to_string(), "2m");
    assert_eq!(JobSpec::FINALLY_TIMEOUT_DEFAULT.to_string(), "2m");
    let step: Step = json(r#"{"list_processes": null}"#).unwrap();
    assert_eq!(step, Step::new(Verb::ListProcesses, json!({})));
    assert_eq!((step.on_error, step.idempotent), (OnError::Fail, false));
    let job: JobSpec = json(r#"{"name": "look", "steps": []}"#).unwrap();
    assert_eq!(job.priority, Priority::Normal);
}

#[test]
fn a_step_may_be_repeated_only_if_it_reads_or_its_author_says_so() {
    assert!(Step::new(Verb::ListProcesses, json!({})).may_repeat());
    let mut kill = Step::new(Verb::KillProcess, json!({"pid": 1}));
    assert!(!kill.may_repeat());
    kill.idempotent = true;
    assert!(kill.may_repeat());
}

#[test]
fn a_step_written_wrongly_is_refused_with_what_is_wrong() {
    let refused = |text: &str| json::<Step>(text).unwrap_err().to_string();
    for (text, expected) in [
        ("{}", "a step needs a verb, such as list_processes"),
        (r#"{"id": "a"}"#, "a step needs a verb"),
        (
            r#"{"lits_processes": {}}"#,
            r#""lits_processes" is neither a key of a step nor a verb"#,
        ),
        (
            r#"{"list_processes": {}, "walk": {}}"#,
            "a step has one verb, not list_processes and walk",
        ),
        (
            r#"{"kill_process": {"pid": 1}, "kill_process": {"pid": 2}}"#,
            r#"a step has "kill_process" twice"#,
        ),
        (
            r#"{"list_processes": {}, "timeout": 30}"#,
            r#"step key "timeout": invalid type: integer `30`, expected a span"#,
        ),
        (
            r#"{"list_processes": {}, "on_error": "ignore"}"#,
            r#"step key "on_error": expected fail, continue or goto ID, found "ignore""#,
        ),
        (
            r#"{"list_processes": {}, "on_error": "goto Step 2"}"#,
            r#"step key "on_error": expected fail, continue or goto ID"#,
        ),
        (
            r#"{"list_processes": {}, "when": true}"#,
            r#"step key "when": expected a condition in CEL, as a text"#,
        ),
        (
            r#"{"list_processes": {}, "idempotent": "yes"}"#,
            r#"step key "idempotent": invalid type"#,
        ),
        (
            r#"{"get_file": "/etc/hosts"}"#,
            "arguments of get_file must be a map of names and values",
        ),
        (r#"["list_processes"]"#, "expected a step: a map with one verb"),
    ] {
        let found = refused(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn a_word_for_a_state_that_is_none_is_answered_with_those_that_are() {
    let error = "started".parse::<JobState>().unwrap_err();
    assert!(error.contains("queued") && error.contains("interrupted"));
    assert!(json::<JobState>(r#""Running""#).is_err());
}

#[test]
fn a_retry_within_its_bounds_is_taken() {
    let short: Retry = json(r#"{"attempts": 2}"#).unwrap();
    assert_eq!(
        (short.backoff, short.longest()),
        (Span::from_secs(10), Span::from_secs(300))
    );
    let slow: Retry = json(r#"{"attempts": 10, "backoff": "1h"}"#).unwrap();
    assert_eq!(slow.longest(), Span::from_secs(3600));
    for retry in [&short, &slow] {
        retry.check(false).unwrap();
        retry.check(true).unwrap();
        for outcome in [Outcome::Failed, Outcome::TimedOut] {
            assert!(retry.takes(outcome));
        }
        for outcome in [
            Outcome::Succeeded,
            Outcome::Expired,
            Outcome::Cancelled,
            Outcome::Interrupted,
        ] {
            assert!(!retry.takes(outcome));
        }
    }
    let on: Retry = json(r#"{"attempts": 2, "on": ["timed_out"]}"#).unwrap();
    assert!(on.takes(Outcome::TimedOut) && !on.takes(Outcome::Failed));
    on.check(true).unwrap();
}

#[test]
fn a_retry_beyond_its_bounds_is_refused_with_them() {
    for (text, expected) in [
        (r#"{"attempts": 1}"#, "retry: 1 attempts, expected 2 to 10"),
        (r#"{"attempts": 11}"#, "retry: 11 attempts, expected 2 to 10"),
        (r#"{"attempts": 2, "backoff": "0s"}"#, "above zero and at most 1d"),
        (
            r#"{"attempts": 2, "backoff": "25h"}"#,
            "above zero and at most 1d",
        ),
        (
            r#"{"attempts": 2, "backoff": "5s", "backoff_max": "4s"}"#,
            "backoff_max is shorter than backoff",
        ),
        (
            r#"{"attempts": 2, "on": ["failed"]}"#,
            "on belongs to the retry of a job",
        ),
    ] {
        let error = json::<Retry>(text).unwrap().check(false).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(json::<Retry>(r#"{"attempts": 2, "bakoff": "5s"}"#).is_err());
}

#[test]
fn a_list_is_written_alone_or_with_its_longest_length() {
    let read = |text: &str| json::<ForEach>(text);
    assert_eq!(read(r#""{{ vars.l }}""#).unwrap().max, 50);
    assert_eq!(read("[1, 2]").unwrap().items, json!([1, 2]));
    let whole = read(r#"{"in": [1], "max": 3}"#).unwrap();
    assert_eq!((whole.items, whole.max), (json!([1]), 3));
    for text in [r#"{"max": 3}"#, r#"{"in": [], "mx": 3}"#, "3", "true"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn a_wait_is_taken_up_to_a_week() {
    let parse = |text: &str| ServerCall::parse(ServerVerb::Wait, json!(text));
    assert_eq!(parse("1s").unwrap(), ServerCall::Wait(Span::from_secs(1)));
    assert_eq!(parse("7d").unwrap(), ServerCall::Wait(ServerCall::WAIT_MAX));
    for text in ["0s", "7d 1s", "soon"] {
        assert!(
            parse(text).unwrap_err().to_string().starts_with("wait: "),
            "{text}"
        );
    }
    assert!(ServerCall::parse(ServerVerb::Wait, json!({})).is_err());
}

#[test]
fn an_event_and_a_detection_are_taken_within_their_bounds() {
    let parse = |verb, text: &str| ServerCall::parse(verb, json(text).unwrap());
    let publish = |text: &str| match parse(ServerVerb::Publish, text).unwrap() {
        ServerCall::Publish(publish) => publish,
        other => panic!("{other:?}"),
    };
    assert_eq!(publish(r#"{"etype": "a.b"}"#).host, EventHost::OfJob);
    assert_eq!(publish(r#"{"etype": "a", "host": null}"#).host, EventHost::Nobody);
    assert_eq!(
        publish(r#"{"etype": "a", "host": "web-1"}"#).host,
        EventHost::Named("web-1".into())
    );
    let ServerCall::Detect(detect) = parse(ServerVerb::Detect, r#"{"cat": "miner"}"#).unwrap() else {
        panic!("no detection")
    };
    assert_eq!((detect.etype.as_str(), detect.priority), ("detection", 0));
    let longest = format!(r#"{{"cat": "{}", "priority": 10}}"#, "é".repeat(200));
    parse(ServerVerb::Detect, &longest).unwrap();
    let host = format!(r#"{{"etype": "a", "host": "{}"}}"#, "x".repeat(255));
    parse(ServerVerb::Publish, &host).unwrap();
    for (verb, text, expected) in [
        (ServerVerb::Publish, "{}".to_owned(), "missing field `etype`"),
        (
            ServerVerb::Publish,
            r#"{"etype": "a b"}"#.to_owned(),
            "is not a valid etype",
        ),
        (
            ServerVerb::Publish,
            r#"{"etype": "a", "hsot": "x"}"#.to_owned(),
            "unknown field `hsot`",
        ),
        (ServerVerb::Publish, host.replace("xx", "xxx"), "host has"),
        (
            ServerVerb::Publish,
            r#"{"etype": "a", "host": ""}"#.to_owned(),
            "host has 0 bytes",
        ),
        (ServerVerb::Detect, "{}".to_owned(), "missing field `cat`"),
        (
            ServerVerb::Detect,
            longest.replacen('é', "éé", 1),
            "cat must be 1 to 200 characters",
        ),
        (ServerVerb::Detect, r#"{"cat": "a\nb"}"#.to_owned(), "on one line"),
        (
            ServerVerb::Detect,
            r#"{"cat": "a", "priority": 11}"#.to_owned(),
            "priority 11 is above 10",
        ),
    ] {
        let error = parse(verb, &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_a_step_does_is_a_verb_of_its_host_or_of_the_server() {
    assert_eq!(
        "wait".parse::<StepVerb>().unwrap(),
        StepVerb::Server(ServerVerb::Wait)
    );
    assert_eq!("kill_process".parse::<StepVerb>().unwrap(), Verb::KillProcess);
    assert_ne!("wait".parse::<StepVerb>().unwrap(), Verb::KillProcess);
    assert!("nap".parse::<StepVerb>().is_err());
    assert!(Step::new(ServerVerb::Wait, json!("1s")).may_repeat());
}
