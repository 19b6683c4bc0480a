//! An agent's own process watcher, over its channel.

use crate::client::{Client, attested_by, data, kinds, pids, restarted, served, settings};
use crate::fixture::{Agent, Fixture, eventually, list};
use tripline_actors::littlebrother::UserStatus;
use tripline_protocol::HostId;
use tripline_protocol::frame::{AgentFrame, ServerFrame};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::littlebrother::EventType::{
    ProcessStart, ProhibitedProcess, StartClient, StartMaster, UpdateConfig, UpdateLoginMapping,
};
use tripline_protocol::littlebrother::WireEvent;

fn report(agent: &Agent, seq: u64, events: Vec<WireEvent>) {
    let message = Client::new("a name that does not matter").message(events);
    agent.attached.frame(
        AgentFrame::Littlebrother {
            seq,
            message: Box::new(message),
        },
        0,
    );
}

async fn answer(agent: &mut Agent, expected: u64) -> Vec<WireEvent> {
    match agent.frame().await {
        ServerFrame::Littlebrother { seq, events } => {
            assert_eq!(seq, expected);
            events
        }
        other => panic!("expected an answer, got {other:?}"),
    }
}

async fn attached() -> (Fixture, HostId, Agent) {
    let fixture = served();
    let host = fixture.enrol("amelie").await.host_id;
    let agent = fixture.attach(host, "amelie").await;
    (fixture, host, agent)
}

#[actix::test]
async fn a_watchers_message_is_a_clients_attested_by_the_agent() {
    let (fixture, host, mut agent) = attached().await;
    assert!(agent.attached.littlebrother, "it is told to watch");
    let client = Client::new("amelie");
    let now = fixture.now();
    report(
        &agent,
        1,
        vec![
            client.event(StartClient, now),
            client.of_process(ProcessStart, 7, now),
        ],
    );
    let first = answer(&mut agent, 1).await;
    assert_eq!(
        kinds(&first)[..3],
        [UpdateConfig, UpdateLoginMapping, StartMaster]
    );
    assert!(first.iter().all(|event| event.hostname == "amelie"), "{first:?}");
    let event = &fixture.published("PROCESS_START", 1).await[0];
    assert_eq!(
        (attested_by(event), &data(event)["hostname"]),
        ("agent", &"amelie".into())
    );
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(view.attachments.len(), 1, "the agent's is all it needs");
    let reported = view.littlebrother.unwrap();
    assert_eq!((reported.host_id, reported.processes_open), (host, 1));
    let user = fixture.core.littlebrother_user("amelie".into()).await.unwrap();
    assert_eq!(
        user,
        Some(UserStatus {
            logged_in: true,
            hosts: 1
        })
    );
    report(&agent, 2, vec![client.of_process(ProhibitedProcess, 66, now)]);
    let second = answer(&mut agent, 2).await;
    assert_eq!(pids(&second), [66]);
    let job = fixture.submit(host, vec![list()]).await;
    agent.obey().await;
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

#[actix::test]
async fn the_frame_after_an_answer_says_that_it_came_and_a_broken_connection_that_it_did_not() {
    let (fixture, host, mut agent) = attached().await;
    report(&agent, 1, vec![]);
    answer(&mut agent, 1).await;
    let mut second = fixture.attach(host, "amelie").await;
    assert_eq!(agent.close().await, "replaced");
    report(&second, 1, vec![]);
    assert_eq!(
        kinds(&answer(&mut second, 1).await),
        [UpdateConfig, UpdateLoginMapping, StartMaster]
    );
    drop(second);
    let mut agent = fixture.attach(host, "amelie").await;
    report(&agent, 1, vec![]);
    assert_eq!(
        kinds(&answer(&mut agent, 1).await),
        [UpdateConfig, UpdateLoginMapping, StartMaster]
    );
    report(&agent, 2, vec![]);
    assert_eq!(
        kinds(&answer(&mut agent, 2).await),
        [UpdateConfig, UpdateLoginMapping]
    );
    report(&agent, 3, vec![]);
    assert_eq!(kinds(&answer(&mut agent, 3).await), []);
}

#[actix::test]
async fn only_agents_of_the_org_with_users_are_to_watch_and_they_come_again_when_that_changes() {
    let fixture = served();
    let other = fixture.enrol_in(Some("acme"), "bert").await.host_id;
    let bert = fixture.attach(other, "bert").await;
    assert!(!bert.attached.littlebrother);
    report(
        &bert,
        1,
        vec![Client::new("bert").of_process(ProcessStart, 7, fixture.now())],
    );
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let mut nobody = settings();
    nobody.users.clear();
    fixture.core.set_littlebrother(Some(nobody));
    assert_eq!(agent.close().await, "reconfigured");
    let mut agent = fixture.attach(host, "amelie").await;
    assert!(!agent.attached.littlebrother);
    fixture.core.set_littlebrother(Some(settings()));
    assert_eq!(agent.close().await, "reconfigured");
    let mut agent = fixture.attach(host, "amelie").await;
    assert!(agent.attached.littlebrother);
    fixture.core.set_littlebrother(Some(settings()));
    report(&agent, 1, vec![]);
    answer(&mut agent, 1).await;
    assert_eq!(
        fixture.publisher.with("PROCESS_START").len(),
        0,
        "bert's was not taken"
    );
}

#[actix::test]
async fn a_watcher_that_falls_silent_is_reported_and_its_table_survives() {
    let (fixture, host, mut agent) = attached().await;
    let client = Client::new("amelie");
    report(&agent, 1, vec![client.of_process(ProcessStart, 7, fixture.now())]);
    answer(&mut agent, 1).await;
    drop(agent);
    fixture.advance(51);
    let event = fixture.published("host_silent", 1).await.remove(0);
    assert_eq!(
        (attested_by(&event), &data(&event)["hostname"]),
        ("agent", &"amelie".into())
    );
    let fixture = restarted(fixture).await;
    let mut agent = fixture.attach(host, "amelie").await;
    report(&agent, 1, vec![client.of_process(ProcessStart, 8, fixture.now())]);
    answer(&mut agent, 1).await;
    fixture.published("host_back", 1).await;
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(view.littlebrother.unwrap().processes_open, 2);
}

#[actix::test]
async fn a_watchers_message_that_is_refused_is_not_answered_and_changes_nothing() {
    let mut setup = crate::fixture::Setup::default();
    setup.config.outbox_max = 5;
    let fixture = crate::client::served_with(setup);
    fixture.publisher.set_away(true);
    let token = fixture.token(None, None).await;
    let mut hosts = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let host = fixture
            .core
            .enrol(token.clone(), crate::fixture::enrolment(name))
            .await
            .unwrap();
        hosts.push(host.host_id);
    }
    let mut agent = fixture.attach(hosts[0], "a").await;
    let event = Client::new("a").of_process(ProcessStart, 7, fixture.now());
    report(&agent, 1, vec![event.clone()]);
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    fixture.published("new_sensor", 4).await;
    eventually("the outbox has room", || async {
        fixture.core.readiness().outbox.then_some(())
    })
    .await;
    report(&agent, 2, vec![event]);
    answer(&mut agent, 2).await;
    assert_eq!(fixture.published("PROCESS_START", 1).await.len(), 1);
}
