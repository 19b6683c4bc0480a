//! Slots: who gets one, who waits, and that nobody keeps one.

use crate::harness::{Process, eventually, until};
use crate::scene::Scene;
use serde_json::json;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tripline_client::{Client, FaultClass, SessionState};

/// Settings with a single slot for sessions.
const ONE_SLOT: &[(&str, &str)] = &[
    ("slots.total", "2"),
    ("slots.interactive_reserved", "1"),
    ("slots.jobs_reserved", "1"),
];

#[tokio::test]
async fn a_session_that_is_closed_or_dropped_gives_its_slot_to_the_next() {
    let mut scene = Scene::start_with(ONE_SLOT, 1).await;
    let host = scene.host(0).await;
    host.session()
        .await
        .expect("a session")
        .close()
        .await
        .expect("closed");
    {
        let session = host.session().await.expect("a session");
        session.list_processes().await.expect("a list");
    }
    // It is the only slot: this one would wait for ever if it were not free.
    let session = host.session().await.expect("a session");
    let session_id = session.id();
    session.close().await.expect("closed");
    scene.api().all_slots_free().await;
    let sessions = scene.client.sessions().list().await.expect("sessions");
    assert_eq!((sessions.len(), sessions[0].session_id), (3, session_id));
    for session in sessions {
        assert_eq!(
            (session.state, session.owner.name.as_str()),
            (SessionState::Closed, "tests")
        );
    }
}

#[tokio::test]
async fn more_sessions_than_slots_wait_and_are_told_their_place() {
    let mut scene = Scene::start_with(ONE_SLOT, 1).await;
    let host = scene.host(0).await;
    let first = host.session().await.expect("a session");
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let (host, told) = (host.clone(), Arc::clone(&told));
        waiting.push(tokio::spawn(async move {
            let tell = move |waiting: &tripline_client::Waiting| {
                let told_now = (waiting.reason.code.to_string(), waiting.position);
                told.lock().expect("whole").push(told_now);
            };
            let session = host.session().on_waiting(tell).await?;
            session.list_processes().await?;
            session.close().await
        }));
    }
    let sees = |position| {
        told.lock()
            .expect("whole")
            .contains(&("no_free_slot".to_owned(), position))
    };
    until("all of them wait", || (1..=4).all(sees)).await;
    let impatient = host
        .session()
        .wait(Duration::from_millis(200))
        .await
        .expect_err("no slot");
    assert_eq!(
        (impatient.class(), impatient.code()),
        (FaultClass::Timeout, "session_wait")
    );
    first.list_processes().await.expect("not disturbed");
    first.close().await.expect("closed");
    for waited in waiting {
        waited.await.expect("no panic").expect("served");
    }
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_session_that_is_no_longer_waited_for_leaves_the_queue() {
    let mut scene = Scene::start_with(ONE_SLOT, 1).await;
    let host = scene.host(0).await;
    let first = host.session().await.expect("a session");
    let api = scene.api();
    let queued = async |sessions: u64| {
        eventually("the queue is so long", async || {
            (api.slots().await.sessions_waiting == sessions).then_some(())
        })
        .await;
    };
    let opening = tokio::spawn(host.session().into_future());
    queued(1).await;
    opening.abort();
    queued(0).await;
    first.close().await.expect("closed");
    api.all_slots_free().await;
}

