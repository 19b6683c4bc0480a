//! Handing commands over, waiting for them, and cancelling them.

use crate::Session;
use crate::stub::{Asked, Reply, Stub, command, of_session};
use serde_json::{Value, json};
use std::time::Duration;
use tripline_protocol::FaultClass;

const COMMANDS: &str = "/commands";
const FIRST: &str = "/commands/1";

/// A server that takes a command and shows it as `view` ever after.
async fn showing(view: Value) -> Stub {
    Stub::with_session(move |asked| {
        if asked.is("POST", &of_session(COMMANDS)) {
            return Some(Reply::json(201, &command("list_processes", "pending", json!({}))));
        }
        let shown = asked.is("GET", &of_session(FIRST)) || asked.is("DELETE", &of_session(FIRST));
        shown.then(|| Reply::json(200, &view))
    })
    .await
}

fn done(verb: &str, output: Value) -> Reply {
    Reply::json(201, &command(verb, "succeeded", json!({"output": output})))
}

/// Loses the answer to the first command; the transcript then has what `kept` makes of it. It keeps no keys: to a
/// command with one it is busy.
async fn losing(kept: impl Fn(&Asked) -> Option<Value> + Send + 'static) -> Stub {
    let mut first: Option<Asked> = None;
    Stub::with_session(move |asked| {
        if asked.is("POST", &of_session(COMMANDS)) {
            if asked.header("idempotency-key").is_some() {
                return Some(Reply::problem(503, "busy"));
            }
            return Some(match first.replace(asked.clone()) {
                None => Reply::HangUp,
                Some(_) => done("create_process", json!({"pid": 2, "exit_code": 0})),
            });
        }
        let listed = asked.is("GET", &of_session(COMMANDS));
        let items: Vec<Value> = first.as_ref().and_then(&kept).into_iter().collect();
        listed.then(|| Reply::json(200, &json!({"items": items})))
    })
    .await
}

#[tokio::test]
async fn a_command_is_waited_for_until_it_has_ended() {
    let output = json!({"processes": [], "omitted": 3});
    let mut looks = 0;
    let stub = Stub::with_session(move |asked| {
        if asked.is("POST", &of_session(COMMANDS)) {
            return Some(Reply::json(201, &command("list_processes", "pending", json!({}))));
        }
        if !asked.is("GET", &of_session(FIRST)) {
            return None;
        }
        looks += 1;
        Some(match looks {
            1 => Reply::json(200, &command("list_processes", "running", json!({}))),
            2 => Reply::HangUp,
            _ => Reply::json(
                200,
                &command("list_processes", "succeeded", json!({"output": output})),
            ),
        })
    })
    .await;
    let session = stub.session().await;
    assert_eq!(session.list_processes().await.unwrap().omitted, 3);
    let sent = stub.until("POST", &of_session(COMMANDS)).await.json();
    assert_eq!(
        (&sent["verb"], &sent["arguments"]),
        (&json!("list_processes"), &json!({}))
    );
    let held = stub.until("GET", &of_session(FIRST)).await;
    assert!(held.line.ends_with("?wait=30000ms"), "{held:?}");
    assert_eq!(stub.count("DELETE", &of_session(FIRST)), 0);
}

#[tokio::test]
async fn what_was_said_of_a_command_is_sent() {
    let stub = Stub::with_session(|asked| {
        asked
            .is("POST", &of_session(COMMANDS))
            .then(|| done("create_process", json!({"pid": 2})))
    })
    .await;
    let session = stub.session().await;
    let command = session
        .create_process(["/bin/tool", ""])
        .working_directory("/tmp")
        .environment("A", "b")
        .wait(false)
        .output_path("/tmp/out")
        .kill_after(Duration::from_secs(2))
        .timeout(Duration::from_millis(1500))
        .idempotent(true);
    assert_eq!(command.await.unwrap().pid, 2);
    let sent = stub.until("POST", &of_session(COMMANDS)).await.json();
    let arguments = json!({
        "argv": ["/bin/tool", ""], "working_directory": "/tmp", "environment": {"A": "b"}, "wait": false,
        "output_path": "/tmp/out", "timeout": "2s",
    });
    assert_eq!(sent["arguments"], arguments);
    assert_eq!(
        (&sent["timeout"], &sent["idempotent"]),
        (&json!("1s 500ms"), &json!(true))
    );
}

#[tokio::test]
async fn the_error_of_a_command_is_that_of_its_host() {
    let error =
        json!({"error": {"class": "live_response", "code": "ENOENT", "text": "not there", "detail": [1]}});
    let stub = showing(command("list_processes", "failed", error)).await;
    let session = stub.session().await;
    let error = session.list_processes().await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::LiveResponse, "ENOENT")
    );
    assert_eq!((error.text(), error.detail()), ("not there", Some(&json!([1]))));
}

