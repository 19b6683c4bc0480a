//! `tripline-function` beside a real broker: a call is answered when its event is on the stream, and not before.

use crate::harness::{Broker, Outside, Site, clean, eventually};
use async_nats::jetstream;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};
use tripline_service::sign;

const SECRET: &str = "shared";
const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
const STREAM: &str = "TRIPLINE_EVENTS";

/// One run of the program.
async fn run(broker: &str, stdin: Vec<u8>) -> Output {
    run_with(broker, stdin, &[]).await
}

/// One run of the program with more in its environment.
async fn run_with(broker: &str, stdin: Vec<u8>, variables: &[(&str, &OsStr)]) -> Output {
    let mut command = clean(Command::new(env!("CARGO_BIN_EXE_tripline-function")));
    command
        .env("TRIPLINE_SERVICE_SECRET", SECRET)
        .env("TRIPLINE_FUNCTION_DETECTIONS", "miner")
        .env("TRIPLINE__NATS__URL", broker)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("to start");
        let written = child.stdin.take().expect("piped").write_all(&stdin);
        // It ends without reading what it does not need.
        if let Err(error) = written {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
        child.wait_with_output().expect("its end")
    });
    ended.await.expect("no panic")
}

/// What it answers to a call: the status, and the envelope if there is one.
async fn answer(broker: &str, call: &Value) -> (u64, Value) {
    let body = call.to_string();
    let headers = json!({"Lc-Svc-Sig": sign(SECRET, body.as_bytes()), "content-type": "application/json"});
    respond(
        broker,
        &json!({"headers": headers, "body": body, "requestContext": {}}),
    )
    .await
}

async fn respond(broker: &str, request: &Value) -> (u64, Value) {
    let output = run(broker, request.to_string().into_bytes()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let response: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let body = response["body"].as_str().expect("a body");
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (response["statusCode"].as_u64().expect("a status"), body)
}

fn detection(mid: &str) -> Value {
    let data = json!({"cat": "miner", "routing": {"sid": "5f8d1f2e-0000-4000-8000-000000000000"}});
    json!({"version": 1, "etype": "detection", "oid": OID, "mid": mid, "jwt": "never.kept.anywhere", "data": data})
}

/// As the server makes it, as far as it matters here.
async fn make_stream(outside: &Outside) {
    let config = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["tripline.events.>".to_owned()],
        ..Default::default()
    };
    jetstream::new(outside.operator.clone())
        .create_stream(config)
        .await
        .expect("a stream");
}

#[tokio::test]
async fn a_detection_is_on_the_stream_once_under_its_mid_before_it_is_answered() {
    let site = Site::new().await;
    let broker = Broker::start(&site).await;
    let outside = Outside::of(broker.url()).await;
    make_stream(&outside).await;
    for _ in 0..2 {
        let (status, envelope) = answer(broker.url(), &detection("m-1")).await;
        assert_eq!((status, &envelope["success"]), (200, &json!(true)), "{envelope}");
    }
    let messages = outside.read(STREAM).await;
    let [message] = messages.as_slice() else {
        panic!("one message: {messages:?}");
    };
    assert_eq!(
        message.subject.as_str(),
        format!("tripline.events.{OID}.detection")
    );
    let headers = message.headers.as_ref().expect("headers");
    assert_eq!(
        headers.get("Nats-Msg-Id").expect("an id").as_str(),
        format!("{OID}/m-1")
    );
    let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
    assert_eq!(event["id"], "m-1");
    assert_eq!(event["source"], format!("limacharlie/{OID}"));
    assert_eq!(event["data"]["cat"], "miner");
    let text = String::from_utf8_lossy(&message.payload);
    assert!(!text.contains("never.kept.anywhere"), "a token is never stored");
}

#[tokio::test]
async fn without_an_ack_it_is_asked_for_again_and_done_when_the_broker_is_back() {
    let site = Site::new().await;
    let mut broker = Broker::start(&site).await;
    let (_, envelope) = answer(broker.url(), &detection("m-2")).await;
    assert_eq!(envelope["retry"], true, "there is no stream: {envelope}");
    let outside = Outside::of(broker.url()).await;
    make_stream(&outside).await;
    broker.kill();
    let (status, envelope) = answer(broker.url(), &detection("m-2")).await;
    assert_eq!((status, &envelope["retry"]), (200, &json!(true)), "{envelope}");
    broker.spawn().await;
    let (_, envelope) = answer(broker.url(), &detection("m-2")).await;
    assert_eq!(envelope["success"], true, "{envelope}");
    eventually("it is there once", async || {
        (outside.read(STREAM).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_needs_no_broker_is_answered_without_one() {
    let nowhere = "nats://127.0.0.1:1";
    let (status, health) = answer(nowhere, &json!({"etype": "health"})).await;
    assert_eq!(status, 200);
    let mtd = &health["data"]["mtd"];
    assert_eq!(mtd["detect_subscriptions"], json!(["miner"]));
    assert_eq!(
        mtd["callbacks"],
        json!([
            "health",
            "detection",
            "deployment_event",
            "log_event",
            "new_sensor",
            "service_error"
        ])
    );
    let (_, envelope) = answer(nowhere, &json!({"etype": "request", "oid": OID})).await;
    assert_eq!(
        (&envelope["error"], &envelope["retry"]),
        (&json!("not implemented"), &json!(false))
    );
    let unsigned = json!({"headers": {"lc-svc-sig": "00"}, "body": detection("m").to_string()});
    assert_eq!(respond(nowhere, &unsigned).await, (401, Value::Null));
    let mut large = detection("m");
    large["data"]["filling"] = json!("x".repeat(800 * 1024));
    let (_, envelope) = answer(nowhere, &large).await;
    assert_eq!(envelope["retry"], false, "it would never be taken: {envelope}");
    let taken = tripline::limacharlie::CALL_BYTES_TAKEN_MAX;
    for (bytes, text) in [(taken, "event of"), (taken + 1, "call of")] {
        let empty = detection("m").to_string().len() + r#","filling":"""#.len();
        large["data"]["filling"] = json!("x".repeat(bytes - empty));
        assert_eq!(large.to_string().len(), bytes);
        let (_, envelope) = answer(nowhere, &large).await;
        let error = envelope["error"].as_str().expect("a text");
        assert!(error.starts_with(text), "only what fits is read whole: {error}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_exit_code_2_and_nothing_is_written() {
    for stdin in ["", "hello", "[]"] {
        let output = run("nats://127.0.0.1:1", stdin.into()).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("understand the request"), "{said}");
    }
    let output = run("not a url", b"{}".to_vec()).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_exit_code_2_where_they_count_and_nothing_elsewhere() {
    let (nowhere, no_text) = ("nats://127.0.0.1:1", OsStr::from_bytes(b"s\xff"));
    let request = json!({"headers": {}, "body": ""}).to_string().into_bytes();
    let output = run_with(nowhere, request.clone(), &[("PS1", no_text)]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["TRIPLINE_SERVICE_SECRET", "TRIPLINE__NATS__USER"] {
        let output = run_with(nowhere, request.clone(), &[(name, no_text)]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said.contains(&format!("{name} is not UTF-8")), "{said}");
    }
}

#[tokio::test]
async fn a_request_is_read_up_to_its_bound() {
    let mut stdin = json!({"headers": {}, "body": ""}).to_string().into_bytes();
    stdin.resize(80 * 1024 * 1024, b' ');
    let output = run("nats://127.0.0.1:1", stdin.clone()).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "it has no signature, and is a request"
    );
    stdin.push(b' ');
    let output = run("nats://127.0.0.1:1", stdin).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
