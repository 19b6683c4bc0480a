//! Enrolment, attachments, and hosts that leave memory.

use crate::fixture::{Agent, Fixture, Setup, delete, enrolment, eventually, hello, list, page};
use crate::recorder;
use serde_json::{Value, json};
use std::pin::pin;
use std::task::{Context, Waker};
use tripline_actors::{AttachAgent, HostFilter, Refusal};
use tripline_protocol::api::Enrol;
use tripline_protocol::frame::{AgentEvent, AgentFrame, Hello, ServerFrame};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_protocol::{Fault, HostId, Sha256, Span, Timestamp};
use uuid::Uuid;

#[actix::test]
async fn enrolling_again_gives_the_same_host_and_takes_no_further_use() {
    let fixture = Fixture::start();
    let token = fixture.token(None, Some(1)).await;
    let request = Enrol {
        addresses: vec!["127.0.0.1".into(), "10.0.0.1".into()],
        ..enrolment("amelie")
    };
    let first = fixture.core.enrol(token.clone(), request.clone()).await.unwrap();
    let again = fixture.core.enrol(token.clone(), request.clone()).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(
        fixture.core.host_of_key(&request.key_sha256).unwrap(),
        Some(first.host_id)
    );
    let events = fixture.published(".events.default.new_sensor", 1).await;
    let event: Value = serde_json::from_slice(&events[0].payload).unwrap();
    assert_eq!(event["data"]["hostname"], "amelie");
    let data = &event["data"];
    assert_eq!(
        (&data["sid"], &data["host_id"]),
        (&json!(first.host_id), &json!(first.host_id))
    );
    assert_eq!(
        (&data["architecture"], &data["arch"]),
        (&json!("x86_64"), &json!("x86_64"))
    );
    let addresses = (&data["ext_ip"], &data["int_ip"]);
    assert_eq!(addresses, (&Value::Null, &json!("10.0.0.1")), "{data}");
    let other = fixture.core.enrol(token, enrolment("bert")).await.unwrap_err();
    assert!(
        matches!(other, Refusal::Forbidden { .. }),
        "the token is used up: {other}"
    );
    assert_eq!(fixture.publisher.with("new_sensor").len(), 1);
}

#[actix::test]
async fn a_known_install_id_with_another_key_is_refused() {
    let fixture = Fixture::start();
    let token = fixture.token(None, None).await;
    let request = enrolment("amelie");
    let host = fixture.core.enrol(token.clone(), request.clone()).await.unwrap();
    let thief = Enrol {
        key_sha256: Sha256::from_digest(&[9; 32]),
        ..request.clone()
    };
    let refused = fixture.core.enrol(token, thief).await.unwrap_err();
    assert_eq!(refused.code(), "already_enrolled");
    assert_eq!(
        fixture.core.host_of_key(&request.key_sha256).unwrap(),
        Some(host.host_id)
    );
    assert_eq!(
        fixture.core.host_of_key(&Sha256::from_digest(&[9; 32])).unwrap(),
        None
    );
}

#[actix::test]
async fn a_key_of_another_host_is_refused() {
    let fixture = Fixture::start();
    let token = fixture.token(None, None).await;
    let request = enrolment("amelie");
    let host = fixture.core.enrol(token.clone(), request.clone()).await.unwrap();
    let thief = Enrol {
        key_sha256: request.key_sha256.clone(),
        ..enrolment("bert")
    };
    let refused = fixture.core.enrol(token, thief).await.unwrap_err();
    assert_eq!(refused.code(), "key_in_use");
    assert_eq!(
        fixture.core.host_of_key(&request.key_sha256).unwrap(),
        Some(host.host_id)
    );
}

#[actix::test]
async fn numbers_and_orgs_of_hosts_are_their_own() {
    let fixture = Fixture::start();
    let first = fixture.enrol("amelie").await;
    let second = fixture.enrol_in(Some("acme"), "amelie").await;
    assert_eq!((first.sensor_id, second.sensor_id), (1, 2));
    assert_eq!(second.org.as_str(), "acme");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.enrol("bert").await.sensor_id, 3);
    let acme = Some("acme".parse().unwrap());
    let page = fixture
        .core
        .list_hosts(HostFilter {
            org: acme.clone(),
            ..page(10)
        })
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1);
    let hidden = fixture
        .core
        .get_host(acme, first.host_id.to_string())
        .await
        .unwrap_err();
    assert_eq!(hidden.code(), "not_found");
}

