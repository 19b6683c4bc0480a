//! Paused: no new jobs start, and everything else goes on.

use crate::events::{LISTEN, delivery, jobs, listening};
use crate::fixture::{Agent, Fixture, delete, eventually, hello, list};
use crate::sessions::caller;
use serde_json::json;
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_protocol::api::{JobView, Role};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::session::{OpenSession, SessionState};
use tripline_protocol::{JobId, Org};

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

fn ana() -> Principal {
    Principal {
        role: Role::Admin,
        ..caller("ana")
    }
}

async fn job(fixture: &Fixture, job_id: JobId) -> JobView {
    fixture.core.get_job(None, job_id).await.unwrap()
}

#[actix::test]
async fn a_paused_server_finishes_what_runs_and_starts_nothing_until_it_is_resumed() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let running = fixture.submit(host.host_id, vec![list(), list()]).await;
    agent.obey().await;
    let reason = Some("INC-42".to_owned());
    let paused = fixture.core.pause(&ana(), reason.clone()).await.unwrap();
    let pause = paused.pause.clone().expect("paused");
    assert_eq!((pause.by.name.as_str(), &pause.reason), ("ana", &reason));
    let waiting = fixture.submit(host.host_id, vec![delete()]).await;
    agent.obey().await;
    assert_eq!(fixture.ended(running.job_id).await.state, SUCCEEDED);

    let view = job(&fixture, waiting.job_id).await;
    let why = view.waiting.expect("it waits");
    assert_eq!(
        (view.state, why.reason.code.as_str(), why.position),
        (JobState::Queued, "paused", 1)
    );
    assert!(
        why.reason.text.contains("ana") && why.reason.text.contains("INC-42"),
        "{why:?}"
    );
    assert_eq!(fixture.core.slots().await.unwrap().pause, Some(pause.clone()));
    assert_eq!(fixture.core.pause_view(), paused);

    // The server ends and starts again: it is paused as before.
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(fixture.core.pause_view(), paused);
    assert_eq!(
        job(&fixture, waiting.job_id).await.waiting.unwrap().reason.code,
        "paused"
    );
    assert!(!fixture.core.resume(&ana()).await.unwrap().paused);
    agent.obey().await;
    assert_eq!(fixture.ended(waiting.job_id).await.state, SUCCEEDED);
    let fixture = fixture.restart().await;
    assert!(!fixture.core.pause_view().paused, "resumed for good");
}

#[actix::test]
async fn a_job_that_ran_when_a_paused_server_stopped_goes_on() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let running = fixture.submit(host.host_id, vec![delete()]).await;
    let command = agent.command().await;
    fixture.core.pause(&ana(), None).await.unwrap();
    let fixture = fixture.restart().await;
    let mut returning = hello("amelie");
    returning.finished = vec![command.command_id];
    let mut agent = Agent::attach(&fixture.core, host.host_id, returning).await;
    agent.answer(command.command_id, json!({}));
    assert_eq!(agent.ack().await, [command.command_id]);
    assert_eq!(fixture.ended(running.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn what_waits_expires_while_the_server_is_paused_and_the_reason_says_why_it_waited() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    fixture.core.pause(&ana(), Some("too much".into())).await.unwrap();
    let waiting = fixture.submit(host.host_id, vec![list()]).await;
    fixture.advance(2 * 24 * 3600);
    let ended = fixture.ended(waiting.job_id).await;
    assert_eq!(ended.state, JobState::Ended(Outcome::Expired));
    let text = ended.reason.unwrap().text;
    assert!(
        text.contains("paused by ana") && text.contains("too much"),
        "{text}"
    );
}

#[actix::test]
async fn an_interactive_session_opens_while_the_server_is_paused() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    fixture.core.pause(&ana(), None).await.unwrap();
    let waiting = fixture.submit(host.host_id, vec![list()]).await;
    let open = OpenSession {
        org: None,
        host: host.host_id.to_string(),
        idle_timeout: None,
    };
    let session = fixture.core.open_session(&caller("ben"), open).await.unwrap();
    eventually("the session is active", || async {
        let view = fixture
            .core
            .get_session(&caller("ben"), session.session_id, None)
            .await
            .unwrap();
        (view.state == SessionState::Active).then_some(())
    })
    .await;
    assert_eq!(job(&fixture, waiting.job_id).await.state, JobState::Queued);
}

#[actix::test]
async fn an_event_is_taken_and_its_job_waits_while_the_server_is_paused() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    fixture.core.pause(&ana(), None).await.unwrap();
    let event = delivery(&fixture, 1, "e1", json!({ "hostname": "amelie" }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let jobs = jobs(&fixture).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].waiting.as_ref().unwrap().reason.code, "paused");
    fixture.core.resume(&ana()).await.unwrap();
    agent.obey().await;
    assert_eq!(fixture.ended(jobs[0].job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn whoever_pauses_again_gives_another_reason_and_the_pause_is_as_old_as_it_was() {
    let fixture = Fixture::start();
    let first = fixture
        .core
        .pause(&ana(), Some("one".into()))
        .await
        .unwrap()
        .pause
        .unwrap();
    fixture.advance(60);
    let ben = Principal {
        role: Role::Admin,
        ..caller("ben")
    };
    let second = fixture
        .core
        .pause(&ben, Some("two".into()))
        .await
        .unwrap()
        .pause
        .unwrap();
    assert_eq!(second.since, first.since);
    assert_eq!(
        (second.by.name.as_str(), second.reason.as_deref()),
        ("ben", Some("two"))
    );
}

#[actix::test]
async fn an_administrator_of_one_org_cannot_pause_the_others() {
    let fixture = Fixture::start();
    let bound = Principal {
        org: Some(Org::default_org()),
        ..ana()
    };
    for refused in [
        fixture.core.pause(&bound, None).await,
        fixture.core.resume(&bound).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "forbidden");
    }
    for reason in ["a\nb".to_owned(), "x".repeat(501)] {
        let refused = fixture.core.pause(&ana(), Some(reason)).await;
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    assert!(!fixture.core.pause_view().paused, "a refusal changes nothing");
}
