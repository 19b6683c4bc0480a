//! Servers and agents that are killed, between commands and during them.

use crate::harness::{until, wait_at};
use crate::scene::{Scene, content, on_host};
use std::path::Path;
use std::pin::Pin;
use tripline_client::{Error, FaultClass, ProcessOutcome, Session};

/// A program on the host that has begun, and goes on while its gate is there.
type Gated<'s> = Pin<Box<dyn Future<Output = Result<ProcessOutcome, Error>> + Send + 's>>;

async fn begin<'s>(session: &'s Session, begun: &Path, gate: &Path) -> Gated<'s> {
    let argv: Vec<String> = serde_json::from_value(wait_at(begun, gate)["argv"].clone()).expect("words");
    let mut running = session.create_process(argv).into_future();
    tokio::select! {
        ended = &mut running => panic!("it ended: {ended:?}"),
        () = until("it has begun", || begun.exists()) => running,
    }
}

#[tokio::test]
async fn a_session_goes_on_with_a_server_that_was_killed_between_two_commands() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let path = scene.path("file");
    session
        .put_file(on_host(&path))
        .from_bytes("before")
        .await
        .expect("put");
    scene.server.kill();
    // It asks while there is no server, and has its answer when there is one again.
    let asked = async { session.get_file(on_host(&path)).to_bytes().await };
    let restarted = async {
        scene.server.spawn();
        scene.server.ready().await;
    };
    let (got, ()) = tokio::join!(asked, restarted);
    assert_eq!(got.expect("got"), b"before");
    session
        .put_file(on_host(&path))
        .from_bytes("after")
        .await
        .expect("put");
    assert_eq!(std::fs::read(&path).expect("a file"), b"after");
    session.close().await.expect("closed");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_command_that_runs_while_the_server_is_killed_ends_as_if_nothing_had_been() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let (begun, gate) = (scene.path("begun"), scene.site.write("gate", ""));
    let gated = begin(&session, &begun, &gate).await;
    let restarted = async {
        scene.server.crash().await;
        std::fs::remove_file(&gate).expect("opened");
    };
    let (outcome, ()) = tokio::join!(gated, restarted);
    assert_eq!(outcome.expect("it ran").exit_code, Some(0));
    let begun = std::fs::read_to_string(&begun).expect("a file");
    assert_eq!(begun.lines().count(), 1, "it ran once");
    session.close().await.expect("closed");
}

#[tokio::test]
async fn an_upload_and_a_download_outlive_a_server_that_is_killed() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let (here, there, back) = (scene.path("here"), scene.path("there"), scene.path("back"));
    std::fs::write(&here, content(30 << 20)).expect("written");
    let (tell, mut told) = tokio::sync::watch::channel(0);
    let up = session.put_file(on_host(&there)).progress(move |progress| {
        tell.send_replace(progress.bytes_done);
    });
    let crash = async {
        told.wait_for(|bytes| *bytes > 4 << 20).await.expect("it moves");
        scene.server.crash().await;
    };
    let (put, ()) = tokio::join!(up.from_path(&here), crash);
    put.expect("put");
    assert!(std::fs::read(&there).expect("a file") == content(30 << 20));
    let (tell, mut told) = tokio::sync::watch::channel(0);
    let down = session.get_file(on_host(&there)).progress(move |progress| {
        tell.send_replace(progress.bytes_done);
    });
    let crash = async {
        told.wait_for(|bytes| *bytes > 4 << 20).await.expect("it moves");
        scene.server.crash().await;
    };
    let (got, ()) = tokio::join!(down.to_path(&back), crash);
    got.expect("got");
    assert!(std::fs::read(&back).expect("a file") == content(30 << 20));
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_changing_command_whose_agent_died_in_it_is_an_error_and_not_run_again() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let (begun, gate) = (scene.path("begun"), scene.site.write("gate", ""));
    let gated = begin(&session, &begun, &gate).await;
    scene.agents[0].kill();
    std::fs::remove_file(&gate).expect("opened");
    scene.agents[0].spawn();
    let error = gated.await.expect_err("nobody knows how it ended");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Server, "interrupted"),
        "{error}"
    );
    let begun = std::fs::read_to_string(&begun).expect("a file");
    assert_eq!(begun.lines().count(), 1, "it ran once");
    session.list_processes().await.expect("the session goes on");
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_session_is_opened_when_the_server_is_back() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    scene.server.kill();
    let restarted = async {
        scene.server.spawn();
        scene.server.ready().await;
    };
    let (session, ()) = tokio::join!(host.session().into_future(), restarted);
    session.expect("a session").close().await.expect("closed");
}
