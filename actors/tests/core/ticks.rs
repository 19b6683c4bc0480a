//! Ticks of the clock, with a clock that is turned by hand.

use crate::client::data;
use crate::events::{delivery, jobs, stream};
use crate::explain::{explain, found, of};
use crate::fixture::{Fixture, Setup, eventually, rules};
use crate::recorder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tripline_actors::ports::OutMessage;
use tripline_actors::store::Table;
use tripline_actors::{CoreConfig, Delivery};
use tripline_protocol::Span;
use tripline_protocol::api::VerdictWord;

const HOUR: u64 = 3600;
const HOURLY: &str = "name: hourly\non: [sensor_per_1h]\njob: { steps: [ list_processes: {} ] }\n";

fn listening(pipelines: Vec<&'static str>) -> Setup {
    Setup {
        pipelines,
        ..Setup::default()
    }
}

fn ids(messages: &[OutMessage]) -> BTreeSet<&str> {
    messages
        .iter()
        .map(|message| message.message_id.as_str())
        .collect()
}

/// The broker brings a tick back.
fn returned(message: &OutMessage, fixture: &Fixture, sequence: u64) -> Delivery {
    Delivery {
        subject: message.subject.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    }
}

#[actix::test]
async fn a_host_has_its_tick_which_trips_the_pipeline_that_listens() {
    let fixture = Fixture::start_with(listening(vec![HOURLY]));
    let host = fixture.enrol("amelie").await;
    stream(&fixture).await;
    fixture.advance(HOUR);
    let tick = fixture
        .published(".events.default.sensor_per_1h", 1)
        .await
        .remove(0);
    let event: Value = serde_json::from_slice(&tick.payload).unwrap();
    assert_eq!(event["source"], "tripline/timekeeper");
    assert_eq!(event["hostid"], json!(host.host_id));
    assert_eq!(event["data"], json!({ "sid": host.host_id }));
    let again = returned(&tick, &fixture, 2);
    fixture
        .core
        .ingest(vec![returned(&tick, &fixture, 1), again])
        .await
        .unwrap();
    let jobs = jobs(&fixture).await;
    assert_eq!(jobs.len(), 1, "the same tick is one event");
    assert_eq!(jobs[0].host.host_id, host.host_id);
    assert_eq!(
        fixture.publisher.with(".org_per_").len(),
        0,
        "nobody listens to these"
    );
}

#[actix::test]
async fn a_tick_that_was_on_its_way_for_as_long_as_its_period_is_taken_and_others_are_not() {
    let daily = "name: daily\non: [sensor_per_24h]\njob: { steps: [ list_processes: {} ] }\n";
    let fixture = Fixture::start_with(listening(vec![daily]));
    fixture.enrol("amelie").await;
    stream(&fixture).await;
    fixture.advance(24 * HOUR);
    let tick = fixture.published(".sensor_per_24h", 1).await.remove(0);
    fixture.advance(23 * HOUR);
    let mut forged: Value = serde_json::from_slice(&tick.payload).unwrap();
    forged["source"] = json!("somebody");
    let forged = OutMessage {
        payload: forged.to_string().into_bytes(),
        headers: vec![("Content-Type".into(), "application/cloudevents+json".into())],
        ..tick.clone()
    };
    let late = vec![returned(&forged, &fixture, 1), returned(&tick, &fixture, 2)];
    fixture.core.ingest(late).await.unwrap();
    let jobs = jobs(&fixture).await;
    assert_eq!(jobs.len(), 1, "the other is stale");
    let stale = fixture.published(".dead.default.stale", 1).await;
    assert_eq!(stale.len(), 1);
}

#[actix::test]
async fn of_a_tick_that_was_long_on_its_way_explain_knows_that_it_was_not_too_old() {
    let daily = "name: daily\non: [sensor_per_24h]\njob: { steps: [ list_processes: {} ] }\n";
    let nobody = "name: daily\non: [sensor_per_24h]\nwhen: event.data.sid == 'x'\njob: { steps: [ list_processes: {} ] }\n";
    let fixture = Fixture::start_with(listening(vec![nobody]));
    fixture.enrol("amelie").await;
    stream(&fixture).await;
    fixture.advance(24 * HOUR);
    let tick = fixture.published(".sensor_per_24h", 1).await.remove(0);
    fixture.advance(23 * HOUR);
    let late = returned(&tick, &fixture, 1);
    fixture.core.ingest(vec![late.clone()]).await.unwrap();
    assert_eq!(fixture.rows(Table::HandledEvent), 0, "nothing is recorded of it");
    fixture.core.set_rules(rules(&[daily]));
    let verdict = eventually("the rules are in force", || async {
        let found = found(&fixture, &late);
        let key = found.found.as_ref().unwrap().event.key.0;
        let told = explain(&fixture, None, key, found).await;
        let verdict = of(&told, "daily").verdict;
        (verdict != VerdictWord::Condition).then_some(verdict)
    })
    .await;
    assert_eq!(verdict, VerdictWord::Unrecorded, "it would be taken");
}

