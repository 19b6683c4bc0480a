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

/// The stream takes messages of so many bytes at most.
async fn take_no_larger(test: &TestBroker, bytes: i32) {
    let context = jetstream::new(test.admin().await);
    let stream = context.get_stream("TRIPLINE_RESULTS").await.expect("the stream");
    let config = stream::Config {
        max_message_size: bytes,
        ..stream.cached_info().config.clone()
    };
    context.update_stream(&config).await.expect("a change");
}

fn run_of(numbers: impl IntoIterator<Item = u64>) -> Vec<OutMessage> {
    numbers.into_iter().map(message).collect()
}

/// How each of a run went.
async fn publish_run(edge: &TestEdge, run: Vec<OutMessage>) -> Vec<Result<u64, PublishError>> {
    edge.publisher.publish_run(run).await
}

#[tokio::test]
async fn a_run_is_stored_in_order_and_again_once() {
    let (test, edge) = running().await;
    let sequences: Vec<_> = (1..=100).map(Ok).collect();
    assert_eq!(publish_run(&edge, run_of(0..100)).await, sequences);
    assert_eq!(
        publish_run(&edge, run_of(0..100)).await,
        sequences,
        "the same again"
    );
    assert_eq!(publish_run(&edge, Vec::new()).await, []);
    assert_eq!(stored(&test).await, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_client_would_never_send_holds_nothing_of_its_run_back() {
    let (test, edge) = running().await;
    let mut run = run_of(0..6);
    run[1].headers = vec![("no\nheader".into(), String::new())];
    run[3].payload = vec![b'x'; 2 << 20];
    let results = publish_run(&edge, run).await;
    let kinds: Vec<&str> = results
        .iter()
        .map(|result| match result {
            Ok(_) => "stored",
            Err(PublishError::OutOfTurn) => "out of turn",
            Err(PublishError::Permanent(_)) => "never",
            Err(PublishError::Transient(_)) => "not now",
        })
        .collect();
    assert_eq!(kinds, ["stored", "never", "stored", "never", "stored", "stored"]);
    assert_eq!(stored(&test).await, [0, 2, 4, 5]);
}

#[tokio::test]
async fn what_the_stream_refuses_lets_nothing_of_its_run_pass() {
    let (test, edge) = running().await;
    take_no_larger(&test, 300).await;
    let mut run = run_of(0..4);
    run[2].payload = vec![b'x'; 1_000];
    let results = publish_run(&edge, run).await;
    assert_eq!(results[..2], [Ok(1), Ok(2)]);
    assert!(
        matches!(results[2], Err(PublishError::Permanent(_))),
        "{results:?}"
    );
    assert_eq!(results[3], Err(PublishError::OutOfTurn));
    assert_eq!(stored(&test).await, [0, 1]);
}

#[tokio::test]
async fn a_run_goes_on_after_somebody_else_published_in_between() {
    let (test, edge) = running().await;
    let admin = jetstream::new(test.admin().await);
    let beside = tokio::spawn(async move {
        for number in 1_000_000..1_000_300_u64 {
            let subject = "tripline.results.default.job.succeeded.other";
            let ack = admin
                .publish(subject, number.to_string().into())
                .await
                .expect("sent");
            ack.await.expect("an ack");
        }
    });
    let mut left: Vec<u64> = (0..3_000).collect();
    while !left.is_empty() {
        let run: Vec<u64> = left.iter().copied().take(100).collect();
        let results = publish_run(&edge, run_of(run.iter().copied())).await;
        for (number, result) in run.iter().zip(results) {
            match result {
                Ok(_) => left.retain(|other| other != number),
                Err(error) => assert_eq!(error, PublishError::OutOfTurn),
            }
        }
    }
    beside.await.expect("all are published");
    let ours: Vec<u64> = stored(&test)
        .await
        .into_iter()
        .filter(|number| *number < 1_000_000)
        .collect();
    assert_eq!(ours, (0..3_000).collect::<Vec<_>>());
}

/// Publishes runs as the outbox does, until all of it is stored.
async fn deliver_runs(publisher: &NatsPublisher, numbers: std::ops::Range<u64>) {
    let mut left: std::collections::VecDeque<u64> = numbers.collect();
    while !left.is_empty() {
        let run: Vec<u64> = left.drain(..left.len().min(50)).collect();
        let results = publisher.publish_run(run_of(run.iter().copied())).await;
        for (number, result) in run.into_iter().zip(results).rev() {
            match result {
                Ok(_) => {}
                Err(PublishError::Permanent(why)) => panic!("{why}"),
                Err(_) => left.push_front(number),
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn runs_keep_their_order_when_the_broker_is_killed() {
    let (test, edge) = running().await;
    let publisher = edge.publisher.clone();
    let delivering = tokio::spawn(async move { deliver_runs(&publisher, 0..20_000).await });
    for _ in 0..3 {
        test.kill().await;
        edge.ready().await;
    }
    delivering.await.expect("all are delivered");
    assert_eq!(stored(&test).await, (0..20_000).collect::<Vec<_>>());
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
    take_no_larger(&test, 100).await;
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
