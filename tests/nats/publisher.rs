//! The outbox's publisher: order, duplicates, outages, refusals.

use crate::support::{RememberingIntake, TestBroker, TestEdge, eventually, subscribed};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use tripline::nats::{NatsOptions, NatsPublisher};
use tripline_actors::ports::{OutMessage, PublishError, Publisher};
use tripline_protocol::Subjects;

fn message(number: u64) -> OutMessage {
    OutMessage {
        subject: "tripline.results.default.job.succeeded.host".into(),
        message_id: format!("id-{number}"),
        headers: vec![("traceparent".into(), format!("00-{number}"))],
        payload: number.to_string().into_bytes(),
    }
}

/// Publishes as the outbox does: the same message again until it is acked.
async fn deliver(publisher: &NatsPublisher, number: u64) {
    while let Err(error) = publisher.publish(message(number)).await {
        assert!(matches!(error, PublishError::Transient(_)), "{error}");
        tokio::task::yield_now().await;
    }
}

async fn stored(test: &TestBroker) -> Vec<u64> {
    let stream = jetstream::new(test.admin().await)
        .get_stream("TRIPLINE_RESULTS")
        .await
        .expect("the stream");
    let mut numbers = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("a message");
        numbers.push(std::str::from_utf8(&message.payload).unwrap().parse().unwrap());
    }
    numbers
}

async fn running() -> (TestBroker, TestEdge) {
    let test = TestBroker::start().await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    (test, edge)
}

#[tokio::test]
async fn messages_are_stored_in_the_order_of_the_calls_with_id_and_headers() {
    let (test, edge) = running().await;
    let futures: Vec<_> = (0..200)
        .map(|number| edge.publisher.publish(message(number)))
        .collect();
    for future in futures {
        future.await.expect("an ack");
    }
    assert_eq!(stored(&test).await, (0..200).collect::<Vec<_>>());
    let stream = jetstream::new(test.admin().await)
        .get_stream("TRIPLINE_RESULTS")
        .await
        .expect("the stream");
    let first = stream.get_raw_message(1).await.expect("a message");
    assert_eq!(
        first.headers.get("Nats-Msg-Id").map(|id| id.as_str()),
        Some("id-0")
    );
    assert_eq!(
        first.headers.get("traceparent").map(|value| value.as_str()),
        Some("00-0")
    );
}

#[tokio::test]
async fn the_same_message_again_is_acked_and_stored_once() {
    let (test, edge) = running().await;
    for _ in 0..3 {
        edge.publisher.publish(message(1)).await.expect("an ack");
    }
    assert_eq!(stored(&test).await, [1]);
}

#[tokio::test]
async fn a_broker_that_is_away_fails_messages_for_now_and_later_takes_them() {
    let publisher = NatsPublisher::new();
    let error = publisher.publish(message(0)).await.unwrap_err();
    assert!(
        matches!(error, PublishError::Transient(_)),
        "not even started: {error}"
    );

    let (test, edge) = running().await;
    let publisher = edge.publisher.clone();
    let delivering = tokio::spawn(async move {
        for number in 0..2_000 {
            deliver(&publisher, number).await;
        }
    });
    for _ in 0..3 {
        test.kill().await;
        edge.ready().await;
    }
    delivering.await.expect("all are delivered");
    assert_eq!(stored(&test).await, (0..2_000).collect::<Vec<_>>());
    assert!(edge.intake.returned() >= 4, "the actors hear of each return");
}

#[tokio::test]
async fn messages_the_broker_will_never_take_are_refused_for_good() {
    let (_test, edge) = running().await;
    let mut too_large = message(1);
    too_large.payload = vec![b'x'; 2 << 20];
    let mut no_subject = message(2);
    no_subject.subject = "tripline.results. .x".into();
    let mut not_allowed = message(3);
    not_allowed.subject = "elsewhere.x".into();
    for message in [too_large, no_subject, not_allowed] {
        let error = edge.publisher.publish(message).await.unwrap_err();
        assert!(matches!(error, PublishError::Permanent(_)), "{error}");
    }
    edge.publisher.publish(message(4)).await.expect("others go on");
    assert!(
        !edge.edge.status().connected(),
        "a refused permission is no good state"
    );
    assert!(edge.edge.status().detail().contains("elsewhere.x"));
}

#[tokio::test]
async fn a_message_larger_than_its_stream_allows_is_refused_for_good() {
    let (test, edge) = running().await;
    let context = jetstream::new(test.admin().await);
    let stream = context.get_stream("TRIPLINE_RESULTS").await.expect("the stream");
    let config = stream::Config {
        max_message_size: 100,
        ..stream.cached_info().config.clone()
    };
    context.update_stream(&config).await.expect("a change");
    let mut large = message(1);
    large.payload = vec![b'x'; 1_000];
    let error = edge.publisher.publish(large).await.unwrap_err();
    assert!(matches!(error, PublishError::Permanent(_)), "{error}");
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_made_again_and_the_message_gets_through() {
    let (test, edge) = running().await;
    jetstream::new(test.admin().await)
        .delete_stream("TRIPLINE_RESULTS")
        .await
        .expect("to delete");
    deliver(&edge.publisher, 1).await;
    assert_eq!(stored(&test).await, [1]);
}

#[tokio::test]
async fn notifications_reach_who_listens_and_are_dropped_when_the_broker_is_away() {
    NatsPublisher::new().notify("tripline.jobs.default.x".into(), b"dropped".to_vec());
    let (test, edge) = running().await;
    let subscriber = test.subscriber().await;
    let mut jobs = subscriber.subscribe("tripline.jobs.>").await.expect("to ask");
    subscribed(&subscriber).await;
    edge.publisher
        .notify("tripline.jobs.default.x".into(), b"queued".to_vec());
    assert_eq!(&*jobs.next().await.expect("a message").payload, b"queued");
}

#[tokio::test]
async fn a_server_without_its_broker_starts_and_says_so() {
    let options = NatsOptions {
        url: "nats://127.0.0.1:1".into(),
        user: None,
        password: None,
        credentials: None,
        ca: None,
        subjects: Subjects::default(),
        stream_bytes_max: 1 << 30,
    };
    let edge = TestEdge::start(options, RememberingIntake::default()).await;
    let status = edge.edge.status();
    eventually("it knows why", || status.detail().contains("IO error")).await;
    assert!(!status.connected());
    let error = edge.publisher.publish(message(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Transient(_)), "{error}");
    edge.edge.stop().await;
}