#[tokio::test]
async fn an_output_that_is_kept_apart_is_read_from_there() {
    let sha256 = "0".repeat(64);
    let kept = json!({"artifact": {"sha256": sha256, "bytes": 9, "name": "command1.json"}});
    let view = command("list_processes", "succeeded", kept);
    let stub = Stub::with_session(move |asked| {
        if asked.is("GET", &of_session("/commands/1/output")) {
            return Some(Reply::json(200, &json!({"processes": [], "omitted": 5})));
        }
        asked
            .is("POST", &of_session(COMMANDS))
            .then(|| Reply::json(201, &view))
    })
    .await;
    let session = stub.session().await;
    assert_eq!(session.list_processes().await.unwrap().omitted, 5);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_found_in_the_transcript_and_not_sent_again() {
    let stub = losing(|first| {
        let origin = first.json()["origin"].clone();
        let more = json!({"origin": origin, "output": {"pid": 1, "exit_code": 0}});
        Some(command("create_process", "succeeded", more))
    })
    .await;
    let session = stub.session().await;
    let outcome = session.create_process(["/bin/true"]).await.unwrap();
    assert_eq!(outcome.pid, 1);
    assert_eq!(stub.count("POST", &of_session(COMMANDS)), 2);
}

#[tokio::test]
async fn a_changing_command_whose_answer_was_lost_is_asked_for_again_under_the_same_key() {
    let mut lost = 0;
    let stub = Stub::with_session(move |asked| {
        asked.is("POST", &of_session(COMMANDS)).then(|| {
            lost += 1;
            match lost {
                1 | 2 => Reply::HangUp,
                // The server has been busy since: that says nothing of the first time.
                3 => Reply::problem(503, "busy"),
                _ => done("create_process", json!({"pid": 7, "exit_code": 0})),
            }
        })
    })
    .await;
    let session = stub.session().await;
    let outcome = session.create_process(["/bin/true"]).await.unwrap();
    assert_eq!(outcome.pid, 7);
    let asked = stub.asked();
    let sent: Vec<_> = asked
        .iter()
        .filter(|asked| asked.is("POST", &of_session(COMMANDS)))
        .map(|asked| (asked.header("idempotency-key"), asked.json()))
        .collect();
    assert_eq!(sent.len(), 4);
    assert!(sent[0].0.is_some());
    assert!(sent.iter().all(|again| *again == sent[0]), "{sent:?}");
}

#[tokio::test]
async fn a_command_that_reads_needs_no_key() {
    let stub = Stub::with_session(|asked| {
        let output = json!({"processes": [], "omitted": 0});
        asked
            .is("POST", &of_session(COMMANDS))
            .then(|| done("list_processes", output))
    })
    .await;
    stub.session().await.list_processes().view().await.unwrap();
    let sent = stub.until("POST", &of_session(COMMANDS)).await;
    assert_eq!(sent.header("idempotency-key"), None);
}

#[tokio::test]
async fn a_changing_command_that_is_never_answered_is_lost() {
    let stub =
        Stub::with_session(|asked| asked.is("POST", &of_session(COMMANDS)).then_some(Reply::HangUp)).await;
    let client = stub.client_with_patience(std::time::Duration::from_millis(300));
    let session = client.host("web01").await.unwrap().session().await.unwrap();
    let error = session.create_process(["/bin/true"]).await.unwrap_err();
    assert_eq!(error.code(), "command_lost");
    assert!(error.text().contains("nobody knows whether it runs"), "{error}");
}

#[tokio::test]
async fn a_changing_command_that_may_have_been_lost_and_has_no_key_is_not_sent_again() {
    // What another client does at the same time is not taken for it.
    let other = |_: &Asked| {
        let origin = json!({"client": "tripline-client", "id": "another"});
        Some(command("create_process", "succeeded", json!({"origin": origin})))
    };
    let stub = losing(other).await;
    let session = stub.session().await;
    let error = session.create_process(["/bin/true"]).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Server, "command_lost")
    );
    assert_eq!(stub.count("POST", &of_session(COMMANDS)), 2);
}

#[tokio::test]
async fn a_lost_command_is_sent_again_when_it_may_run_twice() {
    let stub = losing(|_| None).await;
    let session = stub.session().await;
    let outcome = session
        .create_process(["/bin/true"])
        .idempotent(true)
        .await
        .unwrap();
    assert_eq!(outcome.pid, 2);
    let stub = losing(|_| None).await;
    // It only reads; what comes back is of another verb, which does not matter here.
    stub.session().await.list_processes().view().await.unwrap();
    assert_eq!(stub.count("POST", &of_session(COMMANDS)), 2);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_cancelled() {
    let stub = showing(command("list_processes", "running", json!({}))).await;
    let session = stub.session().await;
    {
        let running = std::pin::pin!(session.list_processes().into_future());
        let first = of_session(FIRST);
        let looked = stub.until("GET", &first);
        tokio::select! {
            ended = running => panic!("it ended: {ended:?}"),
            _ = looked => {}
        }
    }
    stub.until("DELETE", &of_session(FIRST)).await;
}

#[tokio::test]
async fn a_command_that_is_dropped_while_it_is_handed_over_is_cancelled() {
    let stub = showing(command("list_processes", "running", json!({}))).await;
    let session = stub.session().await;
    let mut running = session.list_processes().into_future();
    let polled = futures_util::poll!(&mut running);
    assert!(polled.is_pending());
    drop(running);
    stub.until("DELETE", &of_session(FIRST)).await;
}

#[tokio::test]
async fn a_command_that_has_ended_is_not_cancelled() {
    let failed = json!({"error": {"class": "timeout", "code": "command_timeout", "text": "late"}});
    let stub = showing(command("list_processes", "failed", failed)).await;
    let session = stub.session().await;
    let error = session.list_processes().await.unwrap_err();
    assert_eq!(error.class(), FaultClass::Timeout);
    session.close().await.unwrap();
    assert_eq!(stub.count("DELETE", &of_session(FIRST)), 0);
}

/// Futures of commands go to other threads, as programs send them.
#[test]
fn sessions_and_their_commands_can_be_sent_to_other_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Send + Sync>() {}
    is_sync::<Session>();
    is_sync::<crate::Client>();
    is_sync::<crate::Error>();
    let _ = |session: Session, host: crate::Host| {
        is_send(&session.list_processes().into_future());
        is_send(&session.get_file("/x").to_path("x"));
        is_send(&session.put_file("/x").from_path("x"));
        is_send(&session.commands());
        is_send(&host.session().into_future());
        is_send(&session.close());
    };
}