#[actix::test]
async fn an_agent_that_says_too_much_or_is_unknown_is_refused() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let core = &fixture.core;
    let attach = |host_id, hello| async move {
        let (link, _receiver) = tokio::sync::mpsc::channel(8);
        let request = AttachAgent {
            host_id,
            presented: Default::default(),
            hello,
            link,
        };
        core.attach_agent(request).await.unwrap_err().code()
    };
    let endless = Hello {
        hostname: "x".repeat(5000),
        ..hello("amelie")
    };
    assert_eq!(attach(host.host_id, endless).await, "bad_hello");
    assert_eq!(attach(HostId(Uuid::new_v4()), hello("amelie")).await, "not_found");
    assert_eq!(fixture.core.restarts(), 0);
}

#[actix::test]
async fn a_host_that_is_renamed_is_found_by_its_new_name_only() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "bert").await;
    let view = fixture.core.get_host(None, "bert".into()).await.unwrap();
    assert_eq!(view.host_id, host.host_id);
    assert_eq!(
        fixture
            .core
            .get_host(None, "amelie".into())
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
}

#[actix::test]
async fn a_second_connection_replaces_the_first_and_takes_its_commands_over() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut first = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    let id = first.command().await.command_id;
    let running = Hello {
        running: vec![id],
        ..hello("amelie")
    };
    let mut second = Agent::attach(&fixture.core, host.host_id, running).await;
    assert_eq!(first.close().await, "replaced");
    first.answer(id, json!({ "from": "the old connection" }));
    drop(first);
    second.answer(id, json!({ "from": "the new connection" }));
    let view = fixture.ended(job.job_id).await;
    assert_eq!(
        view.steps[0].output,
        Some(json!({ "from": "the new connection" }))
    );
    assert_eq!(second.ack().await, [id]);
}

#[actix::test]
async fn a_connection_that_breaks_under_a_command_goes_on_with_the_next() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    let id = agent.command().await.command_id;
    drop(agent);
    let finished = Hello {
        finished: vec![id],
        ..hello("amelie")
    };
    let mut agent = Agent::attach(&fixture.core, host.host_id, finished).await;
    agent.answer(id, json!({}));
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
    assert_eq!(agent.ack().await, [id]);
}

