//! Streams of events from a server that breaks off, lies and refuses. What a real one does is tested in `tests/client`.

use super::feed::SILENCE_MAX;
use super::*;
use crate::stub::{Asked, Reply, Stub};
use serde_json::json;
use std::collections::VecDeque;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// A part of a stream, which breaks off behind it.
fn part(text: &str) -> Reply {
    Reply::Raw(HEAD.to_owned(), text.as_bytes().to_vec())
}

fn event(sequence: u64, data: &str) -> String {
    format!(
        "id: {sequence}\nevent: x\ndata: {{\"specversion\":\"1.0\",\"id\":\"{sequence}\",\"source\":\"s\",\"type\":\"x\",\
         \"time\":\"2026-11-21T00:00:00Z\",\"datacontenttype\":\"application/json\",\"org\":\"default\",\
         \"attestedby\":\"publisher\",\"data\":{data}}}\n\n"
    )
}

/// Gives these replies one after the other, then nothing.
async fn stub(replies: impl IntoIterator<Item = Reply>) -> Stub {
    let mut replies: VecDeque<Reply> = replies.into_iter().collect();
    Stub::start(move |_| replies.pop_front().unwrap_or(Reply::Silence)).await
}

async fn begun(stub: &Stub) -> EventStream {
    stub.client().events(["x"]).await.expect("it begins")
}

async fn id(events: &mut EventStream) -> String {
    events.next_event().await.expect("an event").id
}

fn last_event_ids(stub: &Stub) -> Vec<Option<String>> {
    let id = |asked: &Asked| asked.header("last-event-id").map(str::to_owned);
    stub.asked().iter().map(id).collect()
}

#[tokio::test]
async fn a_stream_goes_on_behind_what_was_told_last() {
    let stub = stub([
        part(&format!("id: 4\n\n{}", event(5, "1"))),
        part("id: 5\n\n: alive\nid: 9\n\n"),
        part(&format!(
            "id: 9\n\n{}{}",
            event(10, "2"),
            event(11, "3").trim_end()
        )),
        Reply::HangUp,
        Reply::problem(503, "unavailable"),
        part(&event(11, "3")),
    ])
    .await;
    let mut events = begun(&stub).await;
    assert_eq!(events.position(), 4);
    for number in ["5", "10", "11"] {
        assert_eq!(id(&mut events).await, number);
    }
    assert_eq!(events.position(), 11);
    let ids = [None, Some("5"), Some("9"), Some("10"), Some("10"), Some("10")];
    assert_eq!(last_event_ids(&stub), ids.map(|id| id.map(str::to_owned)));
    assert_eq!(stub.asked()[0].line, "GET /v1/events?etype=x");
}

#[tokio::test]
async fn what_is_asked_for_is_said() {
    let stub = stub([part("id: 7\n\n")]).await;
    let events = stub
        .client()
        .events(["a.*", "b"])
        .org("acme")
        .host("web 1")
        .after(7);
    assert_eq!(events.await.expect("it begins").position(), 7);
    let line = "GET /v1/events?etype=a.*&etype=b&host=web+1&org=acme";
    assert_eq!(stub.asked()[0].line, line);
    assert_eq!(last_event_ids(&stub), [Some("7".to_owned())]);
}

#[tokio::test]
async fn a_gap_is_told_and_the_stream_goes_on() {
    let gap = "id: 8\nevent: gap\ndata: {\"after\":4,\"next\":9,\"lost\":4}\n\n";
    let named = event(9, "0").replace("event: x", "event: gap");
    let text = format!("id: 4\n\n{gap}{named}{gap}{}", event(10, "1"));
    let mut events = begun(&stub([part(&text)]).await).await;
    let told = events.next_heard().await.expect("it goes on").expect("a gap");
    let expected = StreamGap {
        after: 4,
        next: 9,
        lost: Some(4),
    };
    assert_eq!(told, Heard::Gap(expected));
    assert_eq!(id(&mut events).await, "9", "an etype may be called so");
    let error = events.next_event().await.expect_err("a gap");
    assert_eq!(
        (error.code(), error.text()),
        ("events_lost", "4 events behind number 4 are gone, of all types")
    );
    assert_eq!(id(&mut events).await, "10");
}

#[tokio::test]
async fn an_event_that_cannot_be_understood_is_told_and_does_not_end_the_stream() {
    let text = format!("id: 1\n\nid: 2\nevent: x\ndata: nonsense\n\n{}", event(3, "1"));
    let mut events = begun(&stub([part(&text)]).await).await;
    assert_eq!(
        events.next_event().await.expect_err("nonsense").code(),
        "bad_answer"
    );
    assert_eq!(id(&mut events).await, "3");
}

#[tokio::test]
async fn a_refusal_that_does_not_pass_ends_the_stream() {
    let stub = stub([part("id: 1\n\n"), Reply::problem(401, "unauthenticated")]).await;
    let mut events = begun(&stub).await;
    assert_eq!(
        events.next_event().await.expect_err("refused").code(),
        "unauthenticated"
    );
    assert!(events.next_heard().await.is_none());
    assert_eq!(
        events.next_event().await.expect_err("over").code(),
        "stream_ended"
    );
}

#[tokio::test]
async fn a_stream_that_may_not_begin_says_why() {
    for (status, code) in [
        (401, "unauthenticated"),
        (403, "forbidden"),
        (400, "bad_parameter"),
        (404, "not_found"),
    ] {
        let stub = stub([Reply::problem(status, code)]).await;
        assert_eq!(stub.client().events(["x"]).await.expect_err(code).code(), code);
    }
}

#[tokio::test]
async fn who_is_not_patient_for_ever_is_told_when_the_server_stays_away() {
    let stub = Stub::start({
        let mut first = true;
        move |_| match std::mem::replace(&mut first, false) {
            true => part("id: 1\n\n"),
            false => Reply::HangUp,
        }
    })
    .await;
    let events = stub
        .client()
        .events(["x"])
        .give_up_after(Duration::from_millis(300));
    let mut events = events.await.expect("it begins");
    assert_eq!(events.next_event().await.expect_err("away").code(), "unreachable");
}

#[tokio::test]
async fn a_block_without_an_end_ends_the_stream() {
    let endless = format!("id: 1\n\ndata: {}", "x".repeat(9 * 1024 * 1024));
    let mut events = begun(&stub([part(&endless)]).await).await;
    assert_eq!(
        events.next_event().await.expect_err("too long").code(),
        "bad_answer"
    );
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let text = format!("id: 1\n\n{}", event(2, "18446744073709551615"));
    let mut events = begun(&stub([part(&text)]).await).await;
    assert_eq!(events.next_event().await.expect("an event").data, json!(u64::MAX));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_silent_for_too_long_is_connected_again() {
    let silent = Reply::Open(
        HEAD.to_owned(),
        format!("id: 4\n\n{}", event(5, "1")).into_bytes(),
    );
    let stub = stub([silent, part(&event(6, "2"))]).await;
    let mut events = begun(&stub).await;
    assert_eq!(id(&mut events).await, "5");
    let since = tokio::time::Instant::now();
    assert_eq!(id(&mut events).await, "6");
    assert!(since.elapsed() >= SILENCE_MAX, "not before its time");
    assert_eq!(last_event_ids(&stub), [None, Some("5".to_owned())]);
}
