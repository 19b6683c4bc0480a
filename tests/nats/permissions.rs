//! What the users of the embedded broker may do.

use crate::support::{RememberingIntake, TestBroker, TestEdge, publish_events, subscribed};
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;
use std::time::Duration;
use tripline::nats::service::ANSWER_BYTES_MAX;

/// How long something that must not arrive is given.
const SILENCE: Duration = Duration::from_millis(300);

async fn running() -> (TestBroker, TestEdge) {
    let test = TestBroker::start().await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    (test, edge)
}

#[tokio::test]
async fn a_publisher_sends_events_and_gets_acks() {
    let (test, edge) = running().await;
    publish_events(&test.publisher().await, 0..10).await;
    edge.took(10).await;
}

#[tokio::test]
async fn a_publisher_can_neither_send_results_nor_read_them() {
    let (test, edge) = running().await;
    let publisher = test.publisher().await;
    let mut results = publisher.subscribe("tripline.results.>").await.expect("to ask");
    publisher
        .publish("tripline.results.default.x", "forged".into())
        .await
        .expect("to send");
    publisher.flush().await.expect("an answer");
    let admin = test.admin().await;
    admin
        .publish("tripline.results.default.x", "real".into())
        .await
        .expect("to send");
    admin.flush().await.expect("an answer");
    let nothing = tokio::time::timeout(SILENCE, results.next()).await;
    assert!(!matches!(nothing, Ok(Some(_))), "a publisher read a result");
    let stream = jetstream::new(admin)
        .get_stream("TRIPLINE_RESULTS")
        .await
        .expect("the stream");
    assert_eq!(stream.cached_info().state.messages, 1, "only the real one");
    edge.edge.stop().await;
}

#[tokio::test]
async fn a_subscriber_reads_results_live_and_from_the_stream() {
    let (test, _edge) = running().await;
    let subscriber = test.subscriber().await;
    let mut live = subscriber.subscribe("tripline.results.>").await.expect("to ask");
    subscribed(&subscriber).await;
    let admin = jetstream::new(test.admin().await);
    admin
        .publish("tripline.results.default.x", "r".into())
        .await
        .unwrap()
        .await
        .expect("an ack");
    assert_eq!(&*live.next().await.expect("a message").payload, b"r");
    let stream = jetstream::new(subscriber)
        .get_stream("TRIPLINE_RESULTS")
        .await
        .expect("the stream");
    let consumer = stream
        .create_consumer(pull::Config {
            durable_name: Some("mine".into()),
            ..Default::default()
        })
        .await
        .expect("a consumer");
    let message = consumer
        .messages()
        .await
        .unwrap()
        .next()
        .await
        .expect("a message")
        .expect("no error");
    assert_eq!(&*message.payload, b"r");
    message.double_ack().await.expect("an ack");
}

#[tokio::test]
async fn a_subscriber_can_neither_send_events_nor_touch_their_stream() {
    let (test, edge) = running().await;
    let subscriber = test.subscriber().await;
    subscriber
        .publish("tripline.events.default.x", "1".into())
        .await
        .expect("to send");
    subscriber.flush().await.expect("an answer");
    let mut context = jetstream::new(subscriber);
    context.set_timeout(SILENCE);
    for stream in ["TRIPLINE_EVENTS", "TRIPLINE_RESULTS"] {
        assert!(
            context.delete_stream(stream).await.is_err(),
            "{stream} was deleted"
        );
    }
    assert!(context.get_stream("TRIPLINE_EVENTS").await.is_err());
    publish_events(&test.publisher().await, 7..8).await;
    edge.took(1).await;
    assert_eq!(edge.intake.numbers(), [7], "only the publisher's event");
}

#[tokio::test]
async fn nobody_reads_what_is_sent_to_the_server() {
    let (test, edge) = running().await;
    let subscriber = test.subscriber().await;
    let mut overheard = subscriber.subscribe("_INBOX_tripline.>").await.expect("to ask");
    subscribed(&subscriber).await;
    publish_events(&test.publisher().await, 0..1).await;
    edge.took(1).await;
    let nothing = tokio::time::timeout(SILENCE, overheard.next()).await;
    assert!(
        !matches!(nothing, Ok(Some(_))),
        "a subscriber overheard the server"
    );
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let test = TestBroker::start().await;
    let mut login = test.info().publisher.clone();
    login.password.push('x');
    assert!(
        crate::support::try_client(&test.info().url, &login)
            .await
            .is_none()
    );
}

#[tokio::test]
async fn the_micro_service_is_discovered_answers_and_explains_refusals() {
    let (test, edge) = running().await;
    let client = test.publisher().await;
    let info = request(&client, "$SRV.INFO.tripline", None, "").await;
    let info: serde_json::Value = serde_json::from_slice(&info.payload).expect("JSON");
    assert_eq!(info["endpoints"].as_array().map(Vec::len), Some(15));

    let answer = request(&client, "tripline.api.jobs.get", Some("good"), "{}").await;
    assert_eq!(&*answer.payload, b"jobs.get {}");

    let refusal = request(&client, "tripline.api.slots.list", None, "").await;
    let headers = refusal.headers.expect("headers");
    assert_eq!(
        headers.get("Nats-Service-Error-Code").map(|code| code.as_str()),
        Some("401")
    );
    assert_eq!(
        headers.get("Nats-Service-Error").map(|text| text.as_str()),
        Some("a token is needed")
    );
    let problem: tripline_protocol::api::Problem =
        serde_json::from_slice(&refusal.payload).expect("a problem");
    assert_eq!(problem.code, "unauthenticated");

    edge.edge.stop().await;
    let late = client.request("tripline.api.jobs.get", "{}".into()).await;
    assert!(late.is_err(), "a stopped server does not answer");
}

#[tokio::test]
async fn an_answer_of_the_micro_service_is_as_large_as_a_message_may_be_and_no_larger() {
    let (test, _edge) = running().await;
    let client = test.publisher().await;
    let asked = |bytes: usize| "x".repeat(bytes - "jobs.get ".len());
    let most = asked(ANSWER_BYTES_MAX);
    let answer = request(&client, "tripline.api.jobs.get", Some("good"), &most).await;
    assert_eq!(answer.payload.len(), ANSWER_BYTES_MAX);
    let more = asked(ANSWER_BYTES_MAX + 1);
    let refusal = request(&client, "tripline.api.jobs.get", Some("good"), &more).await;
    let headers = refusal.headers.expect("headers");
    let code = headers.get("Nats-Service-Error-Code").map(|code| code.as_str());
    let problem: tripline_protocol::api::Problem =
        serde_json::from_slice(&refusal.payload).expect("a problem");
    assert_eq!((code, problem.code.as_str()), (Some("413"), "answer_too_large"));
}

/// Asks until somebody listens: the service comes up beside the streams.
async fn request(
    client: &async_nats::Client,
    subject: &str,
    token: Option<&str>,
    body: &str,
) -> async_nats::Message {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let mut headers = async_nats::HeaderMap::new();
        if let Some(token) = token {
            headers.insert(tripline_protocol::subject::HEADER_TOKEN, token);
        }
        match client
            .request_with_headers(subject.to_owned(), headers, body.to_owned().into())
            .await
        {
            Ok(message) => return message,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{subject}: {error}"),
        }
    }
}
