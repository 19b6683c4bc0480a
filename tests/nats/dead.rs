//! The stream of dead letters, read and cleared with the rights of the server's own user.

use crate::support::{RememberingIntake, TestBroker, TestEdge};
use async_nats::jetstream;
use rustix::process::{Pid, Signal, kill_process};
use tripline::dead::{DeadLetters, Error, Section};

/// A broker with so many letters of which two are dropped, and an edge.
async fn with_letters(count: u64) -> (TestBroker, TestEdge) {
    let test = TestBroker::start().await;
    let edge = TestEdge::start(test.nats_options(), RememberingIntake::default()).await;
    edge.ready().await;
    let context = jetstream::new(test.admin().await);
    for number in 1..=count {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Tripline-Dead-Text", format!("why {number}").as_str());
        let subject = "tripline.dead.default.stale".to_owned();
        let sent = context.publish_with_headers(subject, headers, number.to_string().into());
        sent.await.expect("to send").await.expect("an ack");
    }
    (test, edge)
}

fn section(before: Option<u64>, limit: usize) -> Section {
    Section { before, limit }
}

#[tokio::test]
async fn letters_are_read_from_the_newest_back_and_a_dropped_one_is_gone() {
    let (_test, edge) = with_letters(5).await;
    assert!(edge.dead.remove(4).await.expect("an answer"));
    let page = edge.dead.read(section(None, 3)).await.expect("letters");
    let sequences: Vec<u64> = page.letters.iter().map(|letter| letter.sequence).collect();
    assert_eq!((sequences, page.next), (vec![5, 3], Some(3)));
    assert_eq!(&*page.letters[0].payload, b"5");
    let headers = &page.letters[0].headers;
    assert!(headers.contains(&("Tripline-Dead-Text".to_owned(), "why 5".to_owned())));
    let rest = edge.dead.read(section(page.next, 3)).await.expect("letters");
    let sequences: Vec<u64> = rest.letters.iter().map(|letter| letter.sequence).collect();
    assert_eq!((sequences, rest.next), (vec![2, 1], None));
    assert!(edge.dead.get(4).await.expect("an answer").is_none());
    assert_eq!(
        edge.dead
            .get(2)
            .await
            .expect("an answer")
            .expect("a letter")
            .subject,
        "tripline.dead.default.stale"
    );
    edge.edge.stop().await;
}

#[tokio::test]
async fn an_empty_stream_has_no_letters() {
    let (_test, edge) = with_letters(0).await;
    let page = edge.dead.read(section(None, 10)).await.expect("letters");
    assert!(page.letters.is_empty() && page.next.is_none(), "{page:?}");
    assert!(edge.dead.get(1).await.expect("an answer").is_none());
    edge.edge.stop().await;
}

#[tokio::test]
async fn a_subscriber_reads_dead_letters_and_cannot_drop_one() {
    let (test, edge) = with_letters(1).await;
    let mut context = jetstream::new(test.subscriber().await);
    context.set_timeout(std::time::Duration::from_millis(300));
    let stream = context.get_stream("TRIPLINE_DEAD").await.expect("the stream");
    assert!(
        stream.delete_message(1).await.is_err(),
        "a subscriber dropped a letter"
    );
    assert!(edge.dead.get(1).await.expect("an answer").is_some());
    edge.edge.stop().await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_away_to_every_request_for_dead_letters() {
    let (test, edge) = with_letters(1).await;
    let pid = test.broker.pid().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).expect("a running broker");
    kill_process(pid, Signal::STOP).expect("it is stopped");
    let (read, got, removed) = tokio::join!(
        edge.dead.read(section(None, 3)),
        edge.dead.get(1),
        edge.dead.remove(1)
    );
    assert!(matches!(read, Err(Error::Away)), "{read:?}");
    assert!(matches!(got, Err(Error::Away)), "{got:?}");
    assert!(matches!(removed, Err(Error::Away)), "{removed:?}");
    kill_process(pid, Signal::CONT).expect("it goes on");
    edge.edge.stop().await;
}