#[tokio::test]
async fn a_session_that_somebody_else_closed_says_so_and_can_be_closed() {
    let mut scene = Scene::start().await;
    let host_id = scene.agents[0].host_id().await;
    let plain = Client::connect(scene.server.url(), &scene.token)
        .await
        .expect("a client");
    for client in [scene.client.clone(), plain] {
        let session = client
            .host(host_id)
            .await
            .expect("a host")
            .session()
            .await
            .expect("a session");
        let path = format!("/v1/sessions/{}", session.id());
        let closed = scene.api().request(reqwest::Method::DELETE, &path).send().await;
        assert_eq!(closed.expect("an answer").status(), 200);
        let error = session.list_processes().await.expect_err("closed");
        assert_eq!(
            (error.class(), error.code()),
            (FaultClass::Server, "session_ended")
        );
        // It is refused with most of it still to be sent.
        let large = session.put_file("/tmp/large").from_bytes(vec![7; 30 << 20]).await;
        assert_eq!(large.expect_err("closed").code(), "session_ended");
        assert_eq!(
            session.refreshed().await.expect("kept").state,
            SessionState::Closed
        );
        session.keep_alive().await.expect_err("closed");
        session.close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_session_on_a_host_that_does_not_come_is_a_timeout() {
    let mut scene = Scene::start_with(&[("session.wait_timeout", "1s")], 1).await;
    let host = scene.host(0).await;
    scene.agents[0].kill();
    scene.api().attached(host.id(), false).await;
    let error = host.session().await.expect_err("nobody there");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Timeout, "host_offline")
    );
    assert!(error.advice().contains("agent"), "{error}");
}

#[tokio::test]
async fn a_session_is_its_owners_alone() {
    let mut scene = Scene::start().await;
    let host_id = scene.agents[0].host_id().await;
    let viewer = scene.client_as("viewer").await;
    let error = viewer
        .host(host_id)
        .await
        .expect("may look")
        .session()
        .await
        .expect_err("may not");
    assert_eq!((error.code(), error.status()), ("forbidden", Some(403)));
    // Two programs on one host each have their own.
    let other = scene.client_as("operator").await;
    let (mine, theirs) = (scene.session().await, other.host(host_id).await.expect("a host"));
    let theirs = theirs.session().await.expect("a session");
    assert_ne!(mine.id(), theirs.id());
    mine.close().await.expect("closed");
    theirs.list_processes().await.expect("not closed with it");
    theirs.close().await.expect("closed");
}

/// Where a program that another test started finds its server, and what it is to do.
const PROGRAM: &str = "TRIPLINE_CLIENT_PROGRAM";

#[test]
#[ignore = "a program that other tests start and kill"]
fn a_program_with_a_session() {
    let Ok(given) = std::env::var(PROGRAM) else { return };
    let given: serde_json::Value = serde_json::from_str(&given).expect("JSON");
    let text = |key: &str| given[key].as_str().expect("a text").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = Client::builder(text("url"))
            .ca_file(text("ca"))
            .token(text("token"));
        let client = client.connect().await.expect("a client");
        let _session = client
            .host(text("host"))
            .await
            .expect("a host")
            .session()
            .await
            .expect("a session");
        std::fs::write(text("told"), "open").expect("told");
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_program_that_lives_keeps_its_session_and_one_that_is_killed_loses_it_by_its_lease() {
    let settings = [ONE_SLOT, &[("slots.idle_timeout", "3s")]].concat();
    let mut scene = Scene::start_with(&settings, 1).await;
    let host_id = scene.agents[0].host_id().await;
    let told = scene.path("told");
    let given = json!({
        "url": scene.url, "ca": scene.server.data_dir().join("tls/ca.pem"), "token": scene.token,
        "host": host_id, "told": told,
    });
    let mut program = Process::new("a program with a session", scene.path("program.log"));
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([
        "--ignored",
        "--exact",
        "sessions::a_program_with_a_session",
        "--nocapture",
    ]);
    command.env(PROGRAM, given.to_string());
    program.spawn(command);
    until("it has a session", || told.exists()).await;
    let api = scene.api();
    let session = || async { api.get("/v1/sessions?open=true").await.body["items"][0].clone() };
    let opened = session().await;
    eventually("it has outlived its idle timeout twice", async || {
        let seconds = |field: &str, of: &serde_json::Value| -> i64 {
            let time: tripline_protocol::Timestamp =
                serde_json::from_value(of[field].clone()).expect("a time");
            time.as_micros() / 1_000_000
        };
        let now = session().await;
        assert_eq!(now["session_id"], opened["session_id"], "it was closed: {now}");
        (seconds("last_request_at", &now) - seconds("opened_at", &now) > 6).then_some(())
    })
    .await;
    program.kill();
    // The only slot: whoever comes next gets it once the lease is over.
    let session = scene.session().await;
    session.close().await.expect("closed");
    api.all_slots_free().await;
}
