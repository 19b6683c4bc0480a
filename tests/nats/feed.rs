//! Following the events on a real broker: where it begins, what is left out (nothing), what comes twice (nothing),
//! and what is said of events that are gone.

use crate::support::{PATIENCE, RememberingIntake, TestBroker, TestEdge, eventually, publish_events};
use async_nats::jetstream::{self, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tripline::feed::{Feed, Follow, Piece};
use tripline::nats::feed::INACTIVE_MAX;
use tripline_protocol::event::StreamGap;

async fn running() -> (TestBroker, TestEdge) {
    let test = TestBroker::start().await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    (test, edge)
}

fn wanted(org: Option<&str>, etypes: &[&str], after: Option<u64>) -> Follow {
    Follow {
        org: org.map(|org| org.parse().expect("an org")),
        etypes: etypes
            .iter()
            .map(|text| text.parse().expect("a pattern"))
            .collect(),
        after,
    }
}

/// Follows everything from `after` on.
fn all(edge: &TestEdge, after: Option<u64>) -> mpsc::Receiver<Piece> {
    edge.feed.follow(wanted(None, &[], after))
}

async fn next(pieces: &mut mpsc::Receiver<Piece>) -> Piece {
    let piece = timeout(PATIENCE, pieces.recv()).await;
    piece.expect("in time").expect("it goes on")
}

async fn reached(pieces: &mut mpsc::Receiver<Piece>) -> u64 {
    match next(pieces).await {
        Piece::Reached(sequence) => sequence,
        other => panic!("not where it begins: {other:?}"),
    }
}

async fn gap(pieces: &mut mpsc::Receiver<Piece>) -> StreamGap {
    match next(pieces).await {
        Piece::Gap(gap) => gap,
        other => panic!("no gap: {other:?}"),
    }
}

/// The next events' payloads, which are numbers. What says only how far it has come is passed over.
async fn numbers(pieces: &mut mpsc::Receiver<Piece>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        match next(pieces).await {
            Piece::Event(delivery) => {
                let text = std::str::from_utf8(&delivery.payload).expect("UTF-8");
                numbers.push(text.parse().expect("a number"));
            }
            Piece::Reached(_) => {}
            Piece::Gap(gap) => panic!("nothing is gone: {gap:?}"),
        }
    }
    numbers
}

async fn stream(client: async_nats::Client) -> stream::Stream {
    let context = jetstream::new(client);
    context.get_stream("TRIPLINE_EVENTS").await.expect("the stream")
}

async fn publish(client: &async_nats::Client, subject: &str, payload: &str) {
    let context = jetstream::new(client.clone());
    let sent = context.publish(subject.to_owned(), payload.to_owned().into());
    sent.await.expect("to send").await.expect("an ack");
}

