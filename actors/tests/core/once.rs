//! Requests with an idempotency key are carried out once.

use crate::fixture::{Fixture, delete, list, request};
use crate::sessions::caller;
use serde_json::json;
use tripline_actors::store::Table;
use tripline_actors::{ONCE_RETAIN, Once};
use tripline_protocol::event::HostHint;
use tripline_protocol::session::{OpenSession, RunCommand, SessionState};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Attestation, Event, EventKey, HostId, Org, Span};

fn once(key: &str, body: &str) -> Option<Once> {
    Some(Once::new("token", key, "what", &json!(body)).unwrap())
}

fn open(host: HostId) -> OpenSession {
    OpenSession {
        org: None,
        host: host.to_string(),
        idle_timeout: None,
    }
}

#[actix::test]
async fn a_job_is_made_once_also_over_a_restart_and_another_body_is_refused() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let submit = async |fixture: &Fixture, key, body| {
        let job = request(host, vec![list()]);
        fixture.core.submit_job_once(job, once(key, body)).await
    };
    let (first, again) = tokio::join!(submit(&fixture, "k", "b"), submit(&fixture, "k", "b"));
    let (first, again) = (first.unwrap(), again.unwrap());
    assert_eq!(first.job_id, again.job_id);
    assert_eq!(fixture.rows(Table::Job), 1);
    let refused = submit(&fixture, "k", "other").await.unwrap_err();
    assert_eq!(refused.code(), "idempotency_key_reused");
    let fixture = fixture.restart().await;
    assert_eq!(submit(&fixture, "k", "b").await.unwrap().job_id, first.job_id);
    assert_ne!(submit(&fixture, "k2", "b").await.unwrap().job_id, first.job_id);
    fixture.advance(ONCE_RETAIN.as_millis() / 1000);
    assert_ne!(submit(&fixture, "k", "b").await.unwrap().job_id, first.job_id);
}

#[actix::test]
async fn a_refused_request_leaves_its_key_free() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let nobody = request(HostId(uuid::Uuid::nil()), vec![list()]);
    let refused = fixture.core.submit_job_once(nobody, once("k", "a")).await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    let job = request(host, vec![list()]);
    assert!(fixture.core.submit_job_once(job, once("k", "b")).await.is_ok());
}

#[actix::test]
async fn a_fan_out_is_made_once_also_over_a_restart_and_another_body_is_refused() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    let submit = async |fixture: &Fixture, key, body| {
        let request = crate::fanouts::everywhere();
        fixture.core.submit_fanout_once(request, once(key, body)).await
    };
    let (first, again) = tokio::join!(submit(&fixture, "k", "b"), submit(&fixture, "k", "b"));
    let first = first.unwrap().fanout_id;
    assert_eq!(again.unwrap().fanout_id, first);
    let refused = submit(&fixture, "k", "other").await.unwrap_err();
    assert_eq!(refused.code(), "idempotency_key_reused");
    let fixture = fixture.restart().await;
    assert_eq!(submit(&fixture, "k", "b").await.unwrap().fanout_id, first);
    assert_ne!(submit(&fixture, "k2", "b").await.unwrap().fanout_id, first);
    fixture.advance(ONCE_RETAIN.as_millis() / 1000);
    assert_ne!(submit(&fixture, "k", "b").await.unwrap().fanout_id, first);
}

#[actix::test]
async fn a_session_and_its_commands_are_made_once_and_a_command_is_answered_after_the_sessions_end() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let amelie = caller("amelie");
    let session = async || {
        let opened = fixture
            .core
            .open_session_once(&amelie, open(host), once("s", ""))
            .await;
        opened.unwrap().session_id
    };
    let id = session().await;
    assert_eq!(session().await, id);
    assert_eq!(fixture.rows(Table::Session), 1);
    let long = Some(Span::from_secs(60));
    let view = fixture.core.get_session(&amelie, id, long).await.unwrap();
    assert_eq!(view.state, SessionState::Active);
    let run = async |key: &str| {
        let command = RunCommand {
            verb: Verb::DeleteFile,
            arguments: delete().args,
            timeout: None,
            idempotent: false,
            origin: None,
        };
        fixture
            .core
            .run_command_once(&amelie, id, command, once(key, ""))
            .await
    };
    let (first, again) = tokio::join!(run("c"), run("c"));
    assert_eq!((first.unwrap().number, again.unwrap().number), (1, 1));
    agent.obey().await;
    assert_eq!(run("c2").await.unwrap().number, 2);
    agent.obey().await;
    fixture.core.close_session(&amelie, id).await.unwrap();
    crate::fixture::eventually("the session ends", || async {
        let view = fixture.core.get_session(&amelie, id, None).await.unwrap();
        (view.state == SessionState::Closed).then_some(())
    })
    .await;
    assert_eq!(run("c").await.unwrap().number, 1);
    assert_eq!(run("c3").await.unwrap_err().code(), "session_ended");
    assert_eq!(fixture.rows(Table::SessionCommand), 2);
}

#[actix::test]
async fn an_event_is_published_once_and_has_one_id() {
    let fixture = Fixture::start();
    let publish = async |id: &str, key: &str| {
        let event = Event {
            key: EventKey::derive(&Org::default_org(), "test", id),
            id: id.to_owned(),
            org: Org::default_org(),
            source: "test".to_owned(),
            etype: "acme.alert".parse().unwrap(),
            host: None::<HostHint>,
            time: fixture.now(),
            data: json!({}),
            attested_by: Attestation::Publisher,
            depth: 0,
            traceparent: None,
        };
        fixture
            .core
            .publish_event_once(event, once(key, ""))
            .await
            .unwrap()
            .id
    };
    assert_eq!(publish("e1", "k").await, "e1");
    assert_eq!(publish("e2", "k").await, "e1", "the id of the first");
    assert_eq!(publish("e3", "k3").await, "e3");
    assert_eq!(fixture.published(".events.default.acme.alert", 2).await.len(), 2);
}
