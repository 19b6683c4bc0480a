//! What people do with a fan-out.

use super::{CANCELLED, FAILED, SUCCEEDED};
use super::{attached, disobey, ended, everywhere, host, states, submit, summary, until};
use crate::fixture::{Fixture, eventually};
use serde_json::json;
use tripline_protocol::Span;
use tripline_protocol::fanout::{FanoutOutcome, FanoutState, Pace, RetryFanout, SubmitFanout};
use tripline_protocol::job::Outcome;

#[actix::test]
async fn a_pause_lets_open_jobs_end_and_makes_no_more() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    agents.sort_by_key(|(id, _)| *id);
    let pace = Pace {
        in_flight: 1,
        ..Pace::default()
    };
    let id = submit(&fixture, SubmitFanout { pace, ..everywhere() }).await;
    until(&fixture, id, "the first has its turn", |view| {
        view.counts.in_flight == 1
    })
    .await;
    let paused = fixture
        .core
        .pause_fanout(None, id, Some("lunch".into()))
        .await
        .unwrap();
    assert_eq!(paused.state, FanoutState::Paused);
    assert!(paused.reason.unwrap().text.ends_with("lunch"));
    agents[0].1.obey().await;
    let paused = until(&fixture, id, "the first ends", |view| view.counts.succeeded == 1).await;
    assert_eq!((paused.state, paused.counts.pending), (FanoutState::Paused, 1));
    fixture.core.resume_fanout(None, id).await.unwrap();
    agents[1].1.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    let refused = fixture.core.pause_fanout(None, id, None).await.unwrap_err();
    assert_eq!(refused.code(), "fanout_ended");
}

#[actix::test]
async fn cancelling_ends_who_waits_and_who_has_a_job() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    let away = fixture.enrol("away").await.host_id;
    let id = submit(&fixture, everywhere()).await;
    let command = agents[0].1.command().await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    assert_eq!(host(&fixture, id, away).await.state, CANCELLED);
    assert_eq!(agents[0].1.cancel().await, command.command_id);
    agents[0].1.fail(
        command.command_id,
        tripline_protocol::Fault::live_response("cancelled", "cancelled"),
    );
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.cancelled), (FanoutOutcome::Cancelled, 2));
    let again = fixture.core.cancel_fanout(None, id).await.unwrap();
    assert_eq!(again.state, FanoutState::Ended(FanoutOutcome::Cancelled));
}

#[actix::test]
async fn who_cancels_one_that_ends_with_it_is_told_how_it_ended() {
    let fixture = Fixture::start();
    fixture.enrol("away").await;
    for pauses in [false, true] {
        let id = submit(&fixture, everywhere()).await;
        until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
        if pauses {
            fixture.core.pause_fanout(None, id, None).await.unwrap();
        }
        let told = fixture.core.cancel_fanout(None, id).await.unwrap();
        assert_eq!(told.state, FanoutState::Ended(FanoutOutcome::Cancelled));
        assert_eq!(
            (told.counts.cancelled, told.finished_at),
            (1, Some(fixture.now()))
        );
    }
}

#[actix::test]
async fn the_summary_says_of_a_host_that_joined_late_why_it_had_no_turn_and_not_why_others_had_none_before() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    let standing = SubmitFanout {
        standing: true,
        expires: Some(Span::from_secs(60)),
        ..everywhere()
    };
    let id = submit(&fixture, standing).await;
    disobey(&mut agents[0].1).await;
    until(&fixture, id, "one fails", |view| view.counts.failed == 1).await;
    fixture.advance(61);
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Failed);
    let first = agents[0].0.to_string();
    drop(agents);
    eventually("it is away", || async {
        let view = fixture.core.get_host(None, first.clone()).await.unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    let failed = RetryFanout {
        outcomes: vec![Outcome::Failed],
        ..RetryFanout::default()
    };
    fixture.core.retry_fanout(None, id, failed).await.unwrap();
    let late = fixture.enrol("late").await.host_id;
    until(&fixture, id, "it joins", |view| view.counts.offline == 2).await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    ended(&fixture, id).await;
    let summary = summary(&fixture, 2).await;
    let named = summary["not_succeeded"].as_array().unwrap();
    let of_late = named.iter().find(|host| host["host_id"] == json!(late)).unwrap();
    let shown = host(&fixture, id, late).await;
    assert_eq!(shown.reason.as_ref().unwrap().code, "cancelled");
    assert_eq!(
        of_late,
        &json!(shown),
        "the summary says what the list of hosts does"
    );
}

#[actix::test]
async fn only_those_that_failed_are_tried_again() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 2).await;
    let id = submit(&fixture, everywhere()).await;
    agents[0].1.obey().await;
    disobey(&mut agents[1].1).await;
    ended(&fixture, id).await;
    let first = host(&fixture, id, agents[1].0).await;
    let retried = fixture
        .core
        .retry_fanout(None, id, RetryFanout::default())
        .await
        .unwrap();
    assert_eq!((retried.state, retried.finished_at), (FanoutState::Running, None));
    agents[1].1.obey().await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.succeeded), (FanoutOutcome::Succeeded, 2));
    let second = host(&fixture, id, agents[1].0).await;
    assert_eq!(
        (first.state, first.run, second.state, second.run),
        (FAILED, 0, SUCCEEDED, 1)
    );
    assert_ne!(first.job_id, second.job_id);
    assert_eq!(host(&fixture, id, agents[0].0).await.run, 0);
    let messages = fixture.published(".fanouts.", 2).await;
    assert_eq!(messages[1].message_id, format!("{id}/2"));
    assert_eq!(summary(&fixture, 2).await["more"], 0);
    let nothing = fixture.core.retry_fanout(None, id, RetryFanout::default()).await;
    assert_eq!(nothing.unwrap_err().code(), "nothing_to_retry");
    assert_eq!(
        ended(&fixture, id).await.0,
        FanoutOutcome::Succeeded,
        "it is as it was"
    );
}

