//! Hosts that are forgotten: what goes, what stays, and what is in the way.

use crate::audit::of_action;
use crate::client::{Client, restarted, served};
use crate::endings::{looked, wait};
use crate::fixture::{Agent, Fixture, delete, enrolment, eventually, hello, list, page};
use crate::isolation::{isolated, says};
use crate::sessions::caller;
use serde_json::json;
use tripline_actors::store::Table;
use tripline_actors::{AttachAgent, LabelChange, Refusal};
use tripline_protocol::api::ForgottenHost;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::session::{OpenSession, SessionState};
use tripline_protocol::step::StepStatus;
use tripline_protocol::{Fault, HostId};

/// Tables with rows of hosts.
const TABLES: [Table; 9] = [
    Table::Host,
    Table::HostBySensor,
    Table::HostByName,
    Table::AgentKey,
    Table::LbHost,
    Table::LbProcess,
    Table::LbLink,
    Table::LbAlive,
    Table::HostLabels,
];

async fn forget(fixture: &Fixture, host: impl ToString, force: bool) -> Result<ForgottenHost, Refusal> {
    fixture.core.forget_host(None, host.to_string(), force).await
}

fn rows(fixture: &Fixture) -> Vec<(Table, usize)> {
    TABLES.map(|table| (table, fixture.rows(table))).into()
}

fn nothing() -> Vec<(Table, usize)> {
    TABLES.map(|table| (table, 0)).into()
}

async fn label(fixture: &Fixture, host: HostId) {
    let change = LabelChange::Set(vec!["dmz".parse().unwrap()]);
    fixture
        .core
        .label_host(None, host.to_string(), change)
        .await
        .unwrap();
}

#[actix::test]
async fn nothing_is_kept_of_a_forgotten_host_but_its_ended_work() {
    let fixture = Fixture::start();
    let token = fixture.token(None, None).await;
    let request = enrolment("amelie");
    let host = fixture.core.enrol(token.clone(), request.clone()).await.unwrap();
    label(&fixture, host.host_id).await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
    let forgotten = forget(&fixture, "amelie", false).await.unwrap();
    assert_eq!(
        (
            forgotten.host_id,
            forgotten.jobs_cancelled,
            forgotten.sessions_closed
        ),
        (host.host_id, 0, 0)
    );
    assert_eq!(agent.close().await, "forgotten");
    assert_eq!(rows(&fixture), nothing());
    assert_eq!(fixture.core.host_of_key(&request.key_sha256).unwrap(), None);
    assert_eq!(
        forget(&fixture, host.host_id, true).await.unwrap_err().code(),
        "not_found"
    );
    // What is still under way from its connection writes nothing.
    drop(agent);
    let fixture = fixture.restart().await;
    assert_eq!(rows(&fixture), nothing());
    assert!(fixture.core.list_hosts(page(10)).await.unwrap().items.is_empty());
    let view = fixture.core.get_job(None, job.job_id).await.unwrap();
    assert_eq!(view.host.hostname, "amelie");
    let refused = fixture
        .core
        .submit_job(crate::fixture::request(host.host_id, vec![list()]))
        .await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    let again = fixture.core.enrol(token, enrolment("amelie")).await.unwrap();
    assert_eq!(again.sensor_id, host.sensor_id + 1);
}

#[actix::test]
async fn an_agent_whose_host_was_forgotten_before_its_hello_is_not_attached() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    forget(&fixture, host.sensor_id, false).await.unwrap();
    let (link, _receiver) = tokio::sync::mpsc::channel(8);
    let request = AttachAgent {
        host_id: host.host_id,
        presented: Default::default(),
        hello: hello("amelie"),
        link,
    };
    assert_eq!(
        fixture.core.attach_agent(request).await.unwrap_err().code(),
        "not_found"
    );
    assert_eq!(rows(&fixture), nothing());
}

