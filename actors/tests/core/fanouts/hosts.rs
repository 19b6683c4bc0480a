//! Which hosts a fan-out has: those that are away, those that come later, protected ones.

use super::{CANCELLED, EXPIRED, SUCCEEDED};
use super::{attached, ended, everywhere, host, hosts, is_paused, states, submit, until, view};
use crate::fixture::{Fixture, Setup, config, delete, enrolment, eventually, list};
use serde_json::json;
use tripline_actors::LabelChange;
use tripline_actors::store::Table;
use tripline_protocol::fanout::{
    FanoutHostState, FanoutOutcome, FanoutState, RetryFanout, SubmitFanout, Target,
};
use tripline_protocol::job::{JobSpec, JobState, Outcome};
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{HostId, Label, Span};

fn labelled(label: &str) -> Target {
    Target::Hosts(HostSelector {
        labels: vec![label.parse().unwrap()],
        ..HostSelector::default()
    })
}

async fn label(fixture: &Fixture, host: HostId, label: &str) {
    let labels = vec![label.parse::<Label>().unwrap()];
    let change = LabelChange::Set(labels.into_iter().collect());
    fixture
        .core
        .label_host(None, host.to_string(), change)
        .await
        .unwrap();
}

#[actix::test]
async fn a_host_that_is_away_gets_its_job_when_it_comes_and_before_there_is_none() {
    let fixture = Fixture::start();
    let host_id = fixture.enrol("late").await.host_id;
    let id = submit(&fixture, everywhere()).await;
    let waits = until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    assert_eq!((waits.state, waits.counts.pending), (FanoutState::Running, 1));
    assert_eq!(
        host(&fixture, id, host_id).await.reason.unwrap().code,
        "host_offline"
    );
    assert_eq!(fixture.rows(Table::Job), 0);
    fixture.attach(host_id, "late").await.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn hosts_that_had_no_turn_in_time_expire_with_it() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    let away = fixture.enrol("away").await.host_id;
    let id = submit(
        &fixture,
        SubmitFanout {
            expires: Some(Span::from_secs(60)),
            ..everywhere()
        },
    )
    .await;
    agents[0].1.obey().await;
    until(&fixture, id, "the first ends", |view| view.counts.succeeded == 1).await;
    fixture.advance(61);
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.expired), (FanoutOutcome::Expired, 1));
    let expired = host(&fixture, id, away).await;
    assert_eq!((expired.state, expired.job_id), (EXPIRED, None));
    assert_eq!(expired.reason.unwrap().code, "expired");
}

#[actix::test]
async fn a_job_that_has_not_begun_when_the_fan_out_expires_expires_with_it() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    // Something else runs on the second host, which the job of the fan-out has to wait for.
    let other = fixture.submit(agents[1].0, vec![delete()]).await;
    let busy = agents[1].1.command().await;
    let wanted = SubmitFanout {
        expires: Some(Span::from_secs(10)),
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    let begun = agents[0].1.command().await;
    until(&fixture, id, "both have their jobs", |view| {
        view.counts.in_flight == 2
    })
    .await;
    fixture.advance(11);
    until(&fixture, id, "the one that waits expires", |view| {
        view.counts.expired == 1
    })
    .await;
    let waited = host(&fixture, id, agents[1].0).await;
    assert_eq!(
        (waited.state, waited.reason.unwrap().code.as_str()),
        (EXPIRED, "expired")
    );
    let job = fixture.core.get_job(None, waited.job_id.unwrap()).await.unwrap();
    assert_eq!(job.state, JobState::Ended(Outcome::Expired));
    assert_eq!(job.started_at, None);
    // What has begun goes on, whoever made it.
    agents[0].1.answer(begun.command_id, json!({}));
    assert_eq!(agents[0].1.ack().await, [begun.command_id]);
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.succeeded), (FanoutOutcome::Expired, 1));
    // Another turn has the time of the retry.
    let retry = RetryFanout {
        expires: Some(Span::from_secs(60)),
        ..RetryFanout::default()
    };
    let retried = fixture.core.retry_fanout(None, id, retry).await.unwrap();
    until(&fixture, id, "it has its turn", |view| view.counts.in_flight == 1).await;
    fixture.advance(20);
    agents[1].1.answer(busy.command_id, json!({}));
    assert_eq!(agents[1].1.ack().await, [busy.command_id]);
    fixture.ended(other.job_id).await;
    agents[1].1.obey().await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!(
        (outcome, view.expires_at),
        (FanoutOutcome::Succeeded, retried.expires_at)
    );
}

