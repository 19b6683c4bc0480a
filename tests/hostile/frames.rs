//! Frames that no good agent sends: the connection ends with `protocol_error`, is counted, and the log names the host.

use crate::harness::scripted::Error;
use crate::harness::scripted::connection::Account;
use crate::scene::Scene;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tripline_protocol::CommandId;
use tripline_protocol::frame::Chunk;
use tripline_protocol::limit::{CHUNK_BYTES_MAX, EVENT_BYTES_MAX, FRAME_BYTES_MAX};
use uuid::Uuid;

fn text(frame: impl ToString) -> Message {
    Message::text(frame.to_string())
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

fn result_with(output: Value) -> Value {
    json!({"type": "result", "command_id": Uuid::new_v4(), "output": output})
}

fn event(id: &str, data: Value) -> Value {
    json!({"type": "event", "id": id, "etype": "acme.lie", "time": "2026-11-21T00:00:00Z", "data": data})
}

/// Text that is no UTF-8 can only be sent as a bare frame.
fn invalid_utf8() -> Message {
    Message::Frame(Frame::message(
        vec![b'{', 0xff, 0xfe],
        OpCode::Data(Data::Text),
        true,
    ))
}

/// What breaks the protocol, by name.
fn wrong() -> Vec<(&'static str, Message)> {
    let chunk = |bytes: usize, offset| {
        let bytes = &vec![0; bytes];
        let command_id = CommandId(Uuid::new_v4());
        Message::binary(
            Chunk {
                command_id,
                offset,
                bytes,
            }
            .encode(),
        )
    };
    let evil = format!("x\n2026-11-21 WARN forged\u{1b}[2J{}", "y".repeat(5000));
    let fault = json!({"class": evil, "code": "x", "text": "x"});
    let deep = "[".repeat(100_000);
    vec![
        ("no JSON", text("hello there")),
        ("no object", text("[1]")),
        ("no type", text("{}")),
        (
            "a known type without its fields",
            text(json!({"type": "accepted"})),
        ),
        (
            "an id that is none",
            text(json!({"type": "accepted", "command_id": "../../x"})),
        ),
        ("no UTF-8", invalid_utf8()),
        (
            "nested without end",
            text(format!("{{\"type\":\"event\",\"data\":{deep}")),
        ),
        ("an output nested too deeply", text(result_with(nested(70)))),
        ("an event nested too deeply", text(event("e", nested(70)))),
        (
            "a class that does not exist",
            text(json!({"type": "result", "command_id": Uuid::nil(), "error": fault})),
        ),
        (
            "a text over its limit",
            text(json!({"type": "ping", "x": "x".repeat(FRAME_BYTES_MAX)})),
        ),
        ("a piece over its limit", chunk(CHUNK_BYTES_MAX + 1, 0)),
        ("a piece beyond what can be counted", chunk(8, u64::MAX)),
        ("bytes that are no piece", Message::binary(vec![1; 10])),
        ("an event without an id", text(event("", json!({})))),
        (
            "an event with a name of two lines",
            text(event("a\r\nNats-Msg-Id: b", json!({}))),
        ),
        (
            "an event with a name without end",
            text(event(&"x".repeat(2000), json!({}))),
        ),
        (
            "an event over its limit",
            text(event("large", json!("x".repeat(EVENT_BYTES_MAX)))),
        ),
    ]
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_its_connection_and_nothing_else() {
    let mut scene = Scene::start(&[]).await;
    let ends = "tripline_agent_channel_ends_total";
    for (number, (name, message)) in wrong().into_iter().enumerate() {
        println!("{name}");
        let mut liar = scene.liar(&format!("liar{number}")).await;
        let before = scene.metric(ends, "reason=\"protocol_error\"").await;
        // What is over its limit is not read to its end, so that sending it may fail, and the last word be lost.
        let is_long = name.ends_with("over its limit");
        let sent = liar.try_send(message).await;
        assert!(sent.is_ok() || is_long, "{name}: {sent:?}");
        let farewell = liar.farewell().await;
        assert!(
            farewell == "protocol_error" || (is_long && farewell.is_empty()),
            "{name}: {farewell}"
        );
        scene.counted(ends, "reason=\"protocol_error\"", before).await;
        scene.api.attached(liar.host_id, false).await;
        let host = liar.host_id.to_string();
        let lines = scene.logged(&["WARN", &host]);
        assert!(!lines.is_empty(), "{name}: the log does not name the host");
        assert!(lines.iter().all(|line| line.len() < 2000), "{name}: {lines:?}");
    }
    assert_eq!(
        scene.logged(&["forged"]).len(),
        scene.logged(&["WARN", "host=", "forged"]).len()
    );
    assert_eq!(
        scene
            .metric("tripline_host_frames_refused_total", "reason=\"event\"")
            .await,
        4.0
    );
    let stream = scene.server.outside().await.stream("TRIPLINE_EVENTS").await;
    let theirs = stream
        .get_last_raw_message_by_subject("tripline.events.default.acme.lie")
        .await;
    assert!(theirs.is_err(), "an event of theirs was published");
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_hello_that_is_not_legal_is_refused_with_its_reason_and_changes_nothing() {
    let mut scene = Scene::start(&[]).await;
    let long = "x".repeat(100_000);
    let mut liar = scene.liar("liar").await;
    let known = scene.api.host(liar.host_id).await.expect("a host");
    for (field, value) in [
        ("hostname", json!(long)),
        ("hostname", json!("two\nlines")),
        ("platform", json!(long)),
        ("arch", json!("x\u{1b}[2J")),
        ("os_version", json!(long)),
        ("os_version", json!("Debian\r\nforged")),
        ("agent_version", json!(long)),
        ("addresses", json!([long])),
        ("addresses", json!(vec!["10.0.0.1"; 10_000])),
        ("labels", json!([long])),
        ("labels", json!(["a b"])),
        ("labels", json!(vec!["x"; 1_000])),
    ] {
        liar.come_again().await;
        liar.introduce(json!({field: value})).await;
        assert_eq!(liar.farewell().await, "protocol_error", "{field}");
    }
    let now = scene.api.host(liar.host_id).await.expect("a host");
    assert_eq!(
        (&now.hostname, &now.labels, &now.platform),
        (&known.hostname, &known.labels, &known.platform)
    );
    let host = liar.host_id.to_string();
    let lines = scene.logged(&["WARN", &host, "its hello is refused"]);
    // Twelve refusals within a minute: some are told, the others counted.
    assert!((1..=10).contains(&lines.len()), "{lines:?}");
    assert!(lines.iter().all(|line| line.len() < 1000), "{lines:?}");
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_verb_named_ten_thousand_times_is_one_verb() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    liar.come_again().await;
    liar.introduce(json!({"verbs": vec!["get_file"; 10_000]})).await;
    assert_eq!(liar.hears().await["type"], "welcome");
    let view = scene.api.get(&format!("/v1/hosts/{}", liar.host_id)).await;
    assert!(
        view.body.to_string().len() < 5_000,
        "{} bytes",
        view.body.to_string().len()
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn hello_comes_first_and_once_and_speaks_for_its_own_host_only() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    liar.introduce(json!({})).await;
    assert_eq!(liar.farewell().await, "protocol_error");
    liar.come_again().await;
    liar.say(json!({"type": "ping"})).await;
    assert_eq!(liar.farewell().await, "protocol_error");
    liar.come_again().await;
    liar.chunk(CommandId(Uuid::new_v4()), 0, b"x").await;
    assert_eq!(liar.farewell().await, "protocol_error");
    // Whose host it is, the key says; what hello says of it is passed over.
    liar.come_again().await;
    liar.introduce(json!({"host_id": scene.honest.host_id(), "hostname": "honest"}))
        .await;
    let welcome = liar.hears().await;
    assert_eq!(welcome["host_id"], json!(liar.host_id));
    assert_eq!(scene.honest.seen().attachments, 1);
    // Nobody takes another's key over, neither by enrolling with it nor by naming it.
    let url = scene.server.url();
    let mut stranger = Account::enrol(&url, &scene.api.enrol_token().await, "stranger", "linux")
        .await
        .expect("enrolled");
    stranger.key = "x".repeat(32);
    assert!(matches!(stranger.open().await, Err(Error::Refused(401))));
    scene.honest_work_is_done().await;
}