#[actix::test]
async fn open_jobs_are_in_the_way_unless_they_are_to_be_cancelled() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let running = fixture.submit(host, vec![delete()]).await;
    let waiting = fixture.submit(host, vec![list()]).await;
    let command = agent.command().await.command_id;
    assert_eq!(
        forget(&fixture, host, false).await.unwrap_err().code(),
        "jobs_open"
    );
    assert_eq!(fixture.rows(Table::Host), 1);
    let (forgotten, ()) = tokio::join!(forget(&fixture, host, true), async {
        assert_eq!(agent.cancel().await, command);
        // Still there: its work has not ended.
        assert_eq!(fixture.rows(Table::Host), 1);
        agent.answer(command, json!({}));
        assert_eq!(agent.ack().await, [command]);
        assert_eq!(agent.close().await, "forgotten");
    });
    assert_eq!(forgotten.unwrap().jobs_cancelled, 2);
    assert_eq!(rows(&fixture), nothing());
    let view = fixture.ended(waiting.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(view.reason.unwrap().code, "host_forgotten");
    fixture.ended(running.job_id).await;
}

#[actix::test]
async fn jobs_that_are_cancelled_for_it_run_their_last_steps_and_are_counted_once() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let closing = |step| vec![vec![step], vec![delete()]];
    let mut jobs = Vec::new();
    for steps in [closing(wait()), closing(delete())] {
        let [own, last] = steps.try_into().unwrap();
        jobs.push(crate::endings::submit(&fixture, host, own, last).await.job_id);
    }
    let command = agent.command().await.command_id;
    let (forgotten, ()) = tokio::join!(forget(&fixture, host, true), async {
        assert_eq!(agent.cancel().await, command);
        agent.fail(command, Fault::server("cancelled", "cancelled"));
        assert_eq!(agent.ack().await, [command]);
        let last = agent.command().await.command_id;
        // Whether the work has ended is looked at again meanwhile.
        looked(&fixture).await;
        looked(&fixture).await;
        agent.answer(last, json!({}));
        assert_eq!(agent.ack().await, [last]);
        agent.obey().await;
        assert_eq!(agent.close().await, "forgotten");
    });
    assert_eq!(forgotten.unwrap().jobs_cancelled, 2);
    let records = of_action(&fixture, "default", "job.cancel").await;
    assert_eq!(records.len(), 2);
    for job in jobs {
        let view = fixture.ended(job).await;
        assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
        assert_eq!(view.steps[1].status, StepStatus::Succeeded);
    }
}

#[actix::test]
async fn open_sessions_are_in_the_way_unless_they_are_to_be_closed() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let _agent = fixture.attach(host, "amelie").await;
    let request = OpenSession {
        org: None,
        host: host.to_string(),
        idle_timeout: None,
    };
    let amelie = caller("amelie");
    let session = fixture.core.open_session(&amelie, request).await.unwrap();
    assert_eq!(
        forget(&fixture, host, false).await.unwrap_err().code(),
        "sessions_open"
    );
    let forgotten = forget(&fixture, host, true).await.unwrap();
    assert_eq!(forgotten.sessions_closed, 1);
    let view = fixture
        .core
        .get_session(&amelie, session.session_id, None)
        .await
        .unwrap();
    assert_eq!(view.state, SessionState::Closed);
    assert_eq!(view.reason.unwrap().code, "host_forgotten");
    assert_eq!(rows(&fixture), nothing());
}

/// A host whose agent said that it is isolated for 4 hours.
async fn isolated_host(fixture: &Fixture) -> (HostId, Agent) {
    let host = fixture.enrol("amelie").await.host_id;
    let agent = Agent::attach(&fixture.core, host, says(isolated(1, "4h"))).await;
    (host, agent)
}

