//! Taking events: order, acks, refusals, outages, other consumers and other streams.

use crate::support::{RememberingIntake, TestBroker, TestEdge, eventually, publish_events, root};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tripline::nats::NatsOptions;
use tripline::nats::consumer::{ACK_PENDING_MAX, ACK_WAIT, CONSUMER};
use tripline_actors::{IngestPosition, Refusal};
use tripline_protocol::{Span, Subjects, Timestamp};

async fn running() -> (TestBroker, TestEdge) {
    let test = TestBroker::start().await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    (test, edge)
}

async fn events(test: &TestBroker) -> stream::Stream {
    jetstream::new(test.admin().await)
        .get_stream("TRIPLINE_EVENTS")
        .await
        .expect("the stream")
}

/// Waits until every message is acked.
async fn all_acked(test: &TestBroker) {
    let stream = events(test).await;
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let info = stream.consumer_info(CONSUMER).await.expect("the consumer");
        if info.num_ack_pending == 0 && info.num_pending == 0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "never acked: {info:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_are_taken_in_order_with_their_place_and_acked() {
    let (test, edge) = running().await;
    publish_events(&test.publisher().await, 0..3_000).await;
    edge.took(3_000).await;
    assert_eq!(edge.intake.numbers(), (0..3_000).collect::<Vec<_>>());
    all_acked(&test).await;
    let first = &edge.intake.deliveries()[0];
    assert_eq!(
        (first.sequence, first.delivered, first.stream.as_str()),
        (1, 1, "TRIPLINE_EVENTS")
    );
    assert_eq!(first.subject, "tripline.events.default.test");
    assert!(first.stored_at > Timestamp::from_micros(1_700_000_000_000_000));
    edge.edge.stop().await;
}

#[tokio::test]
async fn headers_of_an_event_are_handed_on() {
    let (test, edge) = running().await;
    let context = jetstream::new(test.publisher().await);
    let publish = jetstream::message::PublishMessage::build()
        .payload("1".into())
        .header("ce-source", "probe")
        .message_id("id");
    context
        .send_publish("tripline.events.default.x", publish)
        .await
        .unwrap()
        .await
        .expect("an ack");
    edge.took(1).await;
    let mut headers = edge.intake.deliveries()[0].headers.clone();
    headers.sort();
    let expected = [("Nats-Msg-Id", "id"), ("ce-source", "probe")];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn events_published_before_the_first_start_are_taken() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    tripline::nats::streams::ensure(&context, &Subjects::default(), 1 << 30)
        .await
        .expect("streams");
    publish_events(&test.publisher().await, 0..5).await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.took(5).await;
    assert!(edge.intake.position().is_some());
}

#[tokio::test]
async fn a_refused_batch_is_offered_again_before_anything_later() {
    let (test, edge) = running().await;
    let busy = || Refusal::Busy {
        what: "outbox",
        retry_after: Span::from_millis(20),
    };
    edge.intake.refuse((0..5).map(|_| busy()));
    publish_events(&test.publisher().await, 0..2_000).await;
    edge.took(2_000).await;
    assert_eq!(edge.intake.numbers(), (0..2_000).collect::<Vec<_>>());
    let offered = edge.intake.offered();
    assert!(
        offered[..6].iter().all(|batch| *batch == offered[0]),
        "the same batch each time"
    );
    assert!(
        edge.intake
            .deliveries()
            .iter()
            .all(|delivery| delivery.delivered == 1)
    );
    all_acked(&test).await;
}

#[tokio::test]
async fn what_unavailable_actors_did_not_take_comes_again_and_a_suspect_comes_alone() {
    let (test, edge) = running().await;
    edge.intake
        .refuse((0..2).map(|_| Refusal::Unavailable { detail: "restarting" }));
    let context = jetstream::new(test.publisher().await);
    for number in 0..3 {
        let sent = context
            .publish("tripline.events.default.x", number.to_string().into())
            .await;
        sent.expect("to send").await.expect("an ack");
    }
    edge.took(3).await;
    let mut numbers = edge.intake.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    for delivery in edge
        .intake
        .deliveries()
        .iter()
        .filter(|delivery| delivery.delivered >= 3)
    {
        assert!(
            edge.intake.offered().contains(&vec![delivery.sequence]),
            "{} alone",
            delivery.sequence
        );
    }
    all_acked(&test).await;
}

#[tokio::test]
async fn nothing_is_offered_to_actors_that_say_they_are_unavailable() {
    let (test, edge) = running().await;
    edge.intake.set_unavailable(true);
    edge.intake
        .refuse([Refusal::Unavailable { detail: "restarting" }]);
    publish_events(&test.publisher().await, 0..1).await;
    eventually("the event was offered", || edge.intake.offered().len() == 1).await;
    // It is delivered again after 250 ms and held: three times that shows nothing more.
    tokio::time::sleep(std::time::Duration::from_millis(750)).await;
    assert_eq!(edge.intake.offered().len(), 1);
    edge.intake.set_unavailable(false);
    edge.took(1).await;
}