#[actix::test]
async fn a_tick_that_a_threshold_counted_is_remembered_as_long_as_it_is_taken() {
    let twice = "name: twice\non: [sensor_per_24h]\nsuppress: { min: 2, per: 12h }\njob: { steps: [ list_processes: {} ] }\n";
    let other = "name: other\non: [acme.alert]\nsuppress: { min: 2, per: 12h }\njob: { steps: [ list_processes: {} ] }\n";
    let fixture = Fixture::start_with(listening(vec![twice, other]));
    let host = fixture.enrol("amelie").await;
    stream(&fixture).await;
    fixture.advance(24 * HOUR);
    let tick = fixture.published(".sensor_per_24h", 1).await.remove(0);
    let alert = delivery(&fixture, 2, "e1", json!({ "host_id": host.host_id }));
    let counted = vec![returned(&tick, &fixture, 1), alert];
    fixture.core.ingest(counted).await.unwrap();
    assert_eq!(fixture.rows(Table::HandledEvent), 2);
    fixture.advance(2 * HOUR);
    eventually("what is too old by now is forgotten", || async {
        (fixture.rows(Table::HandledEvent) < 2).then_some(())
    })
    .await;
    let again = returned(&tick, &fixture, 1);
    fixture.core.ingest(vec![again]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 0, "the same tick counts once");
}

#[actix::test]
async fn after_a_downtime_there_is_one_tick_for_all_that_were_missed() {
    let fixture = Fixture::start_with(listening(vec![HOURLY]));
    fixture.enrol("amelie").await;
    fixture.advance(HOUR);
    let before = fixture.published(".sensor_per_1h", 1).await;
    let fixture = fixture
        .restart_with(|setup| setup.clock.advance(Span::from_secs(50 * HOUR)))
        .await;
    // What the broker may not have synced goes out again, under its old id.
    let news = |count| {
        let (fixture, before) = (&fixture, ids(&before));
        async move {
            eventually("ticks", || async {
                let published = fixture.publisher.with(".sensor_per_1h");
                let found = ids(&published).difference(&before).count();
                (found >= count).then_some(found)
            })
            .await
        }
    };
    news(1).await;
    // Were there more than one, they would come before the next.
    fixture.advance(HOUR);
    assert_eq!(news(2).await, 2);
}

#[actix::test]
async fn ticks_wait_while_the_outbox_is_full_and_none_is_lost_or_doubled() {
    let setup = Setup {
        config: CoreConfig {
            outbox_max: 20,
            ..Setup::default().config
        },
        ..listening(vec![HOURLY])
    };
    recorder::install();
    let fixture = Fixture::start_with(setup);
    for number in 0..40 {
        fixture.enrol(&format!("host-{number}")).await;
        fixture.published(".new_sensor", number + 1).await;
    }
    fixture.publisher.set_away(true);
    // Two looks are to come before the hour is over.
    fixture.advance(HOUR - 2);
    eventually("the outbox is full", || async {
        (!fixture.core.readiness().outbox).then_some(())
    })
    .await;
    let thread = fixture.thread().await;
    let late = || recorder::gauge(thread, "tripline_timekeeper_late_seconds").unwrap_or(0.0);
    // Each look of the timekeeper comes after a turn that found no room, and after some of the fan-outs' turns.
    for _ in 0..2 {
        let before = late();
        fixture.advance(1);
        eventually("those that wait are looked at", || async {
            (late() != before).then_some(())
        })
        .await;
    }
    let refused = recorder::counter(thread, "tripline_admission_refused_total outbox");
    assert_eq!(refused, 0, "nobody asked for anything");
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    let ticks = fixture.published(".sensor_per_1h", 40).await;
    assert_eq!((ids(&ticks).len(), ticks.len()), (40, 40));
    fixture.advance(HOUR);
    let ticks = fixture.published(".sensor_per_1h", 80).await;
    assert_eq!((ids(&ticks).len(), ticks.len()), (80, 80));
}

#[actix::test]
async fn ticks_begin_and_end_with_those_who_listen() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    assert_eq!(fixture.rows(Table::Clock), 0);
    fixture.advance(10 * HOUR);
    let daily = "name: daily\non: [org_per_24h]\njob: { steps: [ list_processes: {} ] }\n";
    fixture.core.set_rules(rules(&[HOURLY, daily]));
    eventually("two clocks", || async {
        (fixture.rows(Table::Clock) == 2).then_some(())
    })
    .await;
    fixture.advance(HOUR);
    fixture.published(".sensor_per_1h", 1).await;
    fixture.advance(24 * HOUR);
    let tick = fixture.published(".events.default.org_per_24h", 1).await;
    assert_eq!(data(&tick[0]), json!({}));
    fixture.core.set_rules(rules(&[]));
    eventually("no clock", || async {
        (fixture.rows(Table::Clock) == 0).then_some(())
    })
    .await;
}

#[actix::test]
async fn a_tick_of_a_service_trips_no_pipeline() {
    let once = "name: once\non: [once_per_1h]\njob: { steps: [ list_processes: {} ] }\n";
    let fixture = Fixture::start_with(listening(vec![once]));
    let host = fixture.enrol("amelie").await;
    stream(&fixture).await;
    let tick = |sequence, data: Value| {
        let mut delivery = delivery(&fixture, sequence, &sequence.to_string(), data);
        let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
        let text = text.replace("acme.alert", "once_per_1h");
        delivery.payload = text
            .replace("\"test\"", "\"tripline/timekeeper\"")
            .into_bytes()
            .into();
        delivery.subject = "tripline.events.default.once_per_1h".into();
        delivery
    };
    let own = tick(1, json!({ "service": "yara", "host_id": host.host_id }));
    fixture.core.ingest(vec![own.clone()]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 0);
    let found = found(&fixture, &own);
    let key = found.found.as_ref().unwrap().event.key.0;
    let told = explain(&fixture, None, key, found).await;
    assert!(told.pipelines.is_empty(), "{:?}", told.pipelines);
    assert_eq!(told.not_listening, 1);
    let of_pipelines = tick(2, json!({ "host_id": host.host_id }));
    fixture.core.ingest(vec![of_pipelines]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 1);
}
