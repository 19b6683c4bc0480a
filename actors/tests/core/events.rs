//! Events of the stream: what they cause, once.

use crate::fixture::{Fixture, Setup, rules};
use serde_json::{Value, json};
use tripline_actors::ports::OutMessage;
use tripline_actors::store::Table;
use tripline_actors::{Delivery, IngestPosition, JobFilter};
use tripline_protocol::api::JobView;
use tripline_protocol::{Attestation, Event, EventKey, HostId, Org, Timestamp};

/// A pipeline over all of `acme` that lists processes.
pub(crate) const LISTEN: &str = "name: listen\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
/// One that needs an argument of the event.
const KILL: &str =
    "name: kill\non: [acme.kill]\njob: { steps: [ kill_process: { pid: \"{{ event.data.pid }}\" } ] }\n";

const CREATED: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Introduces the stream.
pub(crate) async fn stream(fixture: &Fixture) {
    let position = IngestPosition {
        stream_created: CREATED,
        last_sequence: 0,
    };
    fixture.core.set_ingest_position(position).await.unwrap();
}

/// An event `acme.alert` as somebody published it.
pub(crate) fn delivery(fixture: &Fixture, sequence: u64, id: &str, data: Value) -> Delivery {
    of_type(fixture, "acme.alert", sequence, id, data)
}

fn of_type(fixture: &Fixture, etype: &str, sequence: u64, id: &str, data: Value) -> Delivery {
    let envelope = json!({
        "specversion": "1.0", "id": id, "source": "test", "type": etype,
        "time": fixture.now(), "data": data,
    });
    Delivery {
        subject: format!("tripline.events.default.{etype}"),
        headers: vec![("X-Kept".into(), "yes".into()), ("Nats-Msg-Id".into(), id.into())],
        payload: envelope.to_string().into_bytes().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    }
}

pub(crate) async fn listening(pipelines: Vec<&'static str>) -> (Fixture, HostId) {
    let fixture = Fixture::start_with(Setup {
        pipelines,
        ..Setup::default()
    });
    let host = fixture.enrol("amelie").await;
    stream(&fixture).await;
    (fixture, host.host_id)
}

pub(crate) async fn jobs(fixture: &Fixture) -> Vec<JobView> {
    let all = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    fixture.core.list_jobs(all).await.unwrap().items
}

fn header<'a>(message: &'a OutMessage, name: &str) -> Option<&'a str> {
    let found = message.headers.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.as_str())
}

/// Offers an event and gives the dead letter it becomes.
async fn dead(fixture: &Fixture, delivery: Delivery, reason: &str) -> OutMessage {
    fixture.core.ingest(vec![delivery.clone()]).await.unwrap();
    let letter = fixture
        .published(&format!(".dead.default.{reason}"), 1)
        .await
        .remove(0);
    assert_eq!(header(&letter, "Tripline-Dead-Reason"), Some(reason));
    assert_eq!(
        header(&letter, "Tripline-Dead-Subject"),
        Some(delivery.subject.as_str())
    );
    assert_eq!(
        header(&letter, "X-Kept"),
        Some("yes"),
        "the delivery's own headers are kept"
    );
    assert_eq!(header(&letter, "Nats-Msg-Id"), None, "the broker's are not");
    assert_eq!(letter.payload, delivery.payload, "it is kept whole");
    letter
}

#[actix::test]
async fn an_event_trips_a_pipeline_on_its_host() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "hostname": "Amelie" }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let jobs = jobs(&fixture).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].host.host_id, host_id);
    assert_eq!(jobs[0].pipeline.as_ref().unwrap().name.as_str(), "listen");
    assert_eq!(jobs[0].event.as_ref().unwrap().id, "e1");
    let position = fixture.core.ingest_position().await.unwrap();
    assert_eq!(
        position,
        Some(IngestPosition {
            stream_created: CREATED,
            last_sequence: 1
        })
    );
}

#[actix::test]
async fn an_event_that_is_called_a_detection_and_is_none_becomes_a_dead_letter() {
    let detect = "name: detect\non: [detection]\njob: { steps: [ list_processes: {} ] }\n";
    let (fixture, host_id) = listening(vec![detect]).await;
    let of = |sequence, data| of_type(&fixture, "detection", sequence, &sequence.to_string(), data);
    let bad = of(1, json!({ "host_id": host_id, "category": "miner" }));
    dead(&fixture, bad, "bad_detection").await;
    let good = of(2, json!({ "host_id": host_id, "cat": "miner" }));
    fixture.core.ingest(vec![good]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 1);
}

