//! Replays of dead letters: handled as new, once each.

use crate::audit::only;
use crate::events::{LISTEN, delivery, jobs, listening};
use crate::fixture::{Fixture, eventually};
use crate::sessions::caller;
use serde_json::json;
use tripline_actors::access::Principal;
use tripline_actors::ports::OutMessage;
use tripline_actors::{Delivery, Letter};
use tripline_protocol::api::ReplayedEvent;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{EventKey, Org};

/// A letter as the stream of dead letters has it.
pub(crate) fn letter(fixture: &Fixture, message: &OutMessage, sequence: u64) -> Letter {
    Letter {
        stream_created: tripline_protocol::Timestamp::from_micros(1_700_000_000_000_000),
        stream: "TRIPLINE_DEAD".into(),
        sequence,
        headers: message.headers.clone(),
        payload: message.payload.clone().into(),
        stored_at: fixture.now(),
    }
}

/// What was published, as the events stream delivers it.
pub(crate) fn delivered(fixture: &Fixture, message: &OutMessage, sequence: u64) -> Delivery {
    let mut headers = message.headers.clone();
    headers.push(("Nats-Msg-Id".into(), message.message_id.clone()));
    Delivery {
        subject: message.subject.clone(),
        headers,
        payload: message.payload.clone().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    }
}

/// Offers an event that is too old, and gives the letter that it becomes.
pub(crate) async fn stale(fixture: &Fixture, event: Delivery) -> Letter {
    fixture.advance(2 * 3600);
    fixture.core.ingest(vec![event]).await.unwrap();
    let letters = fixture.published(".dead.default.stale", 1).await;
    letter(fixture, &letters[0], 1)
}

pub(crate) async fn replay(fixture: &Fixture, letter: &Letter, again: bool) -> (ReplayedEvent, OutMessage) {
    let replayed = fixture
        .core
        .replay(&caller("ana"), letter.clone(), again)
        .await
        .unwrap();
    let id = format!("replay/{}/{}", replayed.key, replayed.run);
    let message = eventually("the replay is published", || async {
        let published = fixture.publisher.with(".events.");
        published.into_iter().find(|message| message.message_id == id)
    })
    .await;
    (replayed, message)
}

#[actix::test]
async fn a_replay_runs_once_however_old_the_event_is_and_however_often_it_is_delivered() {
    let (fixture, host_id) = listening(vec![LISTEN]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let event = delivery(&fixture, 1, "e1", json!({ "hostname": "amelie" }));
    let letter = stale(&fixture, event).await;
    assert!(jobs(&fixture).await.is_empty());
    assert_eq!(fixture.core.replayed(letter.stream_created, 1).unwrap(), None);

    let (first, message) = replay(&fixture, &letter, false).await;
    assert_eq!((first.run, first.id.as_str()), (1, "e1"));
    assert_eq!(first.key, EventKey::derive(&Org::default_org(), "test", "e1"));
    let again = delivered(&fixture, &message, 3);
    fixture
        .core
        .ingest(vec![delivered(&fixture, &message, 2)])
        .await
        .unwrap();
    fixture.core.ingest(vec![again]).await.unwrap();
    agent.obey().await;
    let of_first = jobs(&fixture).await;
    assert_eq!((of_first.len(), of_first[0].run), (1, 1));
    assert_eq!(
        fixture.ended(of_first[0].job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
    let noted = fixture.core.replayed(letter.stream_created, 1).unwrap().unwrap();
    assert_eq!((noted.run, noted.by.name.as_str()), (1, "ana"));

    // By mistake a second time: refused. When it is meant, it is another run with another job.
    let refused = fixture
        .core
        .replay(&caller("ben"), letter.clone(), false)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "already_replayed");
    let record = only(&fixture, "default", "dead.replay").await;
    assert_eq!(
        record.by.name.as_deref(),
        Some("ana"),
        "what is refused changes nothing"
    );
    assert_eq!(json!(record.on), json!({ "letter": "1", "event": first.key }));
    assert_eq!(json!(record.detail), json!({ "run": 1 }));
    let fixture = fixture.restart().await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let (second, message) = replay(&fixture, &letter, true).await;
    assert_eq!((second.run, second.key), (2, first.key));
    fixture
        .core
        .ingest(vec![delivered(&fixture, &message, 4)])
        .await
        .unwrap();
    agent.obey().await;
    let all = jobs(&fixture).await;
    assert_eq!(all.len(), 2);
    assert_ne!(all[0].job_id, all[1].job_id);
}

#[actix::test]
async fn a_replay_that_is_late_itself_is_stale() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "hostname": "amelie" }));
    let letter = stale(&fixture, event).await;
    let (_, message) = replay(&fixture, &letter, false).await;
    fixture.advance(2 * 3600);
    fixture
        .core
        .ingest(vec![delivered(&fixture, &message, 2)])
        .await
        .unwrap();
    fixture.published(".dead.default.stale", 2).await;
    assert!(jobs(&fixture).await.is_empty());
}