#[tokio::test]
async fn a_broker_killed_under_load_loses_no_event() {
    let (test, edge) = running().await;
    let (url, login) = (test.info().url.clone(), test.info().publisher.clone());
    let publishing = tokio::spawn(async move {
        let client = crate::support::client(&url, &login, "_INBOX").await;
        let context = jetstream::ContextBuilder::new()
            .timeout(std::time::Duration::from_secs(1))
            .build(client);
        for number in 0..2_000_u64 {
            let publish = || {
                jetstream::message::PublishMessage::build()
                    .payload(number.to_string().into())
                    .message_id(number.to_string())
            };
            while let Err(_) | Ok(Err(_)) =
                match context.send_publish("tripline.events.default.x", publish()).await {
                    Ok(ack) => Ok(ack.await),
                    Err(error) => Err(error),
                }
            {}
        }
    });
    for _ in 0..3 {
        let before = edge.intake.numbers().len();
        edge.took(before + 100).await;
        test.kill().await;
        edge.ready().await;
    }
    publishing.await.expect("all are published");
    all_acked(&test).await;
    let mut numbers = edge.intake.numbers();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_dead_server_held_is_delivered_to_the_next_at_once() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    tripline::nats::streams::ensure(&context, &Subjects::default(), 1 << 30)
        .await
        .expect("streams");
    publish_events(&test.publisher().await, 0..100).await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.took(100).await;
    all_acked(&test).await;
    edge.edge.stop().await;
    publish_events(&test.publisher().await, 100..200).await;
    // Another process takes all of them and dies without an ack.
    let consumer: jetstream::consumer::PullConsumer = events(&test)
        .await
        .get_consumer(CONSUMER)
        .await
        .expect("the consumer");
    let batch = consumer
        .fetch()
        .max_messages(100)
        .messages()
        .await
        .expect("a batch");
    assert_eq!(futures_util::StreamExt::count(batch).await, 100);

    let intake = RememberingIntake::default();
    intake.set_position(edge.intake.position());
    // Who waited for the ack wait would have lost patience.
    const { assert!(crate::support::PATIENCE.as_secs() < ACK_WAIT.as_secs()) };
    let next = TestEdge::start(test.nats_options(), intake).await;
    next.took(100).await;
    assert_eq!(next.intake.numbers(), (100..200).collect::<Vec<_>>());
    assert!(
        next.intake
            .deliveries()
            .iter()
            .all(|delivery| delivery.delivered == 2)
    );
    all_acked(&test).await;
    let info = events(&test)
        .await
        .consumer_info(CONSUMER)
        .await
        .expect("the consumer");
    assert_eq!(info.config.ack_wait, ACK_WAIT);
}