#[actix::test]
async fn a_host_that_is_isolated_is_not_forgotten_because_nobody_could_release_it() {
    let fixture = Fixture::start();
    let (host, mut agent) = isolated_host(&fixture).await;
    let view = fixture.core.get_host(None, host.to_string()).await.unwrap();
    let until = view.isolation.unwrap().until;
    let before = rows(&fixture);
    let refused = forget(&fixture, host, false).await.unwrap_err();
    assert_eq!(refused.code(), "isolated");
    assert!(
        refused.to_string().contains(&until.to_string()) && refused.to_string().contains("unisolate"),
        "{refused}"
    );
    assert_eq!(rows(&fixture), before, "nothing changed");
    // Whoever insists is told until when it lasts.
    let forgotten = forget(&fixture, host, true).await.unwrap();
    assert_eq!(forgotten.isolated_until, Some(until));
    assert_eq!(agent.close().await, "forgotten");
    assert_eq!(rows(&fixture), nothing());
}

#[actix::test]
async fn a_host_whose_isolation_is_over_is_forgotten_also_while_it_is_away() {
    let fixture = Fixture::start();
    let (host, agent) = isolated_host(&fixture).await;
    drop(agent);
    assert_eq!(
        forget(&fixture, host, false).await.unwrap_err().code(),
        "isolated"
    );
    fixture.advance(4 * 3600 + 1);
    assert_eq!(forget(&fixture, host, false).await.unwrap().isolated_until, None);
    assert_eq!(rows(&fixture), nothing());
}

#[actix::test]
async fn a_forgotten_client_that_reports_again_is_a_new_host() {
    let fixture = served();
    let client = Client::new("amelie");
    client.arrive(&fixture, 7).await;
    label(&fixture, client.own()).await;
    let first = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    fixture.published("new_sensor", 1).await;
    forget(&fixture, "amelie", false).await.unwrap();
    assert_eq!(rows(&fixture), nothing());
    let fixture = restarted(fixture).await;
    assert_eq!(rows(&fixture), nothing());
    client.arrive(&fixture, 8).await;
    let again = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(again.host_id, first.host_id);
    assert_eq!(again.sensor_id, first.sensor_id + 1);
    assert!(again.labels.is_empty());
    assert_eq!(again.littlebrother.unwrap().processes_open, 1, "a new table");
    let event = fixture.published("new_sensor", 1).await;
    let number = |message: &tripline_actors::ports::OutMessage| {
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        event["data"]["sensor_id"].as_u64().unwrap()
    };
    assert!(
        event
            .iter()
            .any(|message| number(message) == u64::from(again.sensor_id))
    );
    let ids: std::collections::BTreeSet<_> = event.iter().map(|message| &message.message_id).collect();
    assert_eq!(ids.len(), event.len(), "another event than the first");
}

#[actix::test]
async fn forgetting_a_host_frees_its_client_and_a_linked_client_does_not_stand_for_its_host() {
    let fixture = served();
    let host = fixture.enrol("amelie").await.host_id;
    let client = Client::new("amelie");
    client.arrive(&fixture, 7).await;
    let own = client.own();
    fixture
        .core
        .link_host(None, host.to_string(), own.to_string())
        .await
        .unwrap();
    client.starts(&fixture, 8).await;
    assert_eq!(forget(&fixture, own, true).await.unwrap_err().code(), "linked");
    assert_eq!(forget(&fixture, "amelie", false).await.unwrap().host_id, host);
    assert_eq!(fixture.rows(Table::LbLink), 0);
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(view.host_id, own);
    eventually("the client is taken again", || async {
        client.ask(&fixture.core, vec![]).await.ok()
    })
    .await;
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(
        (view.attachments.len(), view.littlebrother.unwrap().processes_open),
        (1, 2)
    );
}

#[actix::test]
async fn a_host_of_another_org_cannot_be_forgotten() {
    let fixture = Fixture::start();
    let host = fixture.enrol_in(Some("acme"), "amelie").await.host_id;
    let other = Some("other".parse().unwrap());
    let refused = fixture.core.forget_host(other, host.to_string(), true).await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    assert_eq!(fixture.rows(Table::Host), 1);
}
