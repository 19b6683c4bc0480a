//! A fan-out goes on where it was when the server stops.

use super::{SUCCEEDED, attached, disobey, ended, everywhere, host, is_paused, states, submit, until};
use crate::fixture::Fixture;
use tripline_actors::store::Table;
use tripline_protocol::fanout::{FanoutOutcome, Pace, SubmitFanout};

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