#[actix::test]
async fn a_replay_is_not_suppressed_and_does_not_count() {
    const ONCE: &str =
        "name: once\non: [acme.>]\nsuppress: { per: 1h }\njob: { steps: [ list_processes: {} ] }\n";
    let (fixture, _) = listening(vec![ONCE]).await;
    let event = |id: &str| delivery(&fixture, 1, id, json!({ "hostname": "amelie" }));
    let letter = stale(&fixture, event("e1")).await;
    for (run, again) in [(1, false), (2, true)] {
        let (_, message) = replay(&fixture, &letter, again).await;
        let replayed = delivered(&fixture, &message, 1 + run);
        fixture.core.ingest(vec![replayed]).await.unwrap();
        assert_eq!(jobs(&fixture).await.len() as u64, run);
    }
    fixture.core.ingest(vec![event("e2"), event("e3")]).await.unwrap();
    assert_eq!(
        jobs(&fixture).await.len(),
        3,
        "one more, as if nothing had been replayed"
    );
}

#[actix::test]
async fn nobody_else_can_make_a_replay() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "hostname": "amelie" }));
    let letter = stale(&fixture, event).await;
    let (_, message) = replay(&fixture, &letter, false).await;
    let forge = |change: &dyn Fn(&mut Delivery)| {
        let mut forged = delivered(&fixture, &message, 9);
        change(&mut forged);
        forged
    };
    let set = |delivery: &mut Delivery, value: &dyn Fn(&str) -> String| {
        for (name, text) in &mut delivery.headers {
            if name == "Tripline-Replay" {
                *text = value(text);
            }
        }
    };
    let other_payload = forge(&|delivery| {
        let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
        delivery.payload = text
            .replace("\"amelie\"", "\"amelie\",\"x\":1")
            .into_bytes()
            .into();
    });
    let other_run = forge(&|delivery| set(delivery, &|text| text.replacen('1', "7", 1)));
    let nonsense = forge(&|delivery| set(delivery, &|_| "1:2".into()));
    for (number, forged) in (2..).zip([other_payload, other_run, nonsense]) {
        fixture.core.ingest(vec![forged]).await.unwrap();
        fixture.published(".dead.default.stale", number).await;
    }
    assert!(jobs(&fixture).await.is_empty());
}

#[actix::test]
async fn an_event_without_an_id_of_its_own_is_the_same_event_when_it_is_replayed() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    for (sequence, header) in [(5, Some("by-header")), (6, None)] {
        let mut event = delivery(&fixture, sequence, "unused", json!({ "hostname": "nobody" }));
        event.payload = json!({ "hostname": "nobody" }).to_string().into_bytes().into();
        event.headers.retain(|(name, _)| name != "Nats-Msg-Id");
        event
            .headers
            .extend(header.map(|id| ("Nats-Msg-Id".to_owned(), id.to_owned())));
        let id = header.map_or_else(
            || format!("TRIPLINE_EVENTS/{sequence}/{}", event.stored_at.as_micros()),
            str::to_owned,
        );
        fixture.core.ingest(vec![event]).await.unwrap();
        let letters = fixture
            .published(".dead.default.unknown_host", sequence as usize - 4)
            .await;
        let letter = letter(&fixture, letters.last().unwrap(), sequence);
        let (replayed, _) = replay(&fixture, &letter, false).await;
        assert_eq!(replayed.id, id);
    }
}

#[actix::test]
async fn what_is_no_event_is_not_replayed_and_other_orgs_letters_are_not_there() {
    let (fixture, _) = listening(vec![LISTEN]).await;
    let mut event = delivery(&fixture, 1, "e1", json!({}));
    event.payload = "{".into();
    fixture.core.ingest(vec![event]).await.unwrap();
    let letters = fixture.published(".dead.default.not_json", 1).await;
    let letter = letter(&fixture, &letters[0], 1);
    let refused = fixture
        .core
        .replay(&caller("ana"), letter.clone(), false)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "no_event");
    let stranger = Principal {
        org: Some("acme".parse().unwrap()),
        ..caller("eve")
    };
    let refused = fixture.core.replay(&stranger, letter, false).await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
    let published = fixture.publisher.with(".events.");
    let is_replay = |message: &OutMessage| message.message_id.starts_with("replay/");
    assert!(!published.iter().any(is_replay), "nothing was published");
}
