//! The record of decisions not to act: what is asked in the morning about an event of the night.

use crate::audit::ana;
use crate::events::{delivery, jobs, listening};
use crate::fixture::Fixture;
use serde_json::{Value, json};
use tripline_actors::store::{Batch, Table};
use tripline_protocol::api::{EventDecisions, PipelineView};
use tripline_protocol::{EventKey, FanoutId, Org, Timestamp};

const ONCE: &str = "name: once\non: [acme.>]\nsuppress: { key: \"{{ event.data.k }}\", per: 1h }\n\
                    job: { steps: [ list_processes: {} ] }\n";
const ALWAYS: &str = "name: always\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";

async fn offer(fixture: &Fixture, number: u64, data: Value) {
    let event = delivery(fixture, number, &format!("e{number}"), data);
    fixture.core.ingest(vec![event]).await.unwrap();
}

/// The decisions about event `e<number>` that a caller of `org` sees.
async fn decisions(fixture: &Fixture, org: Option<&str>, number: u64) -> EventDecisions {
    let key = EventKey::derive(&Org::default_org(), "test", &format!("e{number}"));
    let org = org.map(|org| org.parse().unwrap());
    fixture.core.decisions(org, key).await.unwrap()
}

async fn pipelines(fixture: &Fixture) -> Vec<PipelineView> {
    fixture.core.pipelines().await.unwrap().pipelines
}

#[actix::test]
async fn it_is_known_what_acted_on_an_event_and_what_did_not_and_why() {
    let (fixture, host_id) = listening(vec![ONCE, ALWAYS]).await;
    let data = json!({ "host_id": host_id, "k": "a" });
    offer(&fixture, 1, data.clone()).await;
    offer(&fixture, 2, data).await;
    let first = decisions(&fixture, None, 1).await;
    assert_eq!((first.jobs.len(), first.withheld.len()), (2, 0));
    let second = decisions(&fixture, None, 2).await;
    let acted = jobs(&fixture)
        .await
        .into_iter()
        .find(|job| job.event.as_ref().is_some_and(|event| event.id == "e2"));
    assert_eq!(second.jobs, [acted.unwrap().job_id]);
    let [withheld] = second.withheld.as_slice() else {
        panic!("{second:?}")
    };
    let listed = pipelines(&fixture).await;
    let once = listed
        .iter()
        .find(|pipeline| pipeline.name.as_str() == "once")
        .unwrap();
    assert_eq!(withheld.pipeline.as_ref(), Some(&once.name));
    assert_eq!(withheld.version.as_ref(), Some(&once.version));
    assert_eq!(
        (withheld.reason.as_str(), withheld.key.as_deref()),
        ("suppressed", Some("a"))
    );
    assert_eq!(
        (withheld.at, withheld.run, withheld.dead_letter),
        (fixture.now(), 0, false)
    );
    let counts: Vec<(&str, u64, u64)> = once
        .withheld
        .iter()
        .map(|count| (count.reason.as_str(), count.count, count.unrecorded))
        .collect();
    assert_eq!(counts, [("suppressed", 1, 0)]);

    let fixture = fixture.restart().await;
    assert_eq!(decisions(&fixture, None, 2).await, second);
    assert_eq!(decisions(&fixture, Some("default"), 2).await, second);
    let elsewhere = decisions(&fixture, Some("acme"), 2).await;
    assert!(
        elsewhere.jobs.is_empty() && elsewhere.withheld.is_empty(),
        "{elsewhere:?}"
    );
}

#[actix::test]
async fn a_decision_not_to_act_is_no_more_when_the_event_comes_again_and_it_acts() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    let data = json!({ "host_id": host_id, "k": "a" });
    offer(&fixture, 1, data.clone()).await;
    offer(&fixture, 2, data.clone()).await;
    assert_eq!(
        decisions(&fixture, None, 2).await.withheld[0].reason,
        "suppressed"
    );
    fixture.advance(3600);
    offer(&fixture, 2, data).await;
    let decided = decisions(&fixture, None, 2).await;
    assert_eq!(
        (decided.jobs.len(), decided.withheld.len()),
        (1, 0),
        "{decided:?}"
    );
    assert_eq!(fixture.rows(Table::WithheldByTime), 0);
}