#[actix::test]
async fn the_same_event_causes_its_job_once_however_often_it_comes() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let data = json!({ "host_id": host_id });
    let event = |sequence| delivery(&fixture, sequence, "e1", data.clone());
    // In one batch, in batches that are under way together, and later.
    let together = [
        fixture.core.ingest(vec![event(1), event(2)]),
        fixture.core.ingest(vec![event(3)]),
        fixture.core.ingest(vec![event(4)]),
    ];
    for handled in together {
        handled.await.unwrap();
    }
    fixture.core.ingest(vec![event(1)]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 1);
    // The list goes by id: that one job is queued once is seen at its host.
    let host = fixture.core.get_host(None, host_id.to_string()).await.unwrap();
    assert_eq!((host.jobs_open, fixture.rows(Table::OpenJob)), (1, 1));
    let fixture = fixture.restart().await;
    let again = delivery(&fixture, 1, "e1", data);
    fixture.core.ingest(vec![again]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 1);
}

#[actix::test]
async fn a_redelivery_under_other_rules_decides_nothing_new() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    const MORE: &str = "name: more\non: [acme.alert]\njob: { steps: [ list_processes: {} ] }\n";
    fixture.core.set_rules(rules(&[LISTEN, MORE]));
    fixture.core.ingest(vec![event]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 1);
    let next = delivery(&fixture, 2, "e2", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![next]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 3, "a new event trips both");
    fixture.core.refuse_rules("line 3".into());
    let view = fixture.core.pipelines().await.unwrap();
    assert_eq!((view.pipelines.len(), view.refused), (2, Some("line 3".into())));
}

#[actix::test]
async fn where_nothing_listens_nothing_is_written() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    fixture
        .core
        .ingest(vec![of_type(&fixture, "other", 1, "e0", json!({}))])
        .await
        .unwrap();
    let written = || fixture.store.get(Table::Meta, b"ingest.position").unwrap();
    let before = (written(), fixture.rows(Table::Outbox));
    for n in 2..20 {
        let event = of_type(&fixture, "other", n, &format!("e{n}"), json!({}));
        fixture.core.ingest(vec![event]).await.unwrap();
    }
    assert_eq!((written(), fixture.rows(Table::Outbox)), before);
    assert_eq!(fixture.rows(Table::HandledEvent), 0);
    let position = fixture.core.ingest_position().await.unwrap().unwrap();
    assert_eq!(position.last_sequence, 19, "it is known all the same");
}

#[actix::test]
async fn an_old_event_is_stale_unless_it_was_handled_in_time() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let handled = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    let missed = delivery(&fixture, 2, "e2", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![handled.clone()]).await.unwrap();
    fixture.advance(3601);
    fixture.core.ingest(vec![handled]).await.unwrap();
    dead(&fixture, missed, "stale").await;
    assert_eq!(fixture.publisher.with(".dead.").len(), 1);
    assert_eq!(jobs(&fixture).await.len(), 1);
}

#[actix::test]
async fn an_event_delivered_too_often_is_poison() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let poison = Delivery {
        delivered: 6,
        ..delivery(&fixture, 1, "e1", json!({ "host_id": host_id }))
    };
    dead(&fixture, poison, "poison").await;
    assert_eq!(jobs(&fixture).await, []);
}

#[actix::test]
async fn an_event_whose_host_cannot_be_found_is_a_dead_letter() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    fixture.enrol("amelie").await;
    let elsewhere = fixture.enrol_in(Some("acme"), "web").await;
    let table = [
        ("no_host", json!({})),
        ("unknown_host", json!({ "hostname": "nobody" })),
        ("ambiguous_host", json!({ "hostname": "amelie" })),
    ];
    for (sequence, (reason, data)) in (1..).zip(table) {
        let letter = dead(&fixture, delivery(&fixture, sequence, reason, data), reason).await;
        let text = header(&letter, "Tripline-Dead-Text").unwrap();
        assert!(text.starts_with("pipeline listen: "), "{text}");
    }
    let foreign = delivery(&fixture, 9, "e9", json!({ "host_id": elsewhere.host_id }));
    fixture.core.ingest(vec![foreign]).await.unwrap();
    fixture.published(".dead.default.unknown_host", 2).await;
    assert_eq!(jobs(&fixture).await, []);
}

#[actix::test]
async fn age_and_host_of_an_event_matter_only_to_pipelines_whose_condition_it_may_meet() {
    let when = "name: when\non: [acme.>]\nwhen: event.data.kind == 'x' && host.platform == 'linux'\njob: { steps: [ list_processes: {} ] }\n";
    let (fixture, _) = listening(vec![when]).await;
    let of_kind = |kind: &str| json!({ "hostname": "nobody", "kind": kind });
    let unwanted = [of_kind("y"), json!({ "hostname": "nobody" })];
    let events = (1..).zip(unwanted).map(|(sequence, data)| {
        let id = format!("e{sequence}");
        delivery(&fixture, sequence, &id, data)
    });
    fixture.core.ingest(events.collect()).await.unwrap();
    dead(
        &fixture,
        delivery(&fixture, 3, "e3", of_kind("x")),
        "unknown_host",
    )
    .await;
    assert_eq!(fixture.publisher.with(".dead.").len(), 1);
}

