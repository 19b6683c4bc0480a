//! Explanations of replays, of fan-outs, of what is forgotten, and of more than is told.

use crate::audit::ana;
use crate::events::{delivery, listening, stream};
use crate::explain::{explain, found, in_vain, key, of};
use crate::fanouts::{attached, ended, everywhere, submit, until};
use crate::fixture::{Fixture, Setup, config, eventually, rules};
use crate::replay::{delivered, letter, replay, stale};
use serde_json::json;
use tripline_actors::store::{Batch, Table};
use tripline_protocol::api::{LookupState, VerdictWord};
use tripline_protocol::{JobId, Org, Span};
use uuid::Uuid;

const SWEEP: &str = "name: sweep\non: [acme.>]\ntarget: all\njob: { steps: [ list_processes: {} ] }\n";
const LOOK: &str = "name: look\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
const KILL: &str =
    "name: kill\non: [acme.>]\njob: { steps: [ kill_process: { pid: \"{{ event.data.pid }}\" } ] }\n";

fn default_org() -> Option<Org> {
    Some(Org::default_org())
}

#[actix::test]
async fn what_was_decided_about_a_replay_is_told_with_what_was_done_before_it() {
    let (fixture, host_id) = listening(vec![LOOK, KILL]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let letters = fixture.published(".dead.default.missing_field", 1).await;
    let letter = letter(&fixture, &letters[0], 1);
    let look = "look".parse().unwrap();
    fixture.core.pause_pipeline(&ana(), look, None).await.unwrap();
    let (_, message) = replay(&fixture, &letter, false).await;
    let again = delivered(&fixture, &message, 2);
    fixture.core.ingest(vec![again]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    let look = of(&told, "look");
    assert_eq!(look.verdict, VerdictWord::Withheld, "{look:?}");
    assert_eq!(
        (look.reason.as_deref(), look.recorded, look.jobs.len()),
        (Some("paused"), true, 1)
    );
    assert!(
        look.text.starts_with("at replay 1: ana paused it") && look.text.ends_with("it made a job on amelie"),
        "{}",
        look.text
    );
    assert_eq!(told.jobs.len(), 1);
}

#[actix::test]
async fn an_event_whose_replay_began_a_fan_out_is_as_old_as_the_wish_for_it() {
    let (fixture, host_id) = listening(vec![SWEEP]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    let letter = stale(&fixture, event.clone()).await;
    let (_, message) = replay(&fixture, &letter, false).await;
    let again = delivered(&fixture, &message, 2);
    fixture.core.ingest(vec![again]).await.unwrap();
    fixture.core.set_rules(rules(&[SWEEP, LOOK]));
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!(of(&told, "sweep").verdict, VerdictWord::Acted);
    assert_eq!(
        of(&told, "look").verdict,
        VerdictWord::Unrecorded,
        "not too old: a person wanted it handled then"
    );
}

#[actix::test]
async fn a_job_of_a_fan_out_is_told_by_its_id_with_the_fan_out_and_its_event() {
    let (fixture, _) = listening(vec![SWEEP]).await;
    let _agents = attached(&fixture, 1).await;
    let event = delivery(&fixture, 1, "e1", json!({}));
    fixture.core.ingest(vec![event]).await.unwrap();
    let job = eventually("its job is made", || async {
        let jobs = fixture.store.scan(Table::Job, &[], None, 1).unwrap();
        let (id, _) = jobs.first()?;
        Some(JobId(Uuid::from_slice(id).unwrap()))
    })
    .await;
    let told = explain(&fixture, None, job.0, in_vain(LookupState::BrokerAway)).await;
    let jobs: Vec<JobId> = told.jobs.iter().map(|job| job.job.job_id).collect();
    assert_eq!((told.key, jobs), (Some(key("e1")), vec![job]));
    let fanouts: Vec<_> = told.fanouts.iter().map(|fanout| fanout.fanout_id).collect();
    assert_eq!((fanouts.len(), &of(&told, "sweep").fanouts), (1, &fanouts));
    // The event caused the fan-out, and no job by itself.
    let told = explain(&fixture, None, key("e1").0, in_vain(LookupState::BrokerAway)).await;
    assert_eq!((told.jobs.len(), told.fanouts.len()), (0, 1));
}

/// So many pipelines that act on every event; `more` says how.
fn many(count: usize, more: &str) -> &'static str {
    let one =
        |n: usize| format!("name: p-{n}\non: [acme.>]\n{more}job: {{ steps: [ list_processes: {{}} ] }}\n");
    let all: Vec<String> = (0..count).map(one).collect();
    Box::leak(all.join("---\n").into_boxed_str())
}

#[actix::test]
async fn so_many_fan_outs_of_an_event_are_told_with_the_one_that_was_asked_about_and_the_others_counted() {
    let (fixture, _) = listening(vec![many(102, "target: all\n")]).await;
    let event = delivery(&fixture, 1, "e1", json!({}));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!((told.fanouts.len(), told.fanouts_more), (100, 2));
    let is_told = |id| told.fanouts.iter().any(|fanout| fanout.fanout_id == id);
    let mut all = told.pipelines.iter().flat_map(|verdict| verdict.fanouts.clone());
    let left_out = all.find(|id| !is_told(*id)).unwrap();
    let by_id = explain(&fixture, None, left_out.0, found(&fixture, &event)).await;
    assert_eq!((by_id.fanouts.len(), by_id.fanouts_more), (100, 2));
    assert!(by_id.fanouts.iter().any(|fanout| fanout.fanout_id == left_out));
}

#[actix::test]
async fn the_job_that_was_asked_about_is_told_however_many_there_are() {
    let (fixture, host_id) = listening(vec![many(102, "")]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    let is_told = |id| told.jobs.iter().any(|job| job.job.job_id == id);
    let mut all = told.pipelines.iter().flat_map(|verdict| verdict.jobs.clone());
    let left_out = all.find(|id| !is_told(*id)).unwrap();
    let by_id = explain(&fixture, None, left_out.0, found(&fixture, &event)).await;
    assert_eq!((by_id.jobs.len(), by_id.jobs_more), (100, 2));
    assert!(by_id.jobs.iter().any(|job| job.job.job_id == left_out));
}

#[actix::test]
async fn for_a_fan_out_that_is_forgotten_no_stream_is_searched() {
    let mut config = config();
    config.jobs_retain = Span::from_secs(60);
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    stream(&fixture).await;
    fixture.enrol("away").await;
    let id = submit(&fixture, everywhere()).await;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    ended(&fixture, id).await;
    fixture.advance(61);
    eventually("it is forgotten", || async {
        (fixture.rows(Table::Fanout) == 0).then_some(())
    })
    .await;
    let fixture = fixture.restart().await;
    for org in [None, default_org()] {
        let located = fixture.core.locate(org.clone(), id.0).await.unwrap();
        assert_eq!((located.key, located.sequence), (None, None), "{org:?}");
        let lookup = in_vain(LookupState::NoEvent);
        let told = fixture.core.explain(org, located, lookup).await.unwrap();
        assert_eq!(told.forgotten, [JobId(id.0)]);
    }
    // Another org is told as little as of an id that nobody knows.
    let acme: Option<Org> = Some("acme".parse().unwrap());
    let located = fixture.core.locate(acme.clone(), id.0).await.unwrap();
    assert_eq!(located.key.map(|key| key.0), Some(id.0));
    let told = explain(&fixture, Some("acme"), id.0, in_vain(LookupState::NotFound)).await;
    assert!(told.is_empty(), "{told:#?}");
}

#[actix::test]
async fn to_find_the_place_of_an_event_its_jobs_are_not_read() {
    let (fixture, host_id) = listening(vec![LOOK]).await;
    let event = delivery(&fixture, 7, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let (id, _) = fixture.store.scan(Table::Job, &[], None, 1).unwrap().remove(0);
    let row = fixture.store.get(Table::Job, &id).unwrap().unwrap();
    let put = |value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(Table::Job, id.clone(), value);
        fixture.store.commit(batch, || {});
    };
    put(b"unreadable".to_vec());
    let located = fixture.core.locate(None, key("e1").0).await;
    put(row);
    assert_eq!(located.unwrap().sequence, Some(7));
}