#[actix::test]
async fn the_fan_outs_that_an_event_began_are_told_and_end_what_was_decided_before() {
    const SWEEP: &str = "name: sweep\non: [acme.>]\ntarget: all\nsuppress: { per: 1h }\n\
                         job: { steps: [ list_processes: {} ] }\n";
    let (fixture, _) = listening(vec![SWEEP]).await;
    offer(&fixture, 1, json!({})).await;
    let first = decisions(&fixture, None, 1).await;
    let key = EventKey::derive(&Org::default_org(), "test", "e1");
    let began = FanoutId::derive(key, &"sweep".parse().unwrap(), 0);
    assert_eq!((first.fanouts.as_slice(), first.jobs.len()), (&[began][..], 0));
    let elsewhere = decisions(&fixture, Some("acme"), 1).await;
    assert!(elsewhere.fanouts.is_empty(), "{elsewhere:?}");

    offer(&fixture, 2, json!({})).await;
    let held = decisions(&fixture, None, 2).await;
    assert_eq!((held.fanouts.len(), held.withheld.len()), (0, 1));
    fixture.advance(3600);
    offer(&fixture, 2, json!({})).await;
    let decided = decisions(&fixture, None, 2).await;
    assert_eq!(
        (decided.fanouts.len(), decided.withheld.len()),
        (1, 0),
        "{decided:?}"
    );
    assert_eq!(fixture.rows(Table::WithheldByTime), 0);
}

#[actix::test]
async fn what_is_listed_of_pipelines_waits_until_it_is_durable() {
    let (fixture, _) = listening(vec![ONCE]).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Holds the writer of the store: what comes after it waits. An error says that the sender is gone. An empty batch would
    // not get so far when everything is durable.
    let mut batch = Batch::new();
    batch.put(Table::HandledEvent, vec![7; 16], Vec::new());
    fixture.store.commit(batch, move || {
        let _ = held.recv();
    });
    let mut listed = Box::pin(fixture.core.pipelines());
    tokio::select! {
        biased;
        _ = &mut listed => panic!("it may show what is not durable yet"),
        slots = fixture.core.slots() => drop(slots.unwrap()),
    }
    drop(release);
    assert_eq!(listed.await.unwrap().pipelines.len(), 1);
}

#[actix::test]
async fn a_dead_letter_is_among_the_decisions() {
    let (fixture, _) = listening(vec![ALWAYS]).await;
    offer(&fixture, 1, json!({ "hostname": "nowhere" })).await;
    let decided = decisions(&fixture, None, 1).await;
    let [dead] = decided.withheld.as_slice() else {
        panic!("{decided:?}")
    };
    assert_eq!((dead.reason.as_str(), dead.dead_letter), ("unknown_host", true));
    assert_eq!(dead.pipeline, None);
    assert!(dead.text.contains("pipeline always"), "{}", dead.text);
}

#[actix::test]
async fn a_flood_that_is_suppressed_writes_a_bounded_number_of_rows_and_counts_all() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    let data = json!({ "host_id": host_id, "k": "a" });
    for batch in 0..10_u64 {
        let events = (0..200).map(|n| {
            let number = 1 + batch * 200 + n;
            delivery(&fixture, number, &format!("e{number}"), data.clone())
        });
        fixture.core.ingest(events.collect()).await.unwrap();
    }
    assert_eq!(jobs(&fixture).await.len(), 1);
    assert_eq!(fixture.rows(Table::Withheld), 100);
    assert_eq!(fixture.rows(Table::HandledEvent), 1);
    assert_eq!(fixture.rows(Table::Window), 1);
    let counts = &pipelines(&fixture).await[0].withheld;
    assert_eq!((counts[0].count, counts[0].unrecorded), (1_999, 1_899));
    assert_eq!(
        decisions(&fixture, None, 2).await.withheld.len(),
        1,
        "the first of a flood"
    );
    assert!(decisions(&fixture, None, 2_000).await.withheld.is_empty());
}

