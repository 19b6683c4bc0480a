//! An agent's host and a LittleBrother client that an administrator joins and parts.

use crate::client::{Client, kill, kinds, restarted, served};
use crate::fixture::{Fixture, delete, eventually, list, page};
use tripline_actors::Refusal;
use tripline_protocol::HostId;
use tripline_protocol::api::HostView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::littlebrother::EventType::UpdateConfig;

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

async fn link(fixture: &Fixture, host: &str, client: &str) -> Result<HostView, Refusal> {
    fixture.core.link_host(None, host.into(), client.into()).await
}

async fn code(fixture: &Fixture, host: &str, client: &str) -> &'static str {
    link(fixture, host, client).await.unwrap_err().code()
}

async fn get(fixture: &Fixture, name: impl ToString) -> HostView {
    fixture.core.get_host(None, name.to_string()).await.unwrap()
}

fn kinds_of(view: &HostView) -> Vec<&str> {
    view.attachments
        .iter()
        .map(|attachment| attachment.kind.as_str())
        .collect()
}

/// An agent's host and a client with one name, the client with process 7.
async fn twins() -> (Fixture, HostId, Client) {
    let fixture = served();
    let host = fixture.enrol("amelie").await.host_id;
    let client = Client::new("amelie");
    client.arrive(&fixture, 7).await;
    (fixture, host, client)
}

#[actix::test]
async fn whatever_means_the_client_means_the_host_it_is_linked_to() {
    let (fixture, host, client) = twins().await;
    let ambiguous = fixture.core.get_host(None, "amelie".into()).await.unwrap_err();
    assert_eq!(ambiguous.code(), "ambiguous_host");
    let own = get(&fixture, client.own()).await;
    let view = link(&fixture, "amelie", "amelie").await.unwrap();
    assert_eq!(view.host_id, host);
    for name in [
        "amelie".to_owned(),
        client.own().to_string(),
        own.sensor_id.to_string(),
        host.to_string(),
    ] {
        assert_eq!(get(&fixture, &name).await.host_id, host, "{name}");
    }
    let listed = fixture.core.list_hosts(page(10)).await.unwrap().items;
    assert_eq!(listed.len(), 1, "the client's own record is not shown");
    client.starts(&fixture, 8).await;
    let view = get(&fixture, "amelie").await;
    assert_eq!(kinds_of(&view), ["littlebrother"]);
    let reported = view.littlebrother.unwrap();
    assert_eq!((reported.host_id, reported.processes_open), (client.own(), 2));
    let event = fixture.published("PROCESS_START", 2).await.remove(1);
    let event: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(event["hostid"], host.to_string());
}

#[actix::test]
async fn a_link_survives_a_restart_and_can_be_undone_by_either_name() {
    let (fixture, host, client) = twins().await;
    link(&fixture, &host.to_string(), &client.own().to_string())
        .await
        .unwrap();
    let fixture = restarted(fixture).await;
    assert_eq!(get(&fixture, client.own()).await.host_id, host);
    assert_eq!(fixture.core.list_hosts(page(10)).await.unwrap().items.len(), 1);
    let answer = client.say(&fixture.core, vec![]).await;
    assert!(kinds(&answer).contains(&UpdateConfig));
    let view = fixture
        .core
        .unlink_host(None, client.own().to_string())
        .await
        .unwrap();
    assert_eq!((view.host_id, view.attachments.len()), (host, 0));
    client.starts(&fixture, 8).await;
    let view = get(&fixture, client.own()).await;
    assert_eq!(view.host_id, client.own());
    assert_eq!(
        view.littlebrother.unwrap().processes_open,
        2,
        "the table came along"
    );
    assert_eq!(get(&fixture, host).await.littlebrother, None);
    let refused = fixture
        .core
        .unlink_host(None, host.to_string())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "not_linked");
    let fixture = restarted(fixture).await;
    assert_eq!(get(&fixture, client.own()).await.host_id, client.own());
}

