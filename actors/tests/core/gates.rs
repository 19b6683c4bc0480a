//! Pipelines that are closed to an event: disabled, of other orgs, for younger events.

use crate::events::{delivery, jobs, listening, stream};
use crate::fixture::{Fixture, Setup, rules};
use serde_json::json;
use tripline_actors::Delivery;
use tripline_actors::store::Table;
use tripline_protocol::{EventKey, Org, Span};

/// A pipeline over `acme.alert` with these keys.
macro_rules! pipeline {
    ($name:literal, $keys:literal) => {
        concat!(
            "name: ",
            $name,
            "\non: [acme.alert]\n",
            $keys,
            "\njob: { steps: [ list_processes: {} ] }\n"
        )
    };
}

/// The pipelines that made jobs, by name.
async fn tripped(fixture: &Fixture) -> Vec<String> {
    let jobs = jobs(fixture).await;
    let mut names: Vec<String> = jobs.iter().map(|job| job.name.to_string()).collect();
    names.sort();
    names
}

fn letters(fixture: &Fixture) -> Vec<String> {
    let letters = fixture.publisher.with(".dead.");
    letters.into_iter().map(|letter| letter.subject).collect()
}

#[actix::test]
async fn a_disabled_pipeline_is_listed_and_never_acts() {
    let off = pipeline!("off", "enabled: false");
    let (fixture, host_id) = listening(vec![off, pipeline!("on", "")]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["on"]);
    let listed = fixture.core.pipelines().await.unwrap().pipelines;
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.name.as_str(), one.enabled))
        .collect();
    assert_eq!(listed, [("off", false), ("on", true)]);

    // With nobody else, an event is as one to which nobody listens: without a host or too old, it is no dead letter.
    fixture.core.set_rules(rules(&[off]));
    let handled = fixture.rows(Table::HandledEvent);
    let old = delivery(&fixture, 2, "e2", json!({}));
    fixture.advance(2 * 3600);
    let young = delivery(&fixture, 3, "e3", json!({}));
    fixture.core.ingest(vec![old, young]).await.unwrap();
    assert_eq!(letters(&fixture), [""; 0]);
    assert_eq!(fixture.rows(Table::HandledEvent), handled);

    // Enabled again, it acts on what comes then.
    fixture
        .core
        .set_rules(rules(&[pipeline!("off", "enabled: true")]));
    let next = delivery(&fixture, 4, "e4", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![next]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["off", "on"]);
}

#[actix::test]
async fn an_event_of_another_org_does_not_trip_a_pipeline_of_one() {
    let pipelines = vec![
        pipeline!("any", ""),
        pipeline!("both", "orgs: [acme, default]"),
        pipeline!("one", "orgs: acme"),
    ];
    let (fixture, here) = listening(pipelines).await;
    let there = fixture.enrol_in(Some("acme"), "web").await.host_id;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": here }));
    fixture.core.ingest(vec![event]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["any", "both"]);
    let of_acme = Delivery {
        subject: "tripline.events.acme.acme.alert".into(),
        ..delivery(&fixture, 2, "e2", json!({ "host_id": there }))
    };
    fixture.core.ingest(vec![of_acme]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["any", "any", "both", "both", "one"]);
    assert_eq!(letters(&fixture), [""; 0]);
}

#[actix::test]
async fn an_event_too_old_for_one_pipeline_trips_another_that_takes_it() {
    let pipelines = vec![
        pipeline!("patient", "events: { max_age: 6h }"),
        pipeline!("plain", ""),
        pipeline!("hasty", "events: { max_age: 5m }"),
        pipeline!("off", "enabled: false\nevents: { max_age: 7d }"),
        pipeline!("theirs", "orgs: acme\nevents: { max_age: 7d }"),
    ];
    let fixture = Fixture::start_with(Setup {
        pipelines,
        ..Setup::default()
    });
    let host_id = fixture.enrol("amelie").await.host_id;
    stream(&fixture).await;
    let event = |sequence, id: &str| delivery(&fixture, sequence, id, json!({ "host_id": host_id }));
    let born_together = [event(1, "e1"), event(2, "e2"), event(3, "e3"), event(4, "e4")];
    let [young, hour, hours, day] = born_together;
    fixture.advance(5 * 60);
    fixture.core.ingest(vec![young]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["hasty", "patient", "plain"]);
    fixture.advance(55 * 60);
    fixture.core.ingest(vec![hour]).await.unwrap();
    let by_now = ["hasty", "patient", "patient", "plain", "plain"];
    assert_eq!(tripped(&fixture).await, by_now, "the hasty one finds it too old");
    fixture.advance(5 * 3600);
    fixture.core.ingest(vec![hours]).await.unwrap();
    assert_eq!(tripped(&fixture).await.len(), 6, "only the patient one takes it");
    assert_eq!(letters(&fixture), [""; 0], "what one takes is not stale");
    fixture.advance(1);
    fixture.core.ingest(vec![day]).await.unwrap();
    let letters = fixture.published(".dead.default.stale", 1).await;
    assert_eq!(tripped(&fixture).await.len(), 6);
    let text = letters[0]
        .headers
        .iter()
        .find(|(name, _)| name == "Tripline-Dead-Text");
    let oldest = Span::from_secs(6 * 3600);
    let expected = format!("the event is 6h 1s old, at most {oldest} is taken");
    assert_eq!(text.map(|(_, text)| text.as_str()), Some(&*expected));
}

