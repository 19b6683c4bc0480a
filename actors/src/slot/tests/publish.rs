//! Steps that publish events and detections.

use super::*;
use tripline_protocol::event::HostHint;
use tripline_protocol::limit::TRIPDEPTH_MAX;
use tripline_protocol::step::ServerVerb;

fn publish(args: Value) -> Step {
    Step::new(ServerVerb::Publish, args)
}

fn error_of(rig: &Rig, index: usize) -> String {
    let record = rig.ended.as_ref().unwrap();
    record.reports[index].error.as_ref().unwrap().code.clone()
}

#[test]
fn an_event_goes_out_with_the_batch_that_says_so() {
    let told = publish(json!({ "etype": "acme.killed", "data": { "pid": "{{ steps.step1.output.pid }}" } }));
    let mut rig = Rig::running(vec![list(), told, delete()]);
    assert_eq!(
        rig.answer(0, 1, json!({ "pid": 42 })),
        ["persist", "announce", "ack 0/1", "execute 2/1"]
    );
    let event = rig.published.clone().remove(0);
    assert_eq!(
        (event.etype.as_str(), event.source.as_str(), event.depth),
        ("acme.killed", "tripline", 1)
    );
    assert_eq!(event.data, json!({ "pid": 42 }));
    assert_eq!(event.host, Some(HostHint::HostId(HOST)));
    let stored = rig.stored.clone().unwrap();
    assert_eq!(
        stored.reports[1].status,
        StepStatus::Succeeded,
        "in the same batch"
    );
    let output = json!({ "id": event.id, "etype": "acme.killed" });
    assert_eq!(stored.reports[1].output, Some(output));
    rig.answer(2, 1, json!({}));
    assert_eq!(rig.published.len(), 1, "it goes out once");
}

#[test]
fn an_event_of_the_last_step_goes_out_with_the_jobs_end() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.run(job(vec![publish(json!({ "etype": "a" }))])),
        ["end succeeded completed"]
    );
    assert_eq!(rig.published.len(), 1);
}

#[test]
fn an_event_that_is_published_again_after_a_crash_is_the_same() {
    let record = job(vec![publish(json!({ "etype": "a" }))]);
    let ids = |record: &JobRecord| {
        let mut rig = Rig::new();
        rig.run(record.clone());
        (rig.published[0].id.clone(), rig.published[0].key)
    };
    assert_eq!(ids(&record), ids(&record));
    let other = JobRecord {
        job_id: JobId(Uuid::from_u128(0x21)),
        ..record.clone()
    };
    assert_ne!(ids(&record), ids(&other));
    let twice = job(vec![publish(json!({ "etype": "a" })); 2]);
    let mut rig = Rig::new();
    rig.run(twice);
    assert_ne!(rig.published[0].id, rig.published[1].id);
}

#[test]
fn a_detection_is_an_event_of_a_known_form() {
    let mut record = job(vec![Step::new(
        ServerVerb::Detect,
        json!({ "cat": "miner", "priority": 5, "data": [1] }),
    )]);
    record.pipeline = Some(tripline_protocol::job::PipelineRef {
        name: "contain".parse().unwrap(),
        version: Sha256::from_digest(&[0; 32]),
    });
    let mut rig = Rig::new();
    rig.run(record);
    let event = &rig.published[0];
    assert_eq!(event.etype.as_str(), "detection");
    let data = json!({ "cat": "miner", "priority": 5, "data": [1], "job_id": JOB, "pipeline": "contain" });
    assert_eq!(event.data, data);
}

#[test]
fn the_host_of_an_event_is_the_jobs_another_or_none() {
    let host = |args: Value| {
        let mut rig = Rig::new();
        rig.run(job(vec![publish(args)]));
        rig.published.remove(0).host
    };
    let other = HostId(Uuid::from_u128(0x99));
    assert_eq!(host(json!({ "etype": "a" })), Some(HostHint::HostId(HOST)));
    assert_eq!(
        host(json!({ "etype": "a", "host": other })),
        Some(HostHint::HostId(other))
    );
    assert_eq!(
        host(json!({ "etype": "a", "host": "web-1" })),
        Some(HostHint::Subject("web-1".into()))
    );
    assert_eq!(host(json!({ "etype": "a", "host": null })), None);
}

#[test]
fn the_chain_of_events_and_jobs_has_an_end() {
    let run = |depth: u8| {
        let mut rig = Rig::new();
        let mut record = job(vec![publish(json!({ "etype": "a" }))]);
        record.depth = depth;
        rig.run(record);
        rig
    };
    assert_eq!(run(TRIPDEPTH_MAX - 1).published[0].depth, TRIPDEPTH_MAX);
    let rig = run(TRIPDEPTH_MAX);
    assert!(rig.published.is_empty());
    assert_eq!(error_of(&rig, 0), "too_deep");
}