#[actix::test]
async fn an_abandoned_command_keeps_the_next_job_waiting_until_it_ended() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let hung = fixture.submit(host.host_id, vec![delete()]).await;
    let next = fixture.submit(host.host_id, vec![list()]).await;
    let id = agent.command().await.command_id;
    fixture.core.cancel_job(None, hung.job_id).await.unwrap();
    assert_eq!(agent.cancel().await, id);
    fixture.advance(10);
    assert_eq!(
        fixture.ended(hung.job_id).await.state,
        JobState::Ended(Outcome::Cancelled)
    );
    assert_eq!(
        agent.cancel().await,
        id,
        "it is asked again, and the next command waits"
    );
    agent.fail(id, Fault::server("cancelled", "cancelled"));
    assert_eq!(agent.ack().await, [id]);
    agent.obey().await;
    assert_eq!(
        fixture.ended(next.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

fn event(id: &str, data: Value) -> AgentFrame {
    of_type("acme.alert", id, data)
}

fn of_type(etype: &str, id: &str, data: Value) -> AgentFrame {
    AgentFrame::Event(Box::new(AgentEvent {
        id: id.into(),
        etype: etype.parse().unwrap(),
        time: Timestamp::from_micros(0),
        data,
    }))
}

/// Whether another frame may be handed on at once.
fn has_room(agent: &Agent) -> bool {
    let room = pin!(agent.attached.room());
    room.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[actix::test]
async fn there_is_room_for_so_many_frames_until_what_they_say_is_durable() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    fixture.published(".events.default.new_sensor", 1).await;
    *fixture.publisher.thread.lock().unwrap() = None;
    let mebibyte = 1024 * 1024;
    {
        // Nobody handles what comes now: the actors' thread waits for this lock.
        let _published = fixture.publisher.published.lock().unwrap();
        agent.attached.frame(event("0", json!(1)), 0);
        while fixture.publisher.thread.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        for number in 1..8 {
            assert!(has_room(&agent));
            agent
                .attached
                .frame(event(&number.to_string(), json!(1)), mebibyte);
        }
        agent.attached.frame(event("8", json!(1)), mebibyte / 2);
        assert!(!has_room(&agent));
    }
    for number in 0..9 {
        match agent.frame().await {
            ServerFrame::EventAck { id } => assert_eq!(id, number.to_string()),
            other => panic!("expected an ack, got {other:?}"),
        }
    }
    agent.attached.room().await;
}

#[actix::test]
async fn an_event_that_no_good_agent_sends_ends_the_connection_and_is_not_published() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let long = "x".repeat(EVENT_BYTES_MAX);
    for (id, data) in [
        ("", json!(1)),
        ("a\r\nb", json!(1)),
        (&long[..1025], json!(1)),
        ("e1", json!(long)),
    ] {
        let mut agent = fixture.attach(host.host_id, "amelie").await;
        agent.attached.frame(event(id, data), 0);
        assert_eq!(agent.close().await, "protocol_error");
    }
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent
        .attached
        .frame(of_type("detection", "d1", json!({ "category": "miner" })), 0);
    assert_eq!(agent.close().await, "protocol_error");
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.attached.frame(event("good", json!(1)), 0);
    assert!(matches!(agent.frame().await, ServerFrame::EventAck { .. }));
    assert_eq!(fixture.published(".events.default.acme.alert", 1).await.len(), 1);
}

#[actix::test]
async fn an_agents_event_is_acked_when_it_is_durable_and_published_as_the_agents() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.attached.frame(
        AgentFrame::Event(Box::new(AgentEvent {
            id: "e1".into(),
            etype: "acme.alert".parse().unwrap(),
            time: fixture.now(),
            data: json!({ "pid": 4 }),
        })),
        0,
    );
    match agent.frame().await {
        ServerFrame::EventAck { id } => assert_eq!(id, "e1"),
        other => panic!("expected an ack, got {other:?}"),
    }
    let events = fixture.published(".events.default.acme.alert", 1).await;
    let header = events[0]
        .headers
        .iter()
        .find(|(name, _)| name == "Tripline-Attestation");
    assert!(header.unwrap().1.starts_with("agent:"));
}

#[actix::test]
async fn an_agent_reports_a_detection_of_its_host() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let data = json!({ "cat": "miner", "priority": 7, "data": { "pid": 4 } });
    agent.attached.frame(of_type("detection", "d1", data.clone()), 0);
    assert!(matches!(agent.frame().await, ServerFrame::EventAck { .. }));
    let event = &fixture.published(".events.default.detection", 1).await[0];
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!((&event["data"], &event["hostid"]), (&data, &json!(host.host_id)));
}

#[actix::test]
async fn an_idle_host_leaves_memory_and_a_job_for_it_works_later() {
    recorder::install();
    let mut setup = Setup::default();
    setup.config.host_idle = Span::from_secs(1);
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    let active = || async { recorder::gauge(thread, "tripline_directory_hosts_active") };
    let agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(active().await, Some(1.0));
    drop(agent);
    eventually("the host leaves memory", || async {
        active().await.filter(|hosts| *hosts == 0.0)
    })
    .await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    assert_eq!(agent.attached.epoch, 2);
    agent.obey().await;
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

#[actix::test]
async fn a_revoked_key_closes_the_connection_and_opens_no_other() {
    let fixture = Fixture::start();
    let token = fixture.token(None, None).await;
    let request = enrolment("amelie");
    let host = fixture.core.enrol(token, request.clone()).await.unwrap();
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    fixture
        .core
        .revoke_agent_key(None, "amelie".into())
        .await
        .unwrap();
    assert_eq!(agent.close().await, "revoked");
    assert_eq!(fixture.core.host_of_key(&request.key_sha256).unwrap(), None);
    let (link, _receiver) = tokio::sync::mpsc::channel(8);
    let again = AttachAgent {
        host_id: host.host_id,
        presented: Default::default(),
        hello: hello("amelie"),
        link,
    };
    assert_eq!(
        fixture.core.attach_agent(again).await.unwrap_err().code(),
        "forbidden"
    );
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert!(view.attachments.is_empty(), "{view:?}");
}
