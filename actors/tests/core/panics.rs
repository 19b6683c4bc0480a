//! An actor panics: all but a Host are made anew together from the store, and nothing accepted is lost.

use crate::events::{delivery, stream};
use crate::fixture::{Agent, Fixture, Setup, delete, eventually, hello, list, request};
use crate::recorder;
use serde_json::json;
use std::thread::ThreadId;
use tripline_actors::{AttachAgent, JobFilter};
use tripline_protocol::HostId;
use tripline_protocol::frame::Hello;
use tripline_protocol::job::{JobState, Outcome};

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

/// A core whose actors' thread is known.
async fn fixture() -> (Fixture, ThreadId, HostId) {
    recorder::install();
    let fixture = Fixture::start_with(Setup {
        pipelines: vec![crate::events::LISTEN],
        ..Setup::default()
    });
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    (fixture, thread, host.host_id)
}

async fn restarted(fixture: &Fixture) {
    eventually("the actors are made anew", || async {
        (fixture.core.restarts() == 1 && fixture.core.readiness().actors).then_some(())
    })
    .await;
}

#[actix::test]
async fn after_a_panic_queued_jobs_go_on_and_running_ones_are_adopted() {
    let (fixture, thread, host_id) = fixture().await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let running = fixture.submit(host_id, vec![delete()]).await;
    let id = agent.command().await.command_id;
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(fixture.submit(host_id, vec![list()]).await.job_id);
    }
    recorder::arm(thread, "tripline_scheduler_jobs_accepted_total");
    let refused = fixture
        .core
        .submit_job(request(host_id, vec![list()]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "unavailable");
    assert_eq!(agent.close().await, "restart");
    restarted(&fixture).await;
    let known = Hello {
        running: vec![id],
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host_id, known).await;
    agent.answer(id, json!({}));
    assert_eq!(agent.ack().await, [id]);
    for job_id in queued {
        agent.obey().await;
        assert_eq!(fixture.ended(job_id).await.state, SUCCEEDED);
    }
    assert_eq!(fixture.ended(running.job_id).await.state, SUCCEEDED);
    assert_eq!(fixture.core.restarts(), 1);
    let all = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    assert_eq!(fixture.core.list_jobs(all).await.unwrap().items.len(), 4);
}

#[actix::test]
async fn when_the_directory_panics_its_agents_are_let_go() {
    let (fixture, thread, host_id) = fixture().await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let other = fixture.enrol("bert").await;
    recorder::arm(thread, "tripline_directory_hosts_active");
    let (link, _receiver) = tokio::sync::mpsc::channel(8);
    let attach = AttachAgent {
        host_id: other.host_id,
        presented: Default::default(),
        hello: hello("bert"),
        link,
    };
    assert_eq!(
        fixture.core.attach_agent(attach).await.unwrap_err().code(),
        "unavailable"
    );
    assert_eq!(agent.close().await, "restart");
    restarted(&fixture).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let job = fixture.submit(host_id, vec![list()]).await;
    agent.obey().await;
    assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn an_event_under_which_the_router_panicked_is_handled_when_it_comes_again() {
    let (fixture, thread, host_id) = fixture().await;
    stream(&fixture).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    recorder::arm(thread, "tripline_router_events_total");
    let refused = fixture.core.ingest(vec![event.clone()]).await.unwrap_err();
    assert_eq!(refused.code(), "unavailable");
    restarted(&fixture).await;
    let later = delivery(&fixture, 2, "e2", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![later]).await.unwrap();
    let position = fixture.core.ingest_position().await.unwrap().unwrap();
    assert_eq!(position.last_sequence, 0, "the first was not handled");
    fixture.core.ingest(vec![event]).await.unwrap();
    let all = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    assert_eq!(fixture.core.list_jobs(all).await.unwrap().items.len(), 2);
}

#[actix::test]
async fn a_host_that_panics_is_made_anew_alone() {
    let (fixture, thread, host_id) = fixture().await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let other = fixture.enrol("bert").await;
    let mut bert = fixture.attach(other.host_id, "bert").await;
    let job = fixture.submit(host_id, vec![delete()]).await;
    let id = agent.command().await.command_id;
    recorder::arm(thread, "tripline_host_replaced_total");
    let (link, _receiver) = tokio::sync::mpsc::channel(8);
    let attach = AttachAgent {
        host_id,
        presented: Default::default(),
        hello: hello("amelie"),
        link,
    };
    assert_eq!(
        fixture.core.attach_agent(attach).await.unwrap_err().code(),
        "unavailable"
    );
    assert!(agent.next().await.is_none(), "its connection ends");
    eventually("the host is offline", || async {
        let view = fixture.core.get_host(None, host_id.to_string()).await.unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    // The slots answer after they were told of the death.
    fixture.core.slots().await.unwrap();
    let known = Hello {
        running: vec![id],
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host_id, known).await;
    agent.answer(id, json!({}));
    assert_eq!(agent.ack().await, [id]);
    assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
    let beside = fixture.submit(other.host_id, vec![list()]).await;
    bert.obey().await;
    assert_eq!(fixture.ended(beside.job_id).await.state, SUCCEEDED);
    assert_eq!(fixture.core.restarts(), 0);
}
