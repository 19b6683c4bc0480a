//! Frames, order and endings.

use super::*;
use tripline_protocol::limit::CHUNK_BYTES_MAX;

#[actix_web::test]
async fn welcome_comes_before_anything_the_link_holds() {
    let cancel = LinkMessage::Frame(ServerFrame::Cancel { command_id: ID });
    let mut world = connected(vec![cancel]).await;
    let first = world.hears().await;
    assert_eq!(
        first,
        json!({"type": "welcome", "host_id": HOST, "epoch": 3, "server_version": env!("CARGO_PKG_VERSION")})
    );
    assert_eq!(world.hears().await["type"], "cancel");
    world.over().await;
}

#[actix_web::test]
async fn many_messages_of_the_link_arrive_in_their_order() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    let link = world.link.clone().expect("linked");
    let sender = actix_web::rt::spawn(async move {
        for bytes in 0..2000 {
            let frame = ServerFrame::Credit {
                command_id: ID,
                bytes,
            };
            link.send(LinkMessage::Frame(frame))
                .await
                .expect("the connection lives");
        }
    });
    for bytes in 0..2000 {
        assert_eq!(world.hears().await["bytes"], bytes);
    }
    sender.await.expect("all sent");
    world.over().await;
}

#[actix_web::test]
async fn frames_go_where_they_belong_and_unknown_ones_nowhere() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.says(json!({"type": "dance"})).await;
    world.says(json!({"type": "accepted", "command_id": ID})).await;
    world
        .says(json!({"type": "result", "command_id": ID, "output": {"x": 1}}))
        .await;
    world.says(json!({"type": "ping"})).await;
    assert!(matches!(
        world.said().await,
        Said::Frame(AgentFrame::Accepted { command_id: ID })
    ));
    let Said::Result(result, None) = world.said().await else {
        panic!("expected a result")
    };
    assert_eq!(result.output, Some(json!({"x": 1})));
    assert_eq!(world.hears().await["type"], "pong");
    world.over().await;
}

#[actix_web::test]
async fn what_a_process_watcher_reports_and_is_told_passes_through() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    let message = json!({"hostname": "pc", "events": []});
    world
        .says(json!({"type": "littlebrother", "seq": 7, "message": message}))
        .await;
    match world.said().await {
        Said::Frame(AgentFrame::Littlebrother { seq: 7, message }) => assert_eq!(message.hostname, "pc"),
        other => panic!("{other:?}"),
    }
    let events = Vec::new();
    world.gives(ServerFrame::Littlebrother { seq: 7, events }).await;
    let answer = json!({"type": "littlebrother", "seq": 7, "events": []});
    assert_eq!(world.hears().await, answer);
    world.over().await;
}

#[actix_web::test]
async fn what_breaks_the_protocol_ends_the_connection_with_a_word() {
    let long_chunk = Chunk {
        command_id: ID,
        offset: 0,
        bytes: &vec![0; CHUNK_BYTES_MAX + 1],
    }
    .encode();
    let cases: [(Message, CloseCode); 6] = [
        (Message::Text("hello".into()), CloseCode::Protocol),
        (
            Message::Text(r#"{"type":"accepted"}"#.into()),
            CloseCode::Protocol,
        ),
        (Message::Text(hello().to_string().into()), CloseCode::Protocol),
        (
            Message::Text("x".repeat(FRAME_BYTES_MAX + 1).into()),
            CloseCode::Size,
        ),
        (Message::Binary(long_chunk.into()), CloseCode::Size),
        (Message::Binary(vec![0; 5].into()), CloseCode::Protocol),
    ];
    for (message, code) in cases {
        let mut world = connected(Vec::new()).await;
        world.hears_welcome().await;
        world.agent.send(message).await.expect("sent");
        assert_eq!(world.ends().await, ("protocol_error".to_owned(), code));
        world.is_detached().await;
        world.over().await;
    }
}

fn hello() -> Value {
    json!({"type": "hello", "agent_version": "1", "hostname": "pc", "platform": "linux", "arch": "x86_64",
        "verbs": [], "journal_id": Uuid::nil()})
}

#[actix_web::test]
async fn the_actors_close_a_connection_after_what_they_sent_before() {
    for (reason, code) in [
        ("replaced", CloseCode::Policy),
        ("revoked", CloseCode::Policy),
        ("shutdown", CloseCode::Away),
        ("protocol_error", CloseCode::Protocol),
    ] {
        let ack = LinkMessage::Frame(ServerFrame::Ack {
            command_ids: vec![ID],
        });
        let mut world = connected(vec![ack, LinkMessage::Close(reason)]).await;
        world.hears_welcome().await;
        assert_eq!(world.hears().await["type"], "ack");
        assert_eq!(world.ends().await, (reason.to_owned(), code));
        world.over().await;
    }
}

#[actix_web::test]
async fn actors_that_let_go_end_the_connection() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.link = None;
    assert_eq!(world.ends().await, ("shutdown".to_owned(), CloseCode::Away));
    world.over().await;
}

#[actix_web::test]
async fn an_agent_that_goes_away_is_detached() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.agent.close(None).await.expect("closed");
    world.is_detached().await;
    world.over().await;
}

#[actix_web::test]
async fn a_command_too_long_for_a_frame_fails_and_the_connection_lives() {
    let mut world = connected(Vec::new()).await;
    world.hears_welcome().await;
    world.gives(fetch(&"x".repeat(FRAME_BYTES_MAX))).await;
    let Said::Failed(ID, fault) = world.said().await else {
        panic!("expected a failure")
    };
    assert_eq!(fault.code, "frame_too_large");
    world.gives(ServerFrame::Cancel { command_id: ID }).await;
    assert_eq!(world.hears().await["type"], "cancel");
    world.over().await;
}

#[test]
fn an_agent_is_asked_to_watch_when_the_actors_say_so() {
    for asked in [true, false] {
        match welcome(HOST, 3, asked) {
            ServerFrame::Welcome { littlebrother, .. } => assert_eq!(littlebrother, asked),
            other => panic!("{other:?}"),
        }
    }
}