#[actix::test]
async fn an_event_too_old_for_one_pipeline_is_not_lost_because_another_looks_at_it() {
    // By `re` no index can tell: the second one looks at every event, and takes none of these.
    let looks = pipeline!(
        "looks",
        "events: { max_age: 7d }\nwhen: re(event.data.p, \"^foo\")"
    );
    let picky = pipeline!("picky", "when: re(event.data.p, \"^ba\")");
    let on_linux = pipeline!(
        "on-linux",
        "when: host.platform == \"linux\" && re(event.data.p, \"^q\")"
    );
    let (fixture, host_id) = listening(vec![pipeline!("plain", ""), looks]).await;
    let born =
        |sequence, id: &str, p: &str| delivery(&fixture, sequence, id, json!({ "host_id": host_id, "p": p }));
    let [bar, foo, baz, nothing] = [
        born(1, "e1", "bar"),
        born(2, "e2", "foo"),
        born(3, "e3", "baz"),
        born(4, "e4", "x"),
    ];
    let nowhere = delivery(&fixture, 5, "e5", json!({ "hostname": "nowhere", "p": "q" }));
    fixture.advance(2 * 3600);
    fixture.core.ingest(vec![bar]).await.unwrap();
    fixture.published(".dead.default.stale", 1).await;
    assert_eq!(stale_for(&fixture, "e1").await, ["plain", "letter"]);

    // What one takes is no dead letter, and the other is on record.
    fixture.core.ingest(vec![foo]).await.unwrap();
    assert_eq!(tripped(&fixture).await, ["looks"]);
    assert_eq!(stale_for(&fixture, "e2").await, ["plain"]);
    let listed = fixture.core.pipelines().await.unwrap().pipelines;
    let plain = listed.iter().find(|one| one.name.as_str() == "plain").unwrap();
    let counts = plain.withheld.iter().map(|one| (one.reason.as_str(), one.count));
    assert_eq!(counts.collect::<Vec<_>>(), [("stale", 2)]);

    // Only whom it matches finds it too old; where the host is not known, nobody can say that it does not.
    fixture.core.set_rules(rules(&[picky, on_linux]));
    fixture.core.ingest(vec![baz, nothing, nowhere]).await.unwrap();
    fixture.published(".dead.default.stale", 3).await;
    assert_eq!(stale_for(&fixture, "e3").await, ["picky", "letter"]);
    assert_eq!(stale_for(&fixture, "e4").await, [""; 0]);
    assert_eq!(stale_for(&fixture, "e5").await, ["on-linux", "letter"]);
    assert_eq!(letters(&fixture).len(), 3);
}

/// The pipelines that find this event too old, and `letter` if it is a dead letter for that.
async fn stale_for(fixture: &Fixture, id: &str) -> Vec<String> {
    let key = EventKey::derive(&Org::default_org(), "test", id);
    let withheld = fixture.core.decisions(None, key).await.unwrap().withheld;
    let stale = withheld.into_iter().filter(|one| one.reason == "stale");
    let mut names: Vec<_> = stale
        .map(|one| {
            assert_eq!(one.dead_letter, one.pipeline.is_none());
            one.pipeline.map_or("letter".to_owned(), |name| name.to_string())
        })
        .collect();
    names.sort_by_key(|name| name == "letter");
    names
}
