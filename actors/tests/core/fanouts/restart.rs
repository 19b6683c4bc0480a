//! A fan-out goes on where it was when the server stops.

use super::{CANCELLED, SUCCEEDED};
use super::{attached, disobey, ended, everywhere, host, is_paused, states, submit, summary, until, view};
use crate::endings::wait;
use crate::fixture::{Fixture, Setup, config, delete, eventually, list, options};
use tripline_actors::store::{Batch, Store, Table};
use tripline_protocol::fanout::{FanoutHostState, FanoutOutcome, Pace, SubmitFanout};
use tripline_protocol::job::{JobSpec, Outcome};
use tripline_protocol::{FanoutId, HostId, JobId};

#[actix::test]
async fn a_host_has_one_job_however_often_the_server_stops() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    let away = fixture.enrol("away").await.host_id;
    let pace = Pace {
        in_flight: 1,
        ..Pace::default()
    };
    let id = submit(&fixture, SubmitFanout { pace, ..everywhere() }).await;
    agents[0].1.obey().await;
    until(&fixture, id, "the first ends", |view| view.counts.succeeded == 1).await;
    let ids: Vec<_> = agents.iter().map(|(id, _)| *id).collect();
    drop(agents);
    let fixture = fixture.restart().await;
    let view = until(&fixture, id, "it is there", |view| view.counts.hosts == 3).await;
    assert_eq!(view.counts.succeeded, 1);
    let fixture = fixture.restart().await;
    fixture.attach(ids[1], "host").await.obey().await;
    fixture.attach(away, "away").await.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    assert_eq!(states(&fixture, id).await, [SUCCEEDED; 3]);
    assert_eq!(fixture.rows(Table::Job), 3);
    let fixture = fixture.restart().await;
    assert_eq!(ended(&fixture, id).await.1.counts.succeeded, 3);
}

#[actix::test]
async fn it_is_as_paused_as_it_was_and_a_canary_that_failed_is_not_forgotten() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        canary: Some(1),
        ..Pace::default()
    };
    let id = submit(&fixture, SubmitFanout { pace, ..everywhere() }).await;
    disobey(&mut agents[0].1).await;
    until(&fixture, id, "it pauses", is_paused("canary_failed")).await;
    let other = agents[1].0;
    drop(agents);
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(other, "other").await;
    until(&fixture, id, "it is paused", is_paused("canary_failed")).await;
    assert_eq!(fixture.rows(Table::Job), 1);
    fixture.core.resume_fanout(None, id).await.unwrap();
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Failed);
    assert_eq!(host(&fixture, id, other).await.state, SUCCEEDED);
}

#[actix::test]
async fn an_open_job_keeps_its_place_until_its_host_is_back_or_has_been_away_for_too_long() {
    for comes_back in [true, false] {
        let fixture = Fixture::start();
        let mut agents = attached(&fixture, 2).await;
        agents.sort_by_key(|(id, _)| *id);
        let pace = Pace {
            in_flight: 1,
            ..Pace::default()
        };
        let id = submit(&fixture, SubmitFanout { pace, ..everywhere() }).await;
        let [first, second] = [agents[0].0, agents[1].0];
        agents[0].1.command().await;
        // Who waits goes first: before the server stops it could have the place that the other gives back.
        drop(agents.pop());
        until(&fixture, id, "the second is away", |view| {
            view.counts.offline == 1
        })
        .await;
        drop(agents);
        let fixture = fixture.restart().await;
        let mut agent = fixture.attach(second, "second").await;
        // Behind the next look at times, which gives whoever may have one a turn.
        crate::endings::looked(&fixture).await;
        let counts = view(&fixture, id).await.counts;
        assert_eq!((counts.in_flight, counts.pending), (1, 1), "its place is kept");
        match comes_back {
            true => fixture.attach(first, "first").await.obey().await,
            false => {
                fixture.advance(30);
                agent.obey().await
            }
        };
        if comes_back {
            agent.obey().await;
        }
        until(&fixture, id, "the second had its turn", |view| {
            view.counts.succeeded >= 1
        })
        .await;
        fixture.core.cancel_fanout(None, id).await.unwrap();
        ended(&fixture, id).await;
    }
}

#[actix::test]
async fn last_steps_of_a_job_that_was_cancelled_with_it_run_although_the_server_stops() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    let job = JobSpec {
        finally: vec![list()],
        ..JobSpec::new("sweep".parse().unwrap(), vec![delete(), wait()])
    };
    let wanted = SubmitFanout {
        job: Some(job),
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    let (host_id, mut agent) = agents.remove(0);
    agent.obey().await;
    let job_id = host(&fixture, id, host_id).await.job_id.unwrap();
    eventually("it waits", || async {
        let view = fixture.core.get_job(None, job_id).await.unwrap();
        view.waiting.filter(|waiting| waiting.until.is_some())
    })
    .await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    // Its last steps are under way.
    agent.command().await;
    drop(agent);
    let fixture = fixture.restart().await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    let mut agent = fixture.attach(host_id, "host0").await;
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Cancelled);
    assert_eq!(states(&fixture, id).await, [CANCELLED]);
    let steps = fixture.core.get_job(None, job_id).await.unwrap().steps;
    let last = steps.last().unwrap();
    assert_eq!(last.status, tripline_protocol::step::StepStatus::Succeeded);
}