#[test]
fn an_event_that_nobody_could_publish_fails_its_step() {
    // Each character is six bytes in JSON.
    let long = "\u{1}".repeat(130 * 1024);
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    for (data, code) in [(json!(long), "too_large"), (deep, "bad_argument")] {
        let told = publish(json!({ "etype": "a", "data": "{{ steps.step1.output.data }}" }));
        let mut record = job(vec![list(), told]);
        record.reports[0].status = StepStatus::Succeeded;
        record.reports[0].output = Some(json!({ "data": data }));
        let mut rig = Rig::new();
        rig.run(record);
        assert!(rig.published.is_empty());
        let found = error_of(&rig, 1);
        assert!(found == code || found == "template_error", "{found}");
    }
    let mut rig = Rig::running(vec![
        list(),
        publish(json!({ "etype": "{{ steps.step1.output.etype }}" })),
    ]);
    rig.answer(0, 1, json!({ "etype": "no etype" }));
    assert_eq!(error_of(&rig, 1), "bad_argument");
}

#[test]
fn while_the_outbox_is_full_an_event_is_refused_or_tried_again() {
    let mut rig = Rig::new();
    rig.outbox_room = 0;
    rig.run(job(vec![publish(json!({ "etype": "a" }))]));
    assert_eq!(error_of(&rig, 0), "outbox_full");
    let patient = Step {
        retry: Some(tripline_protocol::step::Retry {
            attempts: 2,
            backoff: Span::from_secs(1),
            backoff_max: None,
            on: Vec::new(),
        }),
        ..publish(json!({ "etype": "a" }))
    };
    let mut rig = Rig::new();
    rig.outbox_room = 0;
    assert!(rig.run(job(vec![patient]))[0].starts_with("rests "));
    rig.outbox_room = 1;
    let stored = rig.stored.clone().unwrap();
    rig.now = stored.rest.as_ref().unwrap().not_before;
    assert_eq!(rig.run(stored), ["end succeeded completed"]);
    assert_eq!(rig.published.len(), 1);
}

/// A step that publishes an event with so long data for each of so many elements.
fn publish_each(count: usize, bytes: usize) -> Step {
    Step {
        for_each: Some(tripline_protocol::step::ForEach {
            items: json!(vec![0; count]),
            max: 200,
        }),
        on_error: OnError::Continue,
        ..publish(json!({ "etype": "a", "data": "x".repeat(bytes) }))
    }
}

#[test]
fn many_events_go_out_in_turns_and_each_once() {
    for (bytes, events_most) in [(10, 16), (400 * 1024, 3)] {
        let mut rig = Rig::new();
        let mut words = rig.run(job(vec![publish_each(40, bytes)]));
        let mut before = 0;
        while words == ["persist", "next turn"] {
            let events = rig.published.len() - before;
            assert_eq!(events, events_most);
            before = rig.published.len();
            let done = rig.stored.as_ref().unwrap().reports.iter();
            let done = done.filter(|report| report.output.is_some()).count();
            assert_eq!(done, before, "each is durable with what it says");
            words = rig.next_turn();
        }
        assert_eq!(words, ["end succeeded completed"]);
        let mut ids: Vec<_> = rig.published.iter().map(|event| event.id.clone()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        assert!(rig.next_turn().is_empty(), "it has ended");
    }
}

#[test]
fn the_command_before_many_events_may_be_forgotten_after_their_first_turn() {
    let mut rig = Rig::running(vec![list(), publish_each(20, 10), delete()]);
    let words = rig.answer(0, 1, json!({}));
    assert_eq!(words, ["persist", "ack 0/1", "next turn"]);
    assert_eq!(rig.next_turn(), ["persist", "announce", "execute 22/1"]);
    assert!(rig.next_turn().is_empty(), "it goes on already");
    let mut rig = Rig::running(vec![list(), publish_each(20, 10), delete()]);
    rig.answer(0, 1, json!({}));
    assert_eq!(rig.cancel(), ["persist", "end cancelled cancelled"]);
    assert!(rig.next_turn().is_empty());
}

#[test]
fn after_a_crash_between_two_turns_the_other_events_go_out() {
    let mut rig = Rig::new();
    rig.run(job(vec![publish_each(40, 10)]));
    let stored = crate::record::encode(rig.stored.as_ref().unwrap());
    let mut again = Rig::new();
    again.run_on(crate::record::decode("job", &stored).unwrap());
    let ids = |rig: &Rig| {
        rig.published
            .iter()
            .map(|event| event.id.clone())
            .collect::<Vec<_>>()
    };
    let mut all = [ids(&rig), ids(&again)].concat();
    assert_eq!(all.len(), 40);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
}

#[test]
fn events_of_one_turn_take_no_more_of_the_outbox_than_there_is() {
    let mut rig = Rig::new();
    rig.outbox_room = 5;
    assert_eq!(
        rig.run(job(vec![publish_each(10, 10)])),
        ["end succeeded completed"]
    );
    assert_eq!(rig.published.len(), 5);
    assert_eq!(error_of(&rig, 6), "outbox_full");
}
