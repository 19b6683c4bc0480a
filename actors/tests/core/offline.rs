//! Jobs for a host that is away: they wait in order, can be recalled until they start, run when it comes, and their
//! results are like any other.

use crate::events::{delivery, jobs, listening};
use crate::fixture::{Fixture, delete, list, request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tripline_actors::JobFilter;
use tripline_actors::ports::OutMessage;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{HostId, JobId, Span};

async fn queued(fixture: &Fixture, host_id: HostId) -> Vec<JobId> {
    let filter = JobFilter {
        host: Some(host_id),
        state: Some(JobState::Queued),
        limit: 2,
        ..JobFilter::default()
    };
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let filter = JobFilter {
            after,
            ..filter.clone()
        };
        let page = fixture.core.list_jobs(filter).await.unwrap();
        assert!(page.items.len() <= 2);
        ids.extend(page.items.iter().map(|job| job.job_id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

async fn place(fixture: &Fixture, job: &JobView) -> (String, u64) {
    let view = fixture.core.get_job(None, job.job_id).await.unwrap();
    let waiting = view.waiting.expect("it waits");
    (waiting.reason.code, waiting.position)
}

#[actix::test]
async fn jobs_of_a_host_that_is_away_wait_in_order_and_run_in_it_when_the_host_comes() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut submitted = Vec::new();
    for _ in 0..3 {
        submitted.push(fixture.submit(host.host_id, vec![delete()]).await);
        // Each has a time of its own.
        fixture.advance(1);
    }
    let fixture = fixture.restart().await;
    for (index, job) in submitted.iter().enumerate() {
        assert_eq!(
            place(&fixture, job).await,
            ("host_offline".into(), 1 + index as u64)
        );
    }
    let newest_first: Vec<JobId> = submitted.iter().rev().map(|job| job.job_id).collect();
    assert_eq!(queued(&fixture, host.host_id).await, newest_first);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    for job in &submitted {
        let command = agent.obey().await;
        let view = fixture.ended(job.job_id).await;
        assert_eq!(view.state, JobState::Ended(Outcome::Succeeded), "{command:?}");
    }
    assert_eq!(queued(&fixture, host.host_id).await, []);
}

#[actix::test]
async fn a_job_for_a_host_that_is_away_is_recalled_until_it_starts() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let recalled = fixture.submit(host.host_id, vec![delete()]).await;
    let next = fixture.submit(host.host_id, vec![list()]).await;
    let view = fixture.core.cancel_job(None, recalled.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(view.started_at, None);
    assert_eq!(place(&fixture, &next).await, ("host_offline".into(), 1));
    let again = fixture.core.cancel_job(None, recalled.job_id).await.unwrap_err();
    assert_eq!(again.code(), "job_ended");
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    let view = fixture.ended(next.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded));
    let late = fixture.core.cancel_job(None, next.job_id).await.unwrap_err();
    assert_eq!(late.code(), "job_ended");
    let results = fixture.published(".results.", 2).await;
    let cancelled = |message: &&OutMessage| message.message_id == recalled.job_id.to_string();
    let data = data_of(results.iter().find(cancelled).unwrap());
    assert_eq!(data["steps"][0]["status"], "skipped", "nothing of it ever ran");
}

#[actix::test]
async fn a_job_expires_in_its_own_time_whatever_waits_before_it() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let long = fixture.submit(host.host_id, vec![delete()]).await;
    let mut short = request(host.host_id, vec![delete()]);
    short.job.as_mut().unwrap().expires = Some(Span::from_secs(10));
    let short = fixture.core.submit_job(short).await.unwrap();
    fixture.advance(11);
    let view = fixture.ended(short.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Expired));
    assert_eq!(place(&fixture, &long).await, ("host_offline".into(), 1));
}

fn data_of(message: &OutMessage) -> Value {
    let envelope: Value = serde_json::from_slice(&message.payload).unwrap();
    envelope["data"].clone()
}

/// What a result is made of: every path to a value, with the value unless it differs from job to job.
fn shape(message: &OutMessage) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| walk(&format!("{path}.{key}"), value, into)),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(index, value)| walk(&format!("{path}.{index}"), value, into)),
            _ => {
                let own = ["id", "job_id", "time", "traceparent"];
                let last = path.rsplit('.').next().unwrap();
                let is_own = (own.contains(&last) && !path.contains("steps")) || last.ends_with("_at");
                into.insert(path.to_owned(), if is_own { Value::Null } else { value.clone() });
            }
        }
    }
    let mut all = BTreeMap::new();
    let envelope: Value = serde_json::from_slice(&message.payload).unwrap();
    walk("", &envelope, &mut all);
    let header = |(name, _): &(String, String)| (format!("header {name}"), Value::Null);
    all.extend(message.headers.iter().map(header));
    all.insert("subject".into(), message.subject.clone().into());
    all
}

#[actix::test]
async fn the_result_of_a_job_that_waited_for_its_host_is_like_that_of_one_that_did_not() {
    let (fixture, host_id) = listening(vec![crate::events::LISTEN]).await;
    let offered = async |number: u64| {
        let event = delivery(
            &fixture,
            number,
            &format!("e{number}"),
            json!({ "host_id": host_id }),
        );
        fixture.core.ingest(vec![event]).await.unwrap();
    };
    offered(1).await;
    assert_eq!(place(&fixture, &jobs(&fixture).await[0]).await.0, "host_offline");
    fixture.advance(600);
    let mut agent = fixture.attach(host_id, "amelie").await;
    agent.obey().await;
    fixture.published(".results.", 1).await;
    offered(2).await;
    agent.obey().await;
    let results = fixture.published(".results.", 2).await;
    let [waited, did_not] = results.as_slice() else {
        panic!("two results");
    };
    assert!(shape(waited).len() > 15, "{:?}", shape(waited));
    assert_eq!(shape(waited), shape(did_not));
}