#[actix::test]
async fn hosts_that_were_cancelled_are_tried_again_when_a_person_asks_for_them() {
    let fixture = Fixture::start();
    let away = fixture.enrol("away").await.host_id;
    let id = submit(&fixture, everywhere()).await;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    ended(&fixture, id).await;
    let wanted = RetryFanout {
        outcomes: vec![Outcome::Cancelled],
        ..RetryFanout::default()
    };
    fixture.core.retry_fanout(None, id, wanted).await.unwrap();
    let fixture = fixture.restart().await;
    fixture.attach(away, "away").await.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    assert_eq!(states(&fixture, id).await, [SUCCEEDED]);
    assert_eq!(host(&fixture, id, away).await.run, 1);
}

#[actix::test]
async fn others_orgs_fan_outs_are_not_there() {
    let fixture = Fixture::start();
    let id = submit(&fixture, everywhere()).await;
    let acme = Some("acme".parse().unwrap());
    let refused = fixture.core.cancel_fanout(acme.clone(), id).await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
    assert_eq!(
        fixture.core.get_fanout(acme, id).await.unwrap_err().code(),
        "not_found"
    );
}

#[actix::test]
async fn a_retry_has_a_time_of_its_own_and_one_that_goes_on_keeps_its_time() {
    let fixture = Fixture::start();
    let mut agents = attached(&fixture, 1).await;
    fixture.enrol("away").await;
    let wanted = SubmitFanout {
        expires: Some(Span::from_secs(3600)),
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    disobey(&mut agents[0].1).await;
    let first = until(&fixture, id, "one fails", |view| view.counts.failed == 1).await;
    let retry = |expires| {
        fixture.core.retry_fanout(
            None,
            id,
            RetryFanout {
                expires,
                ..RetryFanout::default()
            },
        )
    };
    let again = retry(None).await.unwrap();
    assert_eq!(
        again.expires_at, first.expires_at,
        "it goes on, and has its own time"
    );
    disobey(&mut agents[0].1).await;
    until(&fixture, id, "it fails again", |view| view.counts.failed == 1).await;
    let longer = retry(Some(Span::from_secs(7200))).await.unwrap();
    assert_eq!(longer.expires_at, fixture.now().after(Span::from_secs(7200)));
    agents[0].1.obey().await;
    until(&fixture, id, "it succeeds", |view| view.counts.succeeded == 1).await;
    fixture.advance(7201);
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Expired);
    let day = fixture.now().after(SubmitFanout::EXPIRES_DEFAULT);
    assert_eq!(retry(None).await.unwrap().expires_at, day, "it had ended");
    fixture.advance(24 * 3600 + 1);
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.expired), (FanoutOutcome::Expired, 1));
}

#[actix::test]
async fn hosts_that_were_not_found_before_it_was_cancelled_are_found_when_it_is_tried_again() {
    const HOSTS: usize = 20_000;
    let fixture = Fixture::start();
    super::limits::add_hosts(&fixture, HOSTS).await;
    // Nobody can say how far it comes before it is cancelled: one that found all of them is none of those meant here.
    let (id, view) = loop {
        let id = submit(&fixture, everywhere()).await;
        fixture.core.cancel_fanout(None, id).await.unwrap();
        let (outcome, view) = ended(&fixture, id).await;
        assert_eq!(outcome, FanoutOutcome::Cancelled);
        if view.counts.hosts < HOSTS as u64 {
            break (id, view);
        }
    };
    let text = view.reason.unwrap().text;
    assert_eq!(text, "it was cancelled before all of its hosts were found");
    let nothing = fixture.core.retry_fanout(None, id, RetryFanout::default()).await;
    assert_eq!(nothing.unwrap_err().code(), "nothing_to_retry");
    let wanted = RetryFanout {
        outcomes: vec![Outcome::Cancelled],
        ..RetryFanout::default()
    };
    let retried = fixture.core.retry_fanout(None, id, wanted).await.unwrap();
    assert_eq!(retried.state, FanoutState::Resolving);
    let view = until(&fixture, id, "all are found", |view| {
        view.state == FanoutState::Running
    })
    .await;
    assert_eq!(view.counts.pending, HOSTS as u64 + 1);
    fixture.core.cancel_fanout(None, id).await.unwrap();
    ended(&fixture, id).await;
}

#[actix::test]
async fn who_submits_one_for_protected_hosts_is_on_record_with_that() {
    let fixture = Fixture::start();
    for include_protected in [false, true] {
        let wanted = SubmitFanout {
            include_protected,
            ..everywhere()
        };
        submit(&fixture, wanted).await;
    }
    let records = crate::audit::of_action(&fixture, "default", "fanout.submit").await;
    let said: Vec<bool> = records
        .iter()
        .map(|record| record.detail.contains_key("include_protected"))
        .collect();
    assert_eq!(said, [false, true]);
    assert_eq!(records[1].detail["include_protected"], true);
}