#[actix::test]
async fn an_event_that_nobody_understands_is_a_dead_letter() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    let mut mismatch = delivery(&fixture, 1, "e1", json!({}));
    mismatch.subject = "tripline.events.default.acme.other".into();
    dead(&fixture, mismatch, "etype_mismatch").await;
    let mut garbage = delivery(&fixture, 2, "e2", json!({}));
    garbage.payload = b"{".to_vec().into();
    dead(&fixture, garbage, "not_json").await;
}

#[actix::test]
async fn an_argument_that_the_event_lacks_is_a_dead_letter_and_others_go_on() {
    let (fixture, host_id) = listening(vec![LISTEN, KILL]).await;
    let event = of_type(&fixture, "acme.kill", 1, "e1", json!({ "host_id": host_id }));
    let letter = dead(&fixture, event, "missing_field").await;
    assert!(
        header(&letter, "Tripline-Dead-Text")
            .unwrap()
            .starts_with("pipeline kill: ")
    );
    let names: Vec<_> = jobs(&fixture)
        .await
        .into_iter()
        .map(|job| job.name.to_string())
        .collect();
    assert_eq!(names, ["listen"]);
    let whole = of_type(
        &fixture,
        "acme.kill",
        2,
        "e2",
        json!({ "host_id": host_id, "pid": 42 }),
    );
    fixture.core.ingest(vec![whole]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 3);
}

#[actix::test]
async fn a_refused_batch_blocks_later_ones_until_it_is_offered_again() {
    let mut setup = Setup {
        pipelines: vec![LISTEN],
        ..Setup::default()
    };
    setup.config.outbox_max = 10;
    let fixture = Fixture::start_with(setup);
    stream(&fixture).await;
    fixture.publisher.set_away(true);
    for n in 0..8 {
        fixture.core.publish_event(event(&fixture, n)).await.unwrap();
    }
    let refusal = fixture.core.publish_event(event(&fixture, 8)).await.unwrap_err();
    assert_eq!(refusal.code(), "busy");
    let one = |sequence: u64| vec![delivery(&fixture, sequence, &format!("e{sequence}"), json!({}))];
    assert_eq!(fixture.core.ingest(one(1)).await.unwrap_err().code(), "busy");
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    crate::fixture::eventually("there is room", || async {
        fixture.core.readiness().outbox.then_some(())
    })
    .await;
    assert_eq!(
        fixture.core.ingest(one(2)).await.unwrap_err().code(),
        "busy",
        "it would overtake"
    );
    fixture.core.ingest(one(1)).await.unwrap();
    fixture.core.ingest(one(2)).await.unwrap();
    let position = fixture.core.ingest_position().await.unwrap().unwrap();
    assert_eq!(position.last_sequence, 2);
}

fn event(fixture: &Fixture, n: u32) -> Event {
    let (org, id) = (Org::default_org(), format!("p{n}"));
    Event {
        key: EventKey::derive(&org, "test", &id),
        id,
        org,
        source: "test".into(),
        etype: "other".parse().unwrap(),
        host: None,
        time: fixture.now(),
        data: json!({ "n": n }),
        attested_by: Attestation::Publisher,
        depth: 0,
        traceparent: None,
    }
}

#[actix::test]
async fn an_event_that_an_edge_took_is_published_whole() {
    let fixture = Fixture::start();
    let taken = fixture.core.publish_event(event(&fixture, 1)).await.unwrap();
    let messages = fixture.published(".events.default.other", 1).await;
    assert_eq!(messages[0].message_id, taken.key.to_string());
    let body: Value = serde_json::from_slice(&messages[0].payload).unwrap();
    assert_eq!((&body["id"], &body["data"]), (&json!("p1"), &json!({ "n": 1 })));
    let endless = Event {
        data: json!("x".repeat(800 * 1024)),
        ..event(&fixture, 2)
    };
    assert_eq!(
        fixture.core.publish_event(endless).await.unwrap_err().code(),
        "too_large"
    );
}

#[actix::test]
async fn before_its_stream_is_known_no_event_is_taken() {
    let fixture = Fixture::start();
    assert_eq!(fixture.core.ingest_position().await.unwrap(), None);
    let event = delivery(&fixture, 1, "e1", json!({}));
    assert_eq!(
        fixture.core.ingest(vec![event]).await.unwrap_err().code(),
        "unavailable"
    );
}
