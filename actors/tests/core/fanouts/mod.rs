//! Fan-outs: one submission over many hosts, from its hosts' being found to its summary.

mod changes;
mod gone;
mod hosts;
mod limits;
mod pace;
mod pipelines;
mod restart;
mod targets;

use crate::fixture::{Agent, Fixture, delete, eventually};
use serde_json::{Value, json};
use tripline_actors::{FanoutFilter, FanoutHostFilter};
use tripline_protocol::fanout::{
    FanoutHostState, FanoutHostView, FanoutOutcome, FanoutState, FanoutView, SubmitFanout, Target,
};
use tripline_protocol::job::{JobSpec, Outcome};
use tripline_protocol::{FanoutId, Fault, HostId};

pub(crate) const SUCCEEDED: FanoutHostState = FanoutHostState::Ended(Outcome::Succeeded);
pub(crate) const FAILED: FanoutHostState = FanoutHostState::Ended(Outcome::Failed);
pub(crate) const EXPIRED: FanoutHostState = FanoutHostState::Ended(Outcome::Expired);
pub(crate) const CANCELLED: FanoutHostState = FanoutHostState::Ended(Outcome::Cancelled);

/// A job over all hosts.
pub(crate) fn everywhere() -> SubmitFanout {
    let job = JobSpec::new("sweep".parse().unwrap(), vec![delete()]);
    SubmitFanout {
        org: None,
        target: Target::All,
        job: Some(job),
        named: None,
        params: Default::default(),
        pace: Default::default(),
        expires: None,
        standing: false,
        max_hosts: None,
        include_protected: false,
        reason: None,
        idempotency_key: None,
    }
}

pub(crate) async fn submit(fixture: &Fixture, request: SubmitFanout) -> FanoutId {
    let view = fixture.core.submit_fanout(request).await.unwrap();
    view.fanout_id
}

pub(crate) async fn view(fixture: &Fixture, id: FanoutId) -> FanoutView {
    fixture.core.get_fanout(None, id).await.unwrap()
}

/// Waits until the fan-out is as `is` says.
pub(crate) async fn until(
    fixture: &Fixture,
    id: FanoutId,
    what: &str,
    is: impl Fn(&FanoutView) -> bool,
) -> FanoutView {
    eventually(what, || async {
        Some(view(fixture, id).await).filter(|view| is(view))
    })
    .await
}

pub(crate) async fn ended(fixture: &Fixture, id: FanoutId) -> (FanoutOutcome, FanoutView) {
    let view = until(fixture, id, "the fan-out ends", |view| {
        view.state.outcome().is_some()
    })
    .await;
    (view.state.outcome().unwrap(), view)
}

pub(crate) fn is_paused(code: &str) -> impl Fn(&FanoutView) -> bool {
    move |view| {
        view.state == FanoutState::Paused && view.reason.as_ref().is_some_and(|reason| reason.code == code)
    }
}

pub(crate) async fn hosts(fixture: &Fixture, id: FanoutId) -> Vec<FanoutHostView> {
    let filter = FanoutHostFilter {
        limit: 1000,
        ..FanoutHostFilter::default()
    };
    let page = fixture.core.list_fanout_hosts(None, id, filter).await.unwrap();
    page.items
}

pub(crate) async fn host(fixture: &Fixture, id: FanoutId, host: HostId) -> FanoutHostView {
    let hosts = hosts(fixture, id).await;
    hosts.into_iter().find(|view| view.host_id == host).unwrap()
}

/// How many hosts are where.
pub(crate) async fn states(fixture: &Fixture, id: FanoutId) -> Vec<FanoutHostState> {
    hosts(fixture, id).await.iter().map(|host| host.state).collect()
}

/// So many hosts that are enrolled and attached, each with its agent.
pub(crate) async fn attached(fixture: &Fixture, count: usize) -> Vec<(HostId, Agent)> {
    let mut all = Vec::new();
    for number in 0..count {
        let name = format!("host{number}");
        let host_id = fixture.enrol(&name).await.host_id;
        all.push((host_id, fixture.attach(host_id, &name).await));
    }
    all
}

/// The next command fails.
pub(crate) async fn disobey(agent: &mut Agent) {
    let command = agent.command().await;
    agent.fail(command.command_id, Fault::live_response("denied", "no"));
    assert_eq!(agent.ack().await, [command.command_id]);
}

/// The `data` of the summary that was published last.
pub(crate) async fn summary(fixture: &Fixture, count: usize) -> Value {
    let published = fixture.published(".fanouts.", count).await;
    let event: Value = serde_json::from_slice(&published[count - 1].payload).unwrap();
    event["data"].clone()
}

#[actix::test]
async fn every_host_has_its_job_and_its_outcome_and_the_summary_says_so() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 3).await;
    let id = submit(&fixture, everywhere()).await;
    for (_, agent) in &mut agents[..2] {
        agent.obey().await;
    }
    disobey(&mut agents[2].1).await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!(outcome, FanoutOutcome::Failed);
    assert_eq!(
        (view.counts.hosts, view.counts.succeeded, view.counts.failed),
        (3, 2, 1)
    );
    let failed = host(&fixture, id, agents[2].0).await;
    assert_eq!(
        (failed.state, failed.run, failed.hostname.as_str()),
        (FAILED, 0, "host2")
    );
    assert_eq!(failed.reason.unwrap().code, "step_failed");
    let job = fixture.core.get_job(None, failed.job_id.unwrap()).await.unwrap();
    assert_eq!(job.fanout.unwrap().fanout_id, id);
    let [message]: [_; 1] = fixture.published(".fanouts.", 1).await.try_into().unwrap();
    assert_eq!(
        message.subject,
        format!("tripline.fanouts.default.sweep.failed.{id}")
    );
    assert_eq!(message.message_id, format!("{id}/1"));
    let summary = summary(&fixture, 1).await;
    assert_eq!(summary["not_succeeded"][0]["host_id"], json!(agents[2].0));
    assert_eq!(summary["not_succeeded"][0]["reason"]["code"], "step_failed");
    assert_eq!(
        (&summary["more"], &summary["counts"]["succeeded"]),
        (&json!(0), &json!(2))
    );
}

#[actix::test]
async fn the_same_idempotency_key_gives_the_same_fan_out_also_when_it_has_ended() {
    let fixture = Fixture::start();
    let request = SubmitFanout {
        idempotency_key: Some("once".into()),
        ..everywhere()
    };
    let mut agents = attached(&fixture, 1).await;
    let id = submit(&fixture, request.clone()).await;
    assert_eq!(submit(&fixture, request.clone()).await, id);
    agents[0].1.obey().await;
    ended(&fixture, id).await;
    assert_eq!(submit(&fixture, request).await, id);
    let all = FanoutFilter {
        limit: 10,
        ..FanoutFilter::default()
    };
    assert_eq!(fixture.core.list_fanouts(all).await.unwrap().items.len(), 1);
    assert_eq!(fixture.published(".results.", 1).await.len(), 1);
}

#[actix::test]
async fn without_hosts_it_fails_at_once() {
    let fixture = Fixture::start();
    fixture.enrol_in(Some("acme"), "theirs").await;
    let id = submit(&fixture, everywhere()).await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.hosts), (FanoutOutcome::Failed, 0));
    assert_eq!(view.reason.unwrap().code, "no_hosts");
}