/// Takes the record of a job away and its row in the order of time, as a store that is damaged may have lost them.
fn lose(store: &Store, job_id: JobId) {
    let mut batch = Batch::new();
    batch.delete(Table::Job, job_id.as_bytes().to_vec());
    for (key, _) in store.scan(Table::JobByTime, &[], None, 100).unwrap() {
        if key.ends_with(job_id.as_bytes()) {
            batch.delete(Table::JobByTime, key);
        }
    }
    store.commit(batch, || {});
}

#[actix::test]
async fn of_an_open_job_that_is_lost_while_the_server_is_stopped_nothing_is_left() {
    let fixture = Fixture::start();
    let host_id = fixture.enrol("away").await.host_id;
    let lost = fixture.submit(host_id, vec![list()]).await.job_id;
    let waits = fixture.submit(host_id, vec![list()]).await.job_id;
    let dir = fixture.stop().await;
    let open = || async { Store::open(&options(&dir)).ok() };
    let store = open().await.unwrap();
    lose(&store, lost);
    store.flush_and_close();
    drop(store);
    drop(eventually("the store is free", open).await);
    let fixture = Fixture::resume(dir);
    let rows = fixture.store.scan(Table::OpenJob, &[], None, 100).unwrap();
    let open: Vec<_> = rows.iter().map(|(_, job_id)| job_id.as_slice()).collect();
    assert_eq!(open, [waits.as_bytes()]);
}

/// One slot, which the job of another host has, and a fan-out with an open job that waits for it.
async fn waits_for_a_slot(include_protected: bool) -> (Fixture, FanoutId, HostId, crate::fixture::Agent) {
    let mut config = config();
    config.slots_total = 1;
    config.hosts_protected = ["crown".parse().unwrap()].into_iter().collect();
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    let busy = fixture.enrol_in(Some("acme"), "busy").await.host_id;
    let mut other = fixture.attach(busy, "busy").await;
    let mut request = crate::fixture::request(busy, vec![delete()]);
    request.org = Some("acme".parse().unwrap());
    fixture.core.submit_job(request).await.unwrap();
    let command = other.command().await;
    let host_id = fixture.enrol("free").await.host_id;
    let agent = fixture.attach(host_id, "free").await;
    let wanted = SubmitFanout {
        include_protected,
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    until(&fixture, id, "its job waits", |view| view.counts.in_flight == 1).await;
    let change = tripline_actors::LabelChange::Set(["crown".parse().unwrap()].into_iter().collect());
    fixture
        .core
        .label_host(None, host_id.to_string(), change)
        .await
        .unwrap();
    other.answer(command.command_id, serde_json::json!({}));
    (fixture, id, host_id, agent)
}

#[actix::test]
async fn a_host_that_is_protected_before_its_job_starts_is_spared_unless_a_person_includes_such() {
    let (fixture, id, host_id, _agent) = waits_for_a_slot(false).await;
    assert_eq!(ended(&fixture, id).await.1.counts.cancelled, 1);
    let spared = host(&fixture, id, host_id).await;
    assert_eq!(spared.reason.unwrap().code, "protected_host");
    let (fixture, id, _, mut agent) = waits_for_a_slot(true).await;
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn a_host_whose_job_is_lost_while_it_waits_ends_and_the_fan_out_with_it() {
    let mut config = config();
    config.slots_total = 1;
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    let id = submit(&fixture, everywhere()).await;
    let under_way = agents[0].1.command().await;
    until(&fixture, id, "both have jobs", |view| view.counts.in_flight == 2).await;
    let [first, second] = [agents[0].0, agents[1].0];
    drop(agents);
    // What waits is read again from the store.
    let fixture = fixture.restart().await;
    let lost = host(&fixture, id, second).await;
    lose(&fixture.store, lost.job_id.unwrap());
    let _second = fixture.attach(second, "second").await;
    let mut agent = fixture.attach(first, "first").await;
    let command = agent.obey().await;
    assert_eq!(command.command_id, under_way.command_id);
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.interrupted), (FanoutOutcome::Failed, 1));
    let lost = host(&fixture, id, second).await;
    assert_eq!(lost.state, FanoutHostState::Ended(Outcome::Interrupted));
    assert_eq!(lost.reason.unwrap().code, "job_lost");
    let summary = summary(&fixture, 1).await;
    assert_eq!(summary["not_succeeded"][0]["reason"]["code"], "job_lost");
    assert_eq!(fixture.rows(Table::OpenJob), 0);
}
