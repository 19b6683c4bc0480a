//! Deadlines, in paused time and without a network; and the handshake's own rules.

use super::super::connection::FAREWELL_TIMEOUT;
use super::*;
use actix_web::FromRequest;
use actix_web::dev::Payload;
use actix_web::test::TestRequest;
use futures_util::FutureExt;
use tokio::time::timeout;

/// A handshake without a network, for paused time: the session, what comes, and the body with what goes.
type Offline = (Session, AggregatedMessageStream, actix_web::body::BoxBody);

async fn offline() -> Offline {
    offline_with(web::Bytes::new()).await
}

/// With an agent that sends these frames and nothing more.
pub(super) async fn offline_with(frames: web::Bytes) -> Offline {
    let request = TestRequest::default()
        .insert_header(("upgrade", "websocket"))
        .insert_header(("connection", "upgrade"))
        .insert_header(("sec-websocket-version", "13"))
        .insert_header(("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw=="))
        .to_http_request();
    let silence = futures_util::stream::pending::<Result<web::Bytes, actix_web::error::PayloadError>>();
    let said = futures_util::stream::iter([Ok(frames)]).chain(silence);
    let mut payload = Payload::Stream {
        payload: said.boxed_local() as std::pin::Pin<Box<dyn futures_util::Stream<Item = _>>>,
    };
    let payload = web::Payload::from_request(&request, &mut payload)
        .await
        .expect("a payload");
    let (response, session, stream) = actix_ws::handle(&request, payload).expect("a handshake");
    (session, bounded(stream), response.into_body())
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_says_hello_is_turned_away() {
    let (session, mut stream, _body) = offline().await;
    let end = hear_hello(session, &mut stream, Duration::from_secs(10)).await;
    let end = end.expect_err("late");
    assert!(matches!(end, End::Violation(Violation::HelloLate(_))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_pinged_and_given_up() {
    let (session, stream, body) = offline().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (link, receiver) = mpsc::channel(1);
    let (sender, _said) = mpsc::unbounded_channel();
    let store = Arc::new(artifact_store(&dir));
    let connection = Connection::new(
        (session, stream),
        receiver,
        (Ear(sender), conduct()),
        store,
        &welcome(HOST, 1, false),
    );
    let (end, sent) = tokio::join!(
        connection.run(std::future::pending()),
        actix_web::body::to_bytes(body)
    );
    assert!(matches!(end, End::Dead), "{end:?}");
    let sent = String::from_utf8_lossy(&sent.map_err(|_| ()).expect("bytes")).into_owned();
    assert_eq!(sent.matches(r#"{"type":"ping"}"#).count(), 2, "{sent}");
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_take_the_farewell_is_waited_for_so_long_and_no_longer() {
    let (mut session, _stream, _body) = offline().await;
    // Nobody takes what is sent, until there is room for nothing more.
    while session.text("x").now_or_never().is_some() {}
    let end = End::Told("shutdown");
    let mut farewell = Box::pin(turn_away(session, &end));
    let (short, rest) = (
        FAREWELL_TIMEOUT - Duration::from_millis(1),
        Duration::from_millis(2),
    );
    assert!(timeout(short, &mut farewell).await.is_err(), "it waits");
    assert!(timeout(rest, &mut farewell).await.is_ok(), "it waits no longer");
}

#[test]
fn the_subprotocol_is_required_wherever_it_stands_in_the_list() {
    let with = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.append(
            SEC_WEBSOCKET_PROTOCOL,
            actix_web::http::header::HeaderValue::from_static(text),
        );
        require_subprotocol(&headers)
    };
    assert!(with("tripline.agent.v1").is_ok());
    assert!(with("other, tripline.agent.v1").is_ok());
    assert!(with("tripline.agent.v2").is_err());
    assert!(require_subprotocol(&HeaderMap::new()).is_err());
}