#[actix::test]
async fn a_paused_pipeline_says_who_paused_it_and_why() {
    let (fixture, host_id) = listening(vec![ALWAYS]).await;
    let name = "always".parse().unwrap();
    let reason = Some("INC-42".to_owned());
    fixture.core.pause_pipeline(&ana(), name, reason).await.unwrap();
    offer(&fixture, 1, json!({ "host_id": host_id })).await;
    let decided = decisions(&fixture, None, 1).await;
    let withheld = &decided.withheld[0];
    assert_eq!((withheld.reason.as_str(), &withheld.key), ("paused", &None));
    let second = fixture.now().as_micros() / 1_000_000 * 1_000_000;
    let since = Timestamp::from_micros(second);
    assert_eq!(withheld.text, format!("ana paused it at {since}: INC-42"));
}

#[actix::test]
async fn a_paused_pipeline_makes_no_dead_letter_of_an_event_whose_host_it_asks_for() {
    let picky = "name: picky\non: [acme.>]\nwhen: host.platform == 'linux'\n\
                 job: { steps: [ list_processes: {} ] }\n";
    let (fixture, _) = listening(vec![picky]).await;
    offer(&fixture, 1, json!({ "hostname": "nowhere" })).await;
    assert_eq!(
        decisions(&fixture, None, 1).await.withheld[0].reason,
        "unknown_host"
    );
    let name = "picky".parse().unwrap();
    fixture.core.pause_pipeline(&ana(), name, None).await.unwrap();
    offer(&fixture, 2, json!({ "hostname": "nowhere" })).await;
    let decided = decisions(&fixture, None, 2).await;
    let reasons: Vec<_> = decided.withheld.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["paused"]);
}

const DRY: &str = "name: dry\non: [acme.>]\ndry_run: true\nsuppress: { per: 1h }\nmax_in_flight: 1\n\
                   max_hosts: { count: 1, per: 1h }\n\
                   job: { steps: [ kill_process: { pid: \"{{ event.data.pid }}\" } ] }\n";

#[actix::test]
async fn a_dry_run_records_what_it_would_do_and_its_guards_count_as_if_it_had() {
    let (fixture, host_id) = listening(vec![DRY]).await;
    let data = json!({ "host_id": host_id, "pid": 42 });
    offer(&fixture, 1, data.clone()).await;
    offer(&fixture, 2, data.clone()).await;
    assert_eq!(jobs(&fixture).await, []);
    let decided = decisions(&fixture, None, 1).await;
    let [dry] = decided.withheld.as_slice() else {
        panic!("{decided:?}")
    };
    let would = dry.would.as_ref().unwrap();
    assert_eq!((dry.reason.as_str(), would.job.as_str()), ("dry_run", "dry"));
    assert_eq!((would.host.host_id, would.steps_omitted), (host_id, 0));
    let step = json!({"id": "step1", "kill_process": {"pid": 42}, "when": true});
    assert_eq!(would.steps, [step]);
    let reasons = |decided: &EventDecisions| decided.withheld[0].reason.clone();
    assert_eq!(reasons(&decisions(&fixture, None, 2).await), "suppressed");

    // It was handled, so it does not come again, and its job is not open.
    let fixture = fixture.restart().await;
    offer(&fixture, 1, data.clone()).await;
    assert_eq!(decisions(&fixture, None, 1).await, decided);
    fixture.advance(3600);
    offer(&fixture, 3, data).await;
    assert_eq!(reasons(&decisions(&fixture, None, 3).await), "dry_run");
    let listed = &pipelines(&fixture).await[0];
    assert!(listed.dry_run && listed.in_flight == 0, "{listed:?}");
}

#[actix::test]
async fn a_dry_run_that_cannot_be_rendered_is_a_dead_letter_as_ever() {
    let (fixture, host_id) = listening(vec![DRY]).await;
    offer(&fixture, 1, json!({ "host_id": host_id })).await;
    let decided = decisions(&fixture, None, 1).await;
    let [dead] = decided.withheld.as_slice() else {
        panic!("{decided:?}")
    };
    assert_eq!((dead.reason.as_str(), dead.dead_letter), ("missing_field", true));
}
