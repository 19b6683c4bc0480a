//! Changes of jobs and hosts as their followers hear them: each one, in order, and only what is durable.

use crate::fixture::{Agent, Fixture, delete, eventually, hello, list, page};
use crate::recorder;
use serde_json::json;
use std::time::Duration;
use tripline_actors::LabelChange;
use tripline_actors::changes::{Follower, News};
use tripline_actors::store::Table;
use tripline_protocol::api::{ChangeLabels, HostChange, HostChangeKind, JobChange};
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::{CommandId, HostId, Isolation, IsolationEnd, IsolationReport, Timestamp};
use uuid::Uuid;

async fn next<T: Clone>(follower: &mut Follower<T>) -> T {
    let news = tokio::time::timeout(Duration::from_secs(60), follower.next()).await;
    match news.expect("a change in time") {
        News::Change(change) => T::clone(&change),
        News::Missed(missed) => panic!("missed {missed:?}"),
    }
}

/// The states of the next changes of jobs.
async fn states(follower: &mut Follower<JobChange>, count: usize) -> Vec<String> {
    let mut states = Vec::new();
    for _ in 0..count {
        states.push(next(follower).await.state.to_string());
    }
    states
}

async fn kinds(follower: &mut Follower<HostChange>, count: usize) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for _ in 0..count {
        kinds.push(next(follower).await.change.as_str());
    }
    kinds
}

#[actix::test]
async fn a_submitted_job_is_told_from_its_queue_to_its_end() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    let mut jobs = fixture.core.follow_jobs(None);
    let job = fixture.submit(host, vec![delete()]).await;
    let command = agent.command().await;
    agent.answer(command.command_id, json!({}));
    fixture.ended(job.job_id).await;
    assert_eq!(states(&mut jobs, 3).await, ["queued", "running", "succeeded"]);
    let notices = fixture.publisher.notices.lock().unwrap().clone();
    let queued = notices.iter().filter(|subject| subject.contains(".queued."));
    assert_eq!(queued.count(), 1, "and on NATS as well");
}

#[actix::test]
async fn a_change_that_is_heard_is_in_the_store() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut jobs = fixture.core.follow_jobs(None);
    for _ in 0..20 {
        let submitted = fixture
            .core
            .submit_job(crate::fixture::request(host, vec![list()]));
        let (answered, change) = tokio::join!(submitted, next(&mut jobs));
        assert_eq!(change.job_id, answered.expect("taken").job_id);
        let is_durable = fixture.store.is_durable(Table::Job, change.job_id.as_bytes());
        assert!(is_durable, "a crash cannot take it back");
    }
}

#[actix::test]
async fn what_happens_to_a_host_is_told_with_the_host_as_it_is_since() {
    let fixture = Fixture::start();
    let mut hosts = fixture.core.follow_hosts();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    assert_eq!(kinds(&mut hosts, 2).await, ["enrolled", "attached"]);
    let job = fixture.submit(host, vec![delete()]).await;
    let command = agent.command().await;
    let add = LabelChange::Change(ChangeLabels {
        add: vec!["dmz".parse().expect("a label")],
        ..ChangeLabels::default()
    });
    let labelled = fixture.core.label_host(None, host.to_string(), add).await;
    labelled.expect("labelled");
    let change = next(&mut hosts).await;
    assert_eq!(change.change, HostChangeKind::Labelled);
    assert_eq!(change.host.labels, ["dmz"]);
    assert_eq!(change.host.jobs_open, 1);
    assert_eq!(change.host.attachments.len(), 1);
    agent.answer(command.command_id, json!({}));
    fixture.ended(job.job_id).await;
    drop(agent);
    let change = next(&mut hosts).await;
    assert_eq!(change.change, HostChangeKind::Detached);
    assert_eq!((change.host.attachments.len(), change.host.jobs_open), (0, 0));
    fixture
        .core
        .forget_host(None, host.to_string(), false)
        .await
        .expect("forgotten");
    let change = next(&mut hosts).await;
    assert_eq!((change.change, change.gone), (HostChangeKind::Forgotten, true));
    assert_eq!(change.host.host_id, host);
    let left = fixture.core.list_hosts(page(10)).await.expect("a list");
    assert!(left.items.is_empty());
}

#[actix::test]
async fn an_isolation_and_its_end_are_told() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut hosts = fixture.core.follow_hosts();
    let agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    assert_eq!(kinds(&mut hosts, 1).await, ["attached"]);
    let command_id = CommandId(Uuid::from_u128(1));
    let since = Timestamp::from_micros(0);
    let isolation = Isolation {
        command_id,
        since,
        until: since.after("4h".parse().expect("a span")),
        persist: false,
        allow: Vec::new(),
    };
    let say = |report| {
        let isolation = Box::new(report);
        agent.attached.frame(AgentFrame::Isolation { isolation }, 0);
    };
    say(IsolationReport::Isolated {
        left: "3h".parse().expect("a span"),
        isolation,
    });
    let change = next(&mut hosts).await;
    assert_eq!(change.change, HostChangeKind::Isolated);
    assert!(change.host.isolation.is_some());
    say(IsolationReport::Ended {
        command_id,
        at: since,
        why: IsolationEnd::Expired,
    });
    let change = next(&mut hosts).await;
    assert_eq!(change.change, HostChangeKind::Unisolated);
    assert!(change.host.isolation.is_none());
}

#[actix::test]
async fn after_a_panic_of_the_actors_followers_of_hosts_hear_that_they_missed_something() {
    recorder::install();
    let fixture = Fixture::start();
    let host: HostId = fixture.enrol("amelie").await.host_id;
    let mut hosts = fixture.core.follow_hosts();
    let _agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    assert_eq!(kinds(&mut hosts, 1).await, ["attached"]);
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    recorder::arm(thread, "tripline_scheduler_jobs_accepted_total");
    // The job is lost with the actor that would have taken it, and so is the answer.
    let refused = fixture
        .core
        .submit_job(crate::fixture::request(host, vec![list()]))
        .await;
    assert!(refused.is_err());
    eventually("the actors are back", || async {
        (fixture.core.restarts() == 1 && fixture.core.readiness().actors).then_some(())
    })
    .await;
    let heard = tokio::time::timeout(Duration::from_secs(60), hosts.next()).await;
    assert_eq!(heard.expect("in time"), News::Missed(None));
    let _agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    assert_eq!(kinds(&mut hosts, 1).await, ["attached"]);
}