#[tokio::test]
async fn a_deleted_consumer_is_noticed_and_goes_on_after_the_last_event_handled() {
    let (test, edge) = running().await;
    let publisher = test.publisher().await;
    publish_events(&publisher, 0..10).await;
    edge.took(10).await;
    all_acked(&test).await;
    events(&test)
        .await
        .delete_consumer(CONSUMER)
        .await
        .expect("to delete");
    publish_events(&publisher, 10..20).await;
    edge.took(20).await;
    assert_eq!(edge.intake.numbers(), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_made_for_something_else_is_replaced() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    let checked = tripline::nats::streams::ensure(&context, &Subjects::default(), 1 << 30)
        .await
        .expect("streams");
    let foreign = pull::Config {
        durable_name: Some(CONSUMER.into()),
        ack_policy: AckPolicy::None,
        filter_subject: "tripline.events.acme.>".into(),
        ..Default::default()
    };
    context
        .create_consumer_on_stream(foreign, checked.events.config.name)
        .await
        .expect("a foreign consumer");
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    publish_events(&test.publisher().await, 0..5).await;
    edge.took(5).await;
    all_acked(&test).await;
}

#[tokio::test]
async fn so_many_events_are_delivered_and_not_acked_and_the_next_when_one_is() {
    let (test, edge) = running().await;
    edge.edge.stop().await;
    let most = usize::try_from(ACK_PENDING_MAX).expect("fits");
    publish_events(&test.publisher().await, 0..most as u64 + 1).await;
    // As a server would that has room for so many.
    let stream = events(&test).await;
    let consumer: PullConsumer = stream.get_consumer(CONSUMER).await.expect("the consumer");
    assert_eq!(consumer.cached_info().config.max_ack_pending, ACK_PENDING_MAX);
    let fetch = async |count: usize| -> Vec<jetstream::Message> {
        let batch = consumer
            .batch()
            .max_messages(count)
            .expires(Duration::from_secs(2));
        let messages = batch.messages().await.expect("to ask");
        messages
            .map(|message| message.expect("a message"))
            .collect()
            .await
    };
    let held = fetch(most).await;
    assert_eq!(held.len(), most);
    assert!(fetch(1).await.is_empty(), "one more than may wait");
    held[0].double_ack().await.expect("an ack");
    let next = fetch(1).await;
    assert_eq!(&*next[0].payload, most.to_string().as_bytes());
}

#[tokio::test]
async fn a_stream_recreated_while_running_is_taken_from_its_first_event() {
    let (test, edge) = running().await;
    let publisher = test.publisher().await;
    publish_events(&publisher, 0..10).await;
    edge.took(10).await;
    let before = edge.intake.position().expect("a position");
    jetstream::new(test.admin().await)
        .delete_stream("TRIPLINE_EVENTS")
        .await
        .expect("to delete");
    eventually("the stream is made again", || {
        edge.intake
            .position()
            .is_some_and(|now| now.stream_created != before.stream_created)
    })
    .await;
    edge.ready().await;
    publish_events(&publisher, 10..15).await;
    edge.took(15).await;
    assert_eq!(edge.intake.numbers(), (0..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_stream_than_the_one_remembered_is_taken_from_its_end() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    tripline::nats::streams::ensure(&context, &Subjects::default(), 1 << 30)
        .await
        .expect("streams");
    let publisher = test.publisher().await;
    publish_events(&publisher, 0..5).await;
    let intake = RememberingIntake::default();
    intake.set_position(Some(IngestPosition {
        stream_created: Timestamp::from_micros(1),
        last_sequence: 2,
    }));
    let edge = TestEdge::start(test.nats_options(), intake).await;
    edge.ready().await;
    publish_events(&publisher, 5..8).await;
    edge.took(3).await;
    assert_eq!(edge.intake.numbers(), [5, 6, 7]);
    assert_ne!(
        edge.intake.position().map(|position| position.stream_created),
        Some(Timestamp::from_micros(1))
    );
}

#[tokio::test]
async fn a_stopped_intake_takes_nothing_more_while_publishing_goes_on() {
    use tripline_actors::ports::{OutMessage, Publisher};
    let (test, mut edge) = running().await;
    edge.edge.stop_intake().await;
    publish_events(&test.publisher().await, 0..5).await;
    let message = OutMessage {
        subject: "tripline.results.default.x".into(),
        message_id: "1".into(),
        headers: Vec::new(),
        payload: b"1".to_vec(),
    };
    edge.publisher.publish(message).await.expect("an ack");
    assert!(edge.intake.numbers().is_empty());
    edge.edge.stop().await;
}

/// The versions between which everything must work, and one that is too old: fetched by `make test`.
fn pinned(version: &str) -> PathBuf {
    let folder = root().join(".nats").join(version);
    let status = Command::new(root().join("scripts/fetch-nats-server"))
        .args(["--version", version, "--to"])
        .arg(&folder)
        .stdout(Stdio::null())
        .status()
        .expect("scripts/fetch-nats-server runs");
    assert!(status.success(), "nats-server {version} cannot be fetched");
    folder.join("nats-server")
}

#[tokio::test]
async fn the_oldest_supported_server_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = crate::support::options(folder.path());
    options.search.named = Some(pinned("2.11.11"));
    let broker = tripline::nats::EmbeddedBroker::start(options)
        .await
        .expect("a broker");
    let test = TestBroker { folder, broker };
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    publish_events(&test.publisher().await, 0..100).await;
    edge.took(100).await;
    all_acked(&test).await;
}

#[tokio::test]
async fn a_broker_that_is_too_old_is_named_and_waited_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(pinned("2.10.26"))
        .args(["-js", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
        .arg(folder.path())
        .arg("-sd")
        .arg(folder.path().join("store"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a broker");
    let ports = folder.path().join(format!("nats-server_{}.ports", child.id()));
    let mut url = String::new();
    eventually("the broker tells its port", || {
        let text = std::fs::read(&ports).unwrap_or_default();
        let ports: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        url = ports
            .and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned()))
            .unwrap_or_default();
        !url.is_empty()
    })
    .await;
    let options = NatsOptions {
        url,
        user: None,
        password: None,
        credentials: None,
        ca: None,
        subjects: Subjects::default(),
        stream_bytes_max: 1 << 30,
    };
    let edge = TestEdge::start(options, RememberingIntake::default()).await;
    let status = edge.edge.status();
    eventually("its version is named", || status.detail().contains("2.10.26")).await;
    assert!(!status.connected() && status.detail().contains("2.11"));
    child.kill().expect("to kill");
    child.wait().expect("its end");
    eventually("it is away", || status.detail().contains("away")).await;
}
