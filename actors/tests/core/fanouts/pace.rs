//! How fast a fan-out goes, and when it stops by itself.

use super::{FAILED, SUCCEEDED};
use super::{attached, disobey, ended, everywhere, host, is_paused, states, submit, until, view};
use crate::fixture::Fixture;
use tripline_protocol::fanout::{AutoPause, FanoutHostState, FanoutOutcome, FanoutState, Pace, SubmitFanout};

fn paced(pace: Pace) -> SubmitFanout {
    SubmitFanout { pace, ..everywhere() }
}

#[actix::test]
async fn no_more_jobs_are_open_than_the_pace_says() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 3).await;
    let pace = Pace {
        in_flight: 2,
        ..Pace::default()
    };
    let id = submit(&fixture, paced(pace)).await;
    let waits = until(&fixture, id, "two have their turn", |view| {
        view.counts.in_flight == 2
    })
    .await;
    assert_eq!(waits.counts.pending, 1);
    let hosts = super::hosts(&fixture, id).await;
    let last = hosts
        .iter()
        .find(|host| host.state == FanoutHostState::Pending)
        .unwrap();
    assert_eq!(last.reason.as_ref().unwrap().code, "paced");
    agents.sort_by_key(|(id, _)| *id);
    for (_, agent) in &mut agents {
        agent.obey().await;
    }
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn one_canary_that_fails_keeps_the_others_from_their_turn_until_a_person_resumes() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 3).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        canary: Some(1),
        ..Pace::default()
    };
    let id = submit(&fixture, paced(pace)).await;
    disobey(&mut agents[0].1).await;
    let paused = until(&fixture, id, "it pauses", is_paused("canary_failed")).await;
    assert_eq!((paused.counts.failed, paused.counts.pending), (1, 2));
    let resumed = fixture.core.resume_fanout(None, id).await.unwrap();
    assert_eq!(resumed.state, FanoutState::Running);
    agents[1].1.obey().await;
    agents[2].1.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Failed);
    assert_eq!(host(&fixture, id, agents[0].0).await.state, FAILED);
}

#[actix::test]
async fn when_the_canaries_succeed_the_others_follow() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 4).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        canary: Some(1),
        ..Pace::default()
    };
    let id = submit(&fixture, paced(pace)).await;
    for (index, (_, agent)) in agents.iter_mut().enumerate() {
        let expected = [1, 1, 2, 2][index];
        until(&fixture, id, "as many as may", |view| {
            view.counts.in_flight <= expected
        })
        .await;
        agent.obey().await;
    }
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
}

#[actix::test]
async fn too_many_that_fail_pause_it() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 4).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        in_flight: 1,
        auto_pause: Some(AutoPause { failed: 2, of: 2 }),
        ..Pace::default()
    };
    let id = submit(&fixture, paced(pace)).await;
    disobey(&mut agents[0].1).await;
    disobey(&mut agents[1].1).await;
    let paused = until(&fixture, id, "it pauses", is_paused("auto_paused")).await;
    assert_eq!(paused.counts.pending, 2);
    fixture.core.resume_fanout(None, id).await.unwrap();
    disobey(&mut agents[2].1).await;
    agents[3].1.obey().await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.failed), (FanoutOutcome::Failed, 3));
}

#[actix::test]
async fn jobs_are_made_so_far_apart_as_per_minute_says() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        per_minute: Some(1),
        ..Pace::default()
    };
    let id = submit(&fixture, paced(pace)).await;
    agents[0].1.obey().await;
    let waits = until(&fixture, id, "the first ends", |view| view.counts.succeeded == 1).await;
    assert_eq!((waits.counts.pending, waits.counts.in_flight), (1, 0));
    fixture.advance(59);
    assert_eq!(view(&fixture, id).await.counts.in_flight, 0);
    fixture.advance(2);
    agents[1].1.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    assert_eq!(states(&fixture, id).await, [SUCCEEDED; 2]);
}