#[actix::test]
async fn only_an_agents_host_and_a_clients_own_record_can_be_linked_and_only_once() {
    let (fixture, host, client) = twins().await;
    let (bert, carla) = (Client::new("bert"), fixture.enrol("carla").await.host_id);
    bert.say(&fixture.core, vec![]).await;
    let acme = fixture.enrol_in(Some("acme"), "dora").await.host_id;
    let own = client.own().to_string();
    assert_eq!(code(&fixture, "nobody", "amelie").await, "not_found");
    assert_eq!(code(&fixture, "bert", "amelie").await, "no_agent");
    assert_eq!(code(&fixture, "amelie", "carla").await, "not_littlebrother");
    assert_eq!(code(&fixture, &acme.to_string(), &own).await, "other_org");
    link(&fixture, "amelie", "amelie").await.unwrap();
    assert_eq!(code(&fixture, &carla.to_string(), &own).await, "already_linked");
    assert_eq!(code(&fixture, &host.to_string(), "bert").await, "already_linked");
    let acme = Some("acme".parse().unwrap());
    let hidden = fixture.core.unlink_host(acme, "amelie".into()).await.unwrap_err();
    assert_eq!(hidden.code(), "not_found");
}

#[actix::test]
async fn a_client_with_an_open_job_is_not_linked() {
    let (fixture, host, client) = twins().await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    assert_eq!(code(&fixture, "amelie", "amelie").await, "jobs_open");
    client.is_told_to_kill(&fixture, 7).await;
    client.ends(&fixture, 7).await;
    fixture.ended(job.job_id).await;
    assert_eq!(link(&fixture, "amelie", "amelie").await.unwrap().host_id, host);
}

#[actix::test]
async fn with_both_attached_commands_go_to_the_agent_and_without_it_to_the_client() {
    let (fixture, host, client) = twins().await;
    let mut agent = fixture.attach(host, "amelie").await;
    link(&fixture, "amelie", "amelie").await.unwrap();
    client.say(&fixture.core, vec![]).await;
    let view = get(&fixture, "amelie").await;
    assert_eq!(kinds_of(&view), ["agent", "littlebrother"]);
    let job = fixture.submit(client.own(), vec![list()]).await;
    assert_eq!(job.host.host_id, host);
    agent.obey().await;
    assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
    drop(agent);
    eventually("the agent is gone", || async {
        (kinds_of(&get(&fixture, "amelie").await) == ["littlebrother"]).then_some(())
    })
    .await;
    let job = fixture.submit(host, vec![list(), kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    client.ends(&fixture, 7).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, SUCCEEDED, "{view:?}");
    assert_eq!(view.steps[0].output.as_ref().unwrap()["processes"][0]["pid"], 7);
}

#[actix::test]
async fn a_command_stays_with_whom_it_was_sent_to() {
    let (fixture, host, client) = twins().await;
    link(&fixture, "amelie", "amelie").await.unwrap();
    client.say(&fixture.core, vec![]).await;
    let job = fixture.submit(host, vec![kill(7), delete()]).await;
    client.is_told_to_kill(&fixture, 7).await;
    let mut agent = fixture.attach(host, "amelie").await;
    client.ends(&fixture, 7).await;
    let next = agent.obey().await;
    assert_eq!(delete().verb, next.call.verb(), "the kill was the client's");
    assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn a_command_of_a_client_that_is_unlinked_is_interrupted() {
    let (fixture, host, client) = twins().await;
    link(&fixture, "amelie", "amelie").await.unwrap();
    client.say(&fixture.core, vec![]).await;
    let job = fixture.submit(host, vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    fixture.core.unlink_host(None, "amelie".into()).await.unwrap();
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Interrupted), "{view:?}");
    fixture.advance(30);
    assert_eq!(client.kills(&fixture.core).await, [0; 0], "nobody waits for it");
}

#[actix::test]
async fn links_are_made_and_undone_between_messages_without_losing_one() {
    let (fixture, host, client) = twins().await;
    let mut sent = Vec::new();
    for pid in 100..200 {
        let event = client.of_process(
            tripline_protocol::littlebrother::EventType::ProcessStart,
            pid,
            fixture.now(),
        );
        let core = fixture.core.clone();
        let message = client.message(vec![event]);
        sent.push(actix::spawn(async move {
            // As a client does: what was refused is sent again.
            loop {
                if let Ok(answer) = core.littlebrother_message(message.clone()).await {
                    return answer.receipt.written();
                }
                tokio::task::yield_now().await;
            }
        }));
        if pid % 20 == 0 {
            link(&fixture, "amelie", "amelie").await.unwrap();
        } else if pid % 20 == 10 {
            fixture.core.unlink_host(None, host.to_string()).await.unwrap();
        }
    }
    for sent in sent {
        sent.await.unwrap();
    }
    assert_eq!(get(&fixture, client.own()).await.host_id, client.own());
    client.say(&fixture.core, vec![]).await;
    let view = get(&fixture, client.own()).await;
    assert_eq!(view.littlebrother.unwrap().processes_open, 101);
    assert_eq!(fixture.core.restarts(), 0);
}
