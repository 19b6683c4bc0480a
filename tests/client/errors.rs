//! What goes wrong on real hosts, by class.

use crate::harness::wait_at;
use crate::scene::{Scene, on_host};
use std::time::Duration;
use tripline_client::{Error, FaultClass, Verb, VerbCall};

#[tokio::test]
async fn the_hosts_own_errors_have_its_codes_and_words() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let folder = scene.path("folder");
    std::fs::create_dir_all(folder.join("inside")).expect("a folder");
    let nowhere = || on_host(&folder.join("nowhere"));
    let cases = [
        (session.get_file(nowhere()).to_bytes().await.map(drop), "ENOENT"),
        (session.list_directory(nowhere()).await.map(drop), "ENOENT"),
        (session.delete_file(nowhere()).await, "ENOENT"),
        (session.delete_file(on_host(&folder)).await, "ENOTEMPTY"),
        (
            session.create_process(["/nowhere/at/all"]).await.map(drop),
            "ENOENT",
        ),
        (session.kill_process(4_000_000).await, "ESRCH"),
        (
            session
                .put_file("/nowhere/at/all")
                .from_bytes("x")
                .await
                .map(drop),
            "ENOENT",
        ),
    ];
    for (result, code) in cases {
        let error = result.expect_err(code);
        assert_eq!(
            (error.class(), error.code()),
            (FaultClass::LiveResponse, code),
            "{error}"
        );
        let Error::LiveResponse(host) = &error else {
            panic!("{error:?}")
        };
        assert!(!host.text.is_empty());
    }
    session.close().await.expect("closed");
}

#[tokio::test]
async fn what_takes_too_long_is_a_timeout_and_is_ended() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let command = session.create_process(["/bin/sleep", "987653"]);
    let error = command
        .timeout(Duration::from_millis(300))
        .await
        .expect_err("too long");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Timeout, "command_timeout"),
        "{error}"
    );
    let processes = session.list_processes().await.expect("a list").processes;
    assert!(
        !processes
            .iter()
            .any(|process| process.command_line.contains("987653"))
    );
    session.close().await.expect("closed");
}

#[tokio::test]
async fn what_is_not_offered_and_what_is_wrong_is_unsupported() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    assert!(!session.verbs().contains(&Verb::GetRegistryValue));
    let cases = [
        (
            session.get_registry_value(r"HKLM\Software\Acme").await.map(drop),
            "unsupported_verb",
        ),
        (
            session.get_raw_file("/dev/null").to_bytes().await.map(drop),
            "not_a_regular_file",
        ),
        (session.create_process([""; 0]).await.map(drop), "bad_argument"),
        (session.delete_file("").await, "bad_argument"),
        (session.list_directory("a\0b").await.map(drop), "bad_argument"),
        (
            session.get_file("/dev/null").to_bytes().await.map(drop),
            "not_a_regular_file",
        ),
    ];
    for (result, code) in cases {
        let error = result.expect_err(code);
        assert_eq!(
            (error.class(), error.code()),
            (FaultClass::Unsupported, code),
            "{error}"
        );
    }
    let long = session
        .list_processes()
        .timeout(Duration::from_secs(90_000))
        .await;
    assert_eq!(long.expect_err("too long").code(), "bad_timeout");
    session.close().await.expect("closed");
}

#[tokio::test]
async fn any_verb_can_be_run_as_it_is_on_the_wire() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let call = VerbCall::parse(Verb::ListDirectory, serde_json::json!({"path": "/"})).expect("arguments");
    let output = session.run(call).await.expect("a list");
    assert!(output["files"].as_array().is_some_and(|files| !files.is_empty()));
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_ended_on_the_host_and_the_session_goes_on() {
    let mut scene = Scene::start().await;
    let session = scene.session().await;
    let (begun, gate) = (scene.path("begun"), scene.site.write("gate", ""));
    let argv: Vec<String> = serde_json::from_value(wait_at(&begun, &gate)["argv"].clone()).expect("words");
    let waited = {
        let running = session.create_process(argv).into_future();
        let begins = crate::harness::until("it runs", || begun.exists());
        tokio::select! {
            ended = running => Some(ended),
            () = begins => None,
        }
    };
    assert!(waited.is_none(), "{waited:?}");
    // It is cancelled before this is begun: a session's commands run one after the other.
    session.list_processes().await.expect("a list");
    let commands = session.commands().list().await.expect("commands");
    assert_eq!(commands[0].state, tripline_client::CommandState::Cancelled);
    assert!(gate.exists());
    session.close().await.expect("closed");
}
