//! Connections that break, wait, stall and outlast their listener.

use super::super::listener::BACKLOG;
use super::*;
use crate::http::tests::fills_its_backlog;

#[actix_web::test]
async fn who_goes_before_the_answer_has_not_got_it() {
    let mut world = start(Answers::Never);
    let stream = world.connect().await;
    world.heard().await;
    drop(stream);
    assert!(!world.is_written().await);
    world.over().await;
}

#[actix_web::test]
async fn who_goes_in_the_middle_of_the_answer_has_not_got_it() {
    let mut event = WireEvent::new(EventType::UpdateConfig, "pc", LocalTime::epoch());
    event.text = Some("x".repeat(64 << 20));
    let mut world = start(Answers::Events(vec![event]));
    let mut stream = world.connect().await;
    let mut first = [0; 1024];
    stream.read_exact(&mut first).await.expect("the answer begins");
    drop(stream);
    assert!(!world.is_written().await);
    world.over().await;
}

#[actix_web::test]
async fn an_answer_that_only_the_connection_took_was_not_written() {
    let (open, gate) = std::sync::mpsc::channel();
    let mut world = start(Answers::Held(Arc::new(Mutex::new(gate))));
    let stream = world.connect().await;
    world.heard().await;
    // Nobody sees the reset before the answer is there, which is small enough for any buffer.
    stream.set_zero_linger().expect("a socket");
    drop(stream);
    open.send(()).expect("it is waited for");
    assert!(!world.is_written().await);
    world.over().await;
}

#[actix_web::test]
async fn a_connection_serves_one_message_after_another() {
    let mut world = start(empty());
    let mut stream = world.connect().await;
    for more in [true, false] {
        hear_empty(&mut stream).await;
        assert!(world.is_written().await);
        if more {
            send(&mut stream, "close").await;
        }
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it is closed");
    assert!(rest.is_empty());
    world.over().await;
}

#[actix_web::test]
async fn a_connection_over_the_bound_waits_until_another_ends() {
    let bounds = Bounds {
        connections_max: 3,
        ..Bounds::default()
    };
    let world = start_with(empty(), bounds);
    let mut taken = Vec::new();
    for _ in 0..bounds.connections_max {
        let mut stream = world.connect().await;
        hear_empty(&mut stream).await;
        taken.push(stream);
    }
    let mut late = world.connect().await;
    // The only worker goes on with those it has, and not with this one.
    for stream in &mut taken {
        send(stream, "keep-alive").await;
        hear_empty(stream).await;
    }
    let nothing = late.try_read(&mut [0]).expect_err("no answer");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(taken.pop());
    hear_empty(&mut late).await;
    world.over().await;
}

#[actix_web::test]
async fn so_many_clients_wait_to_be_accepted_and_the_next_does_not_come_in() {
    let bounds = Bounds {
        connections_max: 1,
        ..Bounds::default()
    };
    let world = start_with(empty(), bounds);
    let at = world.listener.addr;
    let filled = tokio::task::spawn_blocking(move || fills_its_backlog(at, "/health", BACKLOG));
    filled.await.expect("filled");
    world.over().await;
}

#[actix_web::test]
async fn a_stop_waits_for_a_request_in_progress_and_not_for_ever() {
    let mut world = start(Answers::Never);
    let mut waits = world.connect().await;
    world.heard().await;
    world.listener.stop(true).await;
    world.listener.ended().await;
    let mut answer = Vec::new();
    // An end with an error is an end.
    let _ = waits.read_to_end(&mut answer).await;
    assert_eq!(String::from_utf8_lossy(&answer), "");
}

#[actix_web::test]
async fn who_is_answered_before_a_message_came_whole_is_let_go_when_nothing_more_comes() {
    let mut world = start(empty());
    let mut stream = TcpStream::connect(world.listener.addr).await.expect("connected");
    let head = format!(
        "POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        MESSAGE_BYTES_MAX + 1
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    ended.expect("it is closed in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    world.heard_nothing();
    world.over().await;
}
