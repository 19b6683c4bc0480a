//! Sessions on a host that is attached by its LittleBrother client only.

use super::*;
use crate::client::{Client, pids, restarted, served};
use tripline_protocol::FaultClass;

fn kill(pid: u32) -> RunCommand {
    RunCommand::new(Verb::KillProcess, json!({ "pid": pid }))
}

#[actix::test]
async fn processes_are_listed_and_ended_and_nothing_else() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let session = fixture.active(&amelie(), client.own()).await;
    assert_eq!(session.verbs, [Verb::ListProcesses, Verb::KillProcess]);
    let listed = fixture.run(&amelie(), &session, processes()).await;
    let listed = fixture.done(&amelie(), &listed).await;
    assert_eq!(listed.output.unwrap()["processes"][0]["pid"], 7);
    let command = fixture.run(&amelie(), &session, kill(7)).await;
    let told = eventually("the client is told", || async {
        let answer = client.say(&fixture.core, vec![]).await;
        (!answer.is_empty()).then_some(answer)
    })
    .await;
    assert_eq!(pids(&told), [7]);
    client.ends(&fixture, 7).await;
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    let deleted = fixture.run(&amelie(), &session, delete()).await;
    let error = fixture.done(&amelie(), &deleted).await.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_str()),
        (FaultClass::Unsupported, "unsupported_verb")
    );
}

#[actix::test]
async fn a_kill_under_way_survives_a_restart() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let session = fixture.active(&amelie(), client.own()).await;
    let command = fixture.run(&amelie(), &session, kill(7)).await;
    eventually("the client is told", || async {
        let answer = client.say(&fixture.core, vec![]).await;
        (!answer.is_empty()).then_some(())
    })
    .await;
    let fixture = restarted(fixture).await;
    client.ends(&fixture, 7).await;
    assert_eq!(
        fixture.done(&amelie(), &command).await.state,
        CommandState::Succeeded
    );
    let seen = fixture.seen(session.session_id).await;
    assert_eq!(seen.state, SessionState::Active);
}

#[actix::test]
async fn a_client_with_an_open_session_is_not_linked() {
    let fixture = served();
    let client = Client::new("amelie");
    client.arrive(&fixture, 7).await;
    let host = fixture.enrol("amelie").await.host_id;
    let _agent = fixture.attach(host, "amelie").await;
    let session = fixture.active(&amelie(), client.own()).await;
    let (host, own) = (host.to_string(), client.own().to_string());
    let refused = fixture.core.link_host(None, host.clone(), own.clone()).await;
    assert_eq!(refused.unwrap_err().code(), "sessions_open");
    fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    fixture.free().await;
    fixture.core.link_host(None, host, own).await.unwrap();
}