/// Waits until a host is away, and whoever runs something there knows it.
async fn away(fixture: &Fixture, host_id: HostId) {
    eventually("the host is away", || async {
        let view = fixture.core.get_host(None, host_id.to_string()).await.unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    // The slot answers after it was told.
    fixture.core.slots().await.unwrap();
}

#[actix::test]
async fn a_job_that_has_begun_outlives_its_fan_out_when_the_server_stops_or_its_host_goes_away() {
    let fixture = Fixture::start();
    let (host_id, mut agent) = attached(&fixture, 1).await.remove(0);
    let wanted = SubmitFanout {
        job: Some(JobSpec::new("look".parse().unwrap(), vec![list()])),
        expires: Some(Span::from_secs(60)),
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    agent.command().await;
    fixture.advance(61);
    until(&fixture, id, "its time is over", |view| {
        view.reason
            .as_ref()
            .is_some_and(|reason| reason.code == "expired")
    })
    .await;
    drop(agent);
    let fixture = fixture.restart().await;
    crate::endings::looked(&fixture).await;
    let mut agent = fixture.attach(host_id, "host0").await;
    agent.command().await;
    drop(agent);
    away(&fixture, host_id).await;
    // A command waits for its host for 30 s; then its job does, as it only reads.
    fixture.advance(31);
    let job_id = host(&fixture, id, host_id).await.job_id.unwrap();
    eventually("its job waits", || async {
        let view = fixture.core.get_job(None, job_id).await.unwrap();
        view.waiting
            .filter(|waiting| waiting.reason.code == "host_offline")
    })
    .await;
    crate::endings::looked(&fixture).await;
    fixture.attach(host_id, "host0").await.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    assert_eq!(host(&fixture, id, host_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn hosts_join_a_standing_fan_out_once_until_it_expires() {
    let fixture = Fixture::start();
    let standing = SubmitFanout {
        target: labelled("dmz"),
        standing: true,
        expires: Some(Span::from_secs(60)),
        ..everywhere()
    };
    let id = submit(&fixture, standing).await;
    until(&fixture, id, "it waits", |view| {
        view.state == FanoutState::Running
    })
    .await;
    let mut agents = attached(&fixture, 2).await;
    label(&fixture, agents[0].0, "dmz").await;
    agents[0].1.obey().await;
    label(&fixture, agents[0].0, "other").await;
    label(&fixture, agents[0].0, "dmz").await;
    until(&fixture, id, "the first ends", |view| view.counts.succeeded == 1).await;
    label(&fixture, agents[1].0, "dmz").await;
    agents[1].1.obey().await;
    until(&fixture, id, "the second ends", |view| view.counts.succeeded == 2).await;
    fixture.advance(61);
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.hosts), (FanoutOutcome::Succeeded, 2));
    assert_eq!(fixture.rows(Table::Job), 2);
}

#[actix::test]
async fn protected_hosts_are_passed_over_unless_a_person_says_otherwise() {
    let mut config = config();
    // So many that the reason, which names them, is too long for a row.
    let others = (0..100).map(|n| format!("others-{n}").parse().unwrap());
    config.hosts_protected = std::iter::once("crown".parse().unwrap()).chain(others).collect();
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    let mut agents = attached(&fixture, 2).await;
    label(&fixture, agents[0].0, "crown").await;
    let id = submit(&fixture, everywhere()).await;
    agents[1].1.obey().await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!(
        (outcome, view.counts.skipped, view.counts.succeeded),
        (FanoutOutcome::Succeeded, 1, 1)
    );
    let skipped = host(&fixture, id, agents[0].0).await;
    assert_eq!(skipped.state, FanoutHostState::Skipped);
    let reason = skipped.reason.unwrap();
    assert_eq!(
        (reason.code.as_str(), reason.text.chars().count()),
        ("protected_host", 300)
    );
    let id = submit(
        &fixture,
        SubmitFanout {
            include_protected: true,
            ..everywhere()
        },
    )
    .await;
    agents[0].1.obey().await;
    agents[1].1.obey().await;
    assert_eq!(ended(&fixture, id).await.1.counts.succeeded, 2);
}

#[actix::test]
async fn more_hosts_than_wanted_wait_for_a_person_before_any_job_is_made() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    let id = submit(
        &fixture,
        SubmitFanout {
            max_hosts: Some(1),
            ..everywhere()
        },
    )
    .await;
    until(&fixture, id, "it pauses", is_paused("max_hosts")).await;
    assert_eq!(fixture.rows(Table::Job), 0);
    fixture.core.resume_fanout(None, id).await.unwrap();
    for (_, agent) in &mut agents {
        agent.obey().await;
    }
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn a_host_that_is_forgotten_waits_no_more() {
    let fixture = Fixture::start();
    let host_id = fixture.enrol("gone").await.host_id;
    let id = submit(&fixture, everywhere()).await;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    fixture
        .core
        .forget_host(None, host_id.to_string(), false)
        .await
        .unwrap();
    let (outcome, _) = ended(&fixture, id).await;
    assert_eq!(outcome, FanoutOutcome::Succeeded);
    let gone = host(&fixture, id, host_id).await;
    assert_eq!((gone.state, gone.hostname.as_str()), (CANCELLED, ""));
    assert_eq!(gone.reason.unwrap().code, "host_forgotten");
}

#[actix::test]
async fn hosts_of_many_slices_are_found_once_each_also_when_the_server_stops_meanwhile() {
    const HOSTS: usize = 2_300;
    let fixture = Fixture::start();
    let token = fixture.token(None, None).await;
    for n in 0..HOSTS {
        fixture
            .core
            .enrol(token.clone(), enrolment(&format!("h{n}")))
            .await
            .unwrap();
    }
    let id = submit(&fixture, everywhere()).await;
    let fixture = fixture.restart().await;
    let view = until(&fixture, id, "all are found", |view| {
        view.state == FanoutState::Running
    })
    .await;
    assert_eq!(
        (view.counts.hosts, view.counts.offline),
        (HOSTS as u64, HOSTS as u64)
    );
    let mut found: Vec<HostId> = Vec::new();
    let mut after = None;
    loop {
        let filter = tripline_actors::FanoutHostFilter {
            state: None,
            after,
            limit: 1000,
        };
        let page = fixture.core.list_fanout_hosts(None, id, filter).await.unwrap();
        found.extend(page.items.iter().map(|host| host.host_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!((count, found.len()), (HOSTS, HOSTS));
    fixture.core.cancel_fanout(None, id).await.unwrap();
    assert_eq!(ended(&fixture, id).await.1.counts.cancelled, HOSTS as u64);
}

#[actix::test]
async fn nothing_is_made_while_the_server_is_paused() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    let ana = crate::audit::ana();
    fixture.core.pause(&ana, None).await.unwrap();
    let id = submit(&fixture, everywhere()).await;
    until(&fixture, id, "it is resolved", |view| {
        view.state == FanoutState::Running
    })
    .await;
    assert_eq!(view(&fixture, id).await.counts.pending, 1);
    fixture.core.resume(&ana).await.unwrap();
    agents[0].1.obey().await;
    ended(&fixture, id).await;
    assert_eq!(states(&fixture, id).await, [SUCCEEDED]);
    assert_eq!(hosts(&fixture, id).await.len(), 1);
    eventually("its result", || async { fixture.publisher.results().pop() }).await;
}