#[tokio::test]
async fn what_was_before_is_left_out_and_what_comes_then_comes_in_order() {
    let (test, edge) = running().await;
    let publisher = test.publisher().await;
    publish_events(&publisher, 0..10).await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 10);
    publish_events(&publisher, 10..2_000).await;
    assert_eq!(numbers(&mut pieces, 1_990).await, (10..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_what_matches_comes_also_where_patterns_overlap() {
    let (test, edge) = running().await;
    let publisher = test.publisher().await;
    let mut one_org = edge.feed.follow(wanted(Some("acme"), &["a.*", "b"], None));
    let mut every_org = edge.feed.follow(wanted(None, &["a.b", "b"], None));
    let mut overlapping = edge.feed.follow(wanted(Some("acme"), &["a.*", "*.b"], None));
    for pieces in [&mut one_org, &mut every_org, &mut overlapping] {
        assert_eq!(reached(pieces).await, 0);
    }
    let subjects = ["acme.a.b", "other.a.b", "acme.b", "acme.c", "acme.a.c"];
    for (number, subject) in subjects.iter().enumerate() {
        publish(
            &publisher,
            &format!("tripline.events.{subject}"),
            &number.to_string(),
        )
        .await;
    }
    assert_eq!(numbers(&mut one_org, 3).await, [0, 2, 4]);
    assert_eq!(numbers(&mut every_org, 3).await, [0, 1, 2]);
    assert_eq!(
        numbers(&mut overlapping, 4).await,
        [0, 2, 3, 4],
        "its reader looks again"
    );
}

#[tokio::test]
async fn reading_goes_on_behind_the_place_that_is_named() {
    let (test, edge) = running().await;
    publish_events(&test.publisher().await, 0..50).await;
    let mut pieces = all(&edge, Some(20));
    assert_eq!(reached(&mut pieces).await, 20);
    assert_eq!(numbers(&mut pieces, 30).await, (20..50).collect::<Vec<_>>());
    assert_eq!(
        numbers(&mut all(&edge, Some(0)), 50).await,
        (0..50).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn events_that_are_gone_are_counted() {
    let (test, edge) = running().await;
    publish_events(&test.publisher().await, 0..50).await;
    edge.took(50).await;
    let events = stream(test.admin().await).await;
    events.purge().sequence(31).await.expect("to purge");
    let mut pieces = all(&edge, Some(10));
    let expected = StreamGap {
        after: 10,
        next: 31,
        lost: Some(20),
    };
    assert_eq!(gap(&mut pieces).await, expected);
    assert_eq!(reached(&mut pieces).await, 30);
    assert_eq!(numbers(&mut pieces, 20).await, (30..50).collect::<Vec<_>>());

    let mut beyond = all(&edge, Some(1_000));
    let expected = StreamGap {
        after: 1_000,
        next: 51,
        lost: None,
    };
    assert_eq!(gap(&mut beyond).await, expected);
    assert_eq!(reached(&mut beyond).await, 50);
}

#[tokio::test]
async fn a_broker_that_dies_costs_who_follows_nothing() {
    let (test, edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    publish_events(&test.publisher().await, 0..100).await;
    assert_eq!(numbers(&mut pieces, 60).await, (0..60).collect::<Vec<_>>());
    test.kill().await;
    edge.ready().await;
    publish_events(&test.publisher().await, 100..200).await;
    assert_eq!(numbers(&mut pieces, 140).await, (60..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_read_from_its_beginning_and_the_break_is_told() {
    let (test, edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    publish_events(&test.publisher().await, 0..5).await;
    assert_eq!(numbers(&mut pieces, 5).await, [0, 1, 2, 3, 4]);
    let admin = test.admin().await;
    let context = jetstream::new(admin.clone());
    let config = stream(admin).await.cached_info().config.clone();
    context.delete_stream("TRIPLINE_EVENTS").await.expect("to delete");
    // The edge may have been the first to make it again.
    let made = context.get_or_create_stream(config).await;
    made.expect("to create");
    publish_events(&test.publisher().await, 5..10).await;
    let gap = gap(&mut pieces).await;
    assert_eq!((gap.after, gap.lost), (5, None));
    assert_eq!(numbers(&mut pieces, 5).await, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_reader_that_does_not_read_gets_everything_when_it_reads_again() {
    let (test, edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    publish_events(&test.publisher().await, 0..3_000).await;
    edge.took(3_000).await;
    let admin = test.admin().await;
    // The consumer of a reader that is slow is given up as soon as it asks again.
    let before = consumers(&stream(admin.clone()).await).await;
    assert_eq!(before.len(), 1, "{before:?}");
    // Longer than a slow reader is waited for with what was sent ahead.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(numbers(&mut pieces, 3_000).await, (0..3_000).collect::<Vec<_>>());
    let after = consumers(&stream(admin).await).await;
    assert_ne!(
        before, after,
        "what was sent ahead is not kept for who does not read"
    );
}

/// Names of the consumers of those who follow.
async fn consumers(events: &stream::Stream) -> Vec<String> {
    use futures_util::TryStreamExt;
    let names: Vec<String> = events.consumer_names().try_collect().await.expect("names");
    names.into_iter().filter(|name| name != "tripline").collect()
}

#[tokio::test]
async fn who_follows_no_more_leaves_no_consumer_behind() {
    let (test, edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    let events = stream(test.admin().await).await;
    assert_eq!(consumers(&events).await.len(), 1);
    drop(pieces);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !consumers(&events).await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "never removed");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_place_that_the_broker_gave_up_is_made_anew_where_it_was() {
    let (test, edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    publish_events(&test.publisher().await, 0..3).await;
    assert_eq!(numbers(&mut pieces, 3).await, [0, 1, 2]);
    let events = stream(test.admin().await).await;
    let names = consumers(&events).await;
    let place = events.consumer_info(&names[0]).await.expect("its place");
    assert_eq!(place.config.inactive_threshold, INACTIVE_MAX);
    // What the broker does after that time.
    events.delete_consumer(&names[0]).await.expect("removed");
    publish_events(&test.publisher().await, 3..6).await;
    assert_eq!(numbers(&mut pieces, 3).await, [3, 4, 5]);
    assert_ne!(consumers(&events).await, names);
}

#[tokio::test]
async fn where_nothing_matches_the_place_to_go_on_from_moves_all_the_same() {
    let (test, edge) = running().await;
    let mut pieces = edge.feed.follow(wanted(None, &["rare"], None));
    assert_eq!(reached(&mut pieces).await, 0);
    publish_events(&test.publisher().await, 0..100).await;
    assert_eq!(reached(&mut pieces).await, 100);
    publish(&test.publisher().await, "tripline.events.default.rare", "7").await;
    assert_eq!(numbers(&mut pieces, 1).await, [7]);
}

#[tokio::test]
async fn the_end_of_the_edge_is_the_end_of_all_who_follow() {
    let (_test, mut edge) = running().await;
    let mut pieces = all(&edge, None);
    assert_eq!(reached(&mut pieces).await, 0);
    edge.edge.stop_intake().await;
    let status = edge.edge.status();
    assert!(
        status.connected(),
        "results are still published, and events followed"
    );
    assert!(pieces.try_recv().is_err() && !pieces.is_closed());
    edge.edge.stop().await;
    eventually("it ends", || pieces.is_closed()).await;
    assert!(pieces.recv().await.is_none());
}
