//! What waits for an agent that does not read, up to its bounds and over them, in paused time and without a network.

use super::super::connection::WAITING_MAX;
use super::offline::offline_with;
use super::*;
use crate::http::tests::{House, hello, until};
use futures_util::FutureExt;
use std::iter::repeat_n;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Frames as they are on the wire.
fn on_the_wire(frames: impl IntoIterator<Item = AgentFrame>) -> web::Bytes {
    let mut wire = Vec::new();
    for frame in frames {
        let text = serde_json::to_vec(&frame).expect("JSON");
        let mut frame = Frame::message(text, OpCode::Data(Data::Text), true);
        frame.header_mut().mask = Some([0; 4]);
        frame.format(&mut wire).expect("a frame");
    }
    wire.into()
}

#[tokio::test(start_paused = true)]
async fn so_many_answers_wait_for_an_agent_that_does_not_read_and_one_more_ends_its_connection() {
    // The welcome waits as well.
    for (pings, lives) in [(WAITING_MAX - 1, true), (WAITING_MAX, false)] {
        let frames = on_the_wire(repeat_n(AgentFrame::Ping, pings));
        let (mut session, stream, _body) = offline_with(frames).await;
        // Nobody takes what is sent, until there is room for nothing more.
        while session.text("x").now_or_never().is_some() {}
        let dir = tempfile::tempdir().expect("a folder");
        let (_link, receiver) = mpsc::channel(1);
        let (sender, _said) = mpsc::unbounded_channel();
        let connection = Connection::new(
            (session, stream),
            receiver,
            (Ear(sender), conduct()),
            Arc::new(artifact_store(&dir)),
            &welcome(HOST, 1, false),
        );
        // Long before it is pinged itself, and after everything that it said was heard.
        let ended = timeout(Duration::from_secs(10), connection.run(std::future::pending())).await;
        match ended {
            Ok(End::Violation(Violation::Deaf)) => assert!(!lives, "{pings}"),
            Ok(other) => panic!("{pings}: {other:?}"),
            Err(_) => assert!(lives, "{pings}"),
        }
    }
}

#[actix_web::test]
async fn so_many_frames_wait_for_an_agent_and_one_more_means_that_it_is_gone() {
    let house = House::new().await;
    let host_id = house.host.host_id;
    let core = &house.state.core;
    let attached = async || {
        let host = core.get_host(None, host_id.to_string()).await.expect("a host");
        !host.attachments.is_empty()
    };
    for (frames, lives) in [(LINK_CAPACITY, true), (LINK_CAPACITY + 1, false)] {
        // Each command that it says to run, and that it was never sent, is cancelled.
        let unknown = (0..frames).map(|number| CommandId(Uuid::from_u128(number as u128)));
        let hello = Hello {
            running: unknown.collect(),
            ..hello()
        };
        let wire = on_the_wire([AgentFrame::Hello(Box::new(hello))]);
        let (session, mut stream, _body) = offline_with(wire).await;
        let door = Door {
            stopping: None,
            hello_timeout: Duration::from_secs(60),
            conduct: conduct(),
            hellos: Hellos::default(),
        };
        let agent = (host_id, Presented::default());
        let met = meet(&house.state, &door, agent, session, &mut stream).await;
        let (_attached, mut link) = met.map_err(|_| ()).expect("attached");
        until("as many wait as may", async || link.len() == LINK_CAPACITY).await;
        if lives {
            assert!(attached().await);
            continue;
        }
        until("it is gone", async || !attached().await).await;
        let mut waiting = 0;
        while link.recv().await.is_some() {
            waiting += 1;
        }
        assert_eq!(waiting, LINK_CAPACITY);
    }
    house.over().await;
}
