//! Finding an event in a stream that is played by the test.

use super::super::super::tests::House;
use super::*;
use serde_json::json;
use tripline_protocol::Span;
use tripline_protocol::event::StreamGap;

/// A stream from `first` on, a message each second; `event` is at some of its places.
struct Stream {
    first: u64,
    last: u64,
    event_at: Vec<u64>,
}

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn stored_at(sequence: u64) -> Timestamp {
    START.after(Span::from_secs(sequence))
}

fn key() -> EventKey {
    EventKey::derive(&Org::default_org(), "test", "wanted")
}

impl Stream {
    fn message(&self, sequence: u64) -> Delivery {
        let id = match self.event_at.contains(&sequence) {
            true => "wanted".to_owned(),
            false => format!("e{sequence}"),
        };
        let event = json!({
            "specversion": "1.0", "id": id, "source": "test", "type": "acme.alert", "time": START, "data": sequence,
        });
        Delivery {
            subject: "tripline.events.default.acme.alert".into(),
            headers: Vec::new(),
            payload: event.to_string().into(),
            stream: "TRIPLINE_EVENTS".into(),
            sequence,
            stored_at: stored_at(sequence),
            delivered: 1,
        }
    }
}

impl Feed for Stream {
    fn follow(&self, follow: Follow) -> mpsc::Receiver<Piece> {
        let after = follow.after.unwrap_or(self.last);
        let next = self.first.max(after + 1);
        let gap = (next > after + 1).then_some(Piece::Gap(StreamGap {
            after,
            next,
            lost: Some(next - after - 1),
        }));
        let mut pieces: Vec<Piece> = gap.into_iter().chain([Piece::Reached(next - 1)]).collect();
        // Nobody reads on behind the end of what was asked for, and the broker sends more.
        let end = self.last.min(after + WINDOW_MAX + 2);
        pieces.extend((next..=end).map(|sequence| Piece::Event(self.message(sequence))));
        let (sender, receiver) = mpsc::channel(pieces.len());
        for piece in pieces {
            sender.try_send(piece).expect("room");
        }
        receiver
    }
}

/// Says nothing.
struct SilentFeed;

impl Feed for SilentFeed {
    fn follow(&self, _: Follow) -> mpsc::Receiver<Piece> {
        mpsc::channel(1).1
    }
}

fn look<'a>(feed: &'a dyn Feed, house: &'a House) -> Look<'a> {
    Look {
        feed,
        core: &house.state.core,
        org: None,
        key: key(),
    }
}

fn at(looked_up: &LookedUp) -> Option<u64> {
    looked_up.found.as_ref().map(|found| found.sequence)
}

#[actix_web::test]
async fn an_event_is_read_at_its_place() {
    let house = House::new().await;
    let stream = Stream {
        first: 5,
        last: 9,
        event_at: vec![7],
    };
    let look = look(&stream, &house);
    let found = look.at(7).await;
    assert_eq!((at(&found), found.lookup.state), (Some(7), LookupState::Read));
    for gone in [1, 4, 6, 8] {
        let found = look.at(gone).await;
        assert_eq!(
            (at(&found), found.lookup.state),
            (None, LookupState::Gone),
            "{gone}"
        );
    }
    let acme: Org = "acme".parse().expect("an org");
    let look = Look {
        org: Some(&acme),
        ..look
    };
    assert_eq!(at(&look.at(7).await), None, "another org's");
    house.over().await;
}

#[actix_web::test]
async fn an_event_is_searched_back_to_where_it_was_wanted_or_the_stream_begins() {
    let house = House::new().await;
    let stream = Stream {
        first: 3,
        last: 2_100,
        event_at: vec![40, 100],
    };
    let look = look(&stream, &house);
    let found = look.search(START).await;
    assert_eq!(at(&found), Some(100), "the last of them");
    let found = look.search(stored_at(101)).await;
    let searched = found.lookup.searched.expect("a search");
    assert_eq!(found.lookup.state, LookupState::NotFound);
    assert!(searched.complete);
    assert_eq!(
        (searched.messages, searched.first_sequence, searched.last_sequence),
        (2_000, 101, 2_100)
    );
    let stream = Stream {
        event_at: vec![],
        ..stream
    };
    let found = self::look(&stream, &house).search(START).await;
    let searched = found.lookup.searched.expect("a search");
    assert_eq!(
        (searched.complete, searched.messages, searched.first_sequence),
        (true, 2_098, 3)
    );
    house.over().await;
}

#[actix_web::test]
async fn a_search_in_an_empty_stream_and_one_without_a_broker_end_at_once() {
    let house = House::new().await;
    let empty = Stream {
        first: 1,
        last: 0,
        event_at: vec![],
    };
    let found = look(&empty, &house).search(START).await;
    let searched = found.lookup.searched.expect("a search");
    assert_eq!(
        (found.lookup.state, searched.complete, searched.messages),
        (LookupState::NotFound, true, 0)
    );
    let silent = look(&SilentFeed, &house);
    assert_eq!(silent.search(START).await.lookup.state, LookupState::BrokerAway);
    assert_eq!(silent.at(7).await.lookup.state, LookupState::BrokerAway);
    house.over().await;
}

#[actix_web::test]
async fn a_search_goes_over_so_many_messages_and_says_that_it_was_not_all() {
    let house = House::new().await;
    let stream = Stream {
        first: 1,
        last: MESSAGES_MAX + WINDOW_MAX,
        event_at: vec![1],
    };
    let found = look(&stream, &house).search(START).await;
    let searched = found.lookup.searched.expect("a search");
    assert_eq!(found.lookup.state, LookupState::NotFound);
    assert!(!searched.complete, "{searched:?}");
    assert!(
        (MESSAGES_MAX..MESSAGES_MAX + WINDOW_MAX).contains(&searched.messages),
        "{searched:?}"
    );
    house.over().await;
}
