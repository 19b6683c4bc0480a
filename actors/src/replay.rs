//! Replay: a dead letter's event is handled once more, because a person wants it.
//!
//! A replay is the same event, so its key is the same; what makes it another handling is its run, a number that
//! grows by one with each replay of the event. Jobs of a replay have ids of their own for it (`JobId::derive`), and so
//! has the mark that it was handled: however often the broker delivers it, a replay happens once. The run travels in a
//! header with a signature, since anybody may publish on the events subjects. An event is as old as its replay: a
//! person decided that it is to be handled now.
//!
//! What an event of the stream of dead letters was is known from its headers ([`Letter::delivery`]).

use crate::access::Principal;
use crate::core::Delivery;
use crate::ground::{Ground, read};
use crate::host::event_message;
use crate::ingest::Incoming;
use crate::ports::OutMessage;
use crate::record::{by_time_key, encode, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use tripline_protocol::api::{Asker, Replayed};
use tripline_protocol::subject::{
    HEADER_DEAD_MESSAGE_ID, HEADER_DEAD_PLACE, HEADER_DEAD_REASON, HEADER_DEAD_SUBJECT, HEADER_DEAD_TEXT,
    HEADER_MSG_ID, HEADER_REPLAY,
};
use tripline_protocol::{Event, EventKey, Org, Span, Timestamp};
use uuid::Uuid;

/// How long it is known how often an event was replayed: longer than a dead letter of it is kept.
const RETAIN: Span = Span::from_secs(60 * 24 * 3600);
/// Replays of one event that are looked at.
const MARKS_MAX: u32 = 100;
/// Old rows removed with each replay.
const PRUNE_MAX: usize = 16;

/// Kinds of rows in the table.
pub(crate) const BY_EVENT: u8 = b'e';
pub(crate) const BY_LETTER: u8 = b'l';
pub(crate) const BY_TIME: u8 = b't';

/// A message of the stream of dead letters.
#[derive(Debug, Clone)]
pub struct Letter {
    /// When the stream was made: another time means another stream.
    pub stream_created: Timestamp,
    /// Name of the stream.
    pub stream: String,
    /// Its sequence.
    pub sequence: u64,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: bytes::Bytes,
    /// When JetStream stored it.
    pub stored_at: Timestamp,
}

/// A replay as it is known at its handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replay {
    /// From 1.
    pub(crate) run: u32,
    /// When a person wanted it.
    pub(crate) at: Timestamp,
}

/// What is remembered of the replays of an event, or of a dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    run: u32,
    at: Timestamp,
    by: Asker,
}

impl Letter {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The message that became the letter, as the broker delivered it for the first time. What an older server made
    /// does not say where that was: then the letter's own place stands for it.
    fn delivery(&self) -> Delivery {
        let own = [
            HEADER_DEAD_REASON,
            HEADER_DEAD_TEXT,
            HEADER_DEAD_SUBJECT,
            HEADER_DEAD_PLACE,
            HEADER_DEAD_MESSAGE_ID,
            HEADER_REPLAY,
        ];
        let is_own = |name: &str| own.contains(&name) || name.eq_ignore_ascii_case(HEADER_MSG_ID);
        let kept = self.headers.iter().filter(|(name, _)| !is_own(name)).cloned();
        let message_id = self.header(HEADER_DEAD_MESSAGE_ID);
        let message_id = message_id.map(|id| (HEADER_MSG_ID.to_owned(), id.to_owned()));
        let place = self.header(HEADER_DEAD_PLACE).and_then(parse_place);
        let (stream, sequence, stored_at) =
            place.unwrap_or_else(|| (self.stream.clone(), self.sequence, self.stored_at));
        Delivery {
            subject: self.header(HEADER_DEAD_SUBJECT).unwrap_or_default().to_owned(),
            headers: kept.chain(message_id).collect(),
            payload: self.payload.clone(),
            stream,
            sequence,
            stored_at,
            delivered: 1,
        }
    }

    fn row(&self) -> Vec<u8> {
        letter_row(self.stream_created, self.sequence)
    }
}

/// Where a message was, as a dead letter of it says: `<stream>/<sequence>/<time stored, in µs>`.
pub(crate) fn place(delivery: &Delivery) -> String {
    let micros = delivery.stored_at.as_micros();
    format!("{}/{}/{micros}", delivery.stream, delivery.sequence)
}

fn parse_place(text: &str) -> Option<(String, u64, Timestamp)> {
    let (rest, micros) = text.rsplit_once('/')?;
    let (stream, sequence) = rest.rsplit_once('/')?;
    let stored_at = Timestamp::from_micros(micros.parse().ok()?);
    Some((stream.to_owned(), sequence.parse().ok()?, stored_at))
}

/// The event that became the letter. Refuses what is still no event, or none of the caller's.
pub(crate) fn understand(ground: &Ground, caller: &Principal, letter: &Letter) -> Result<Event, Refusal> {
    let delivery = letter.delivery();
    let incoming = Incoming::read(&ground.config.subjects, &ground.attester, delivery);
    check_org(caller, incoming.org.as_ref(), letter.sequence)?;
    incoming.event.map_err(|dead| Refusal::Conflict {
        code: "no_event",
        detail: format!(
            "dead letter {} cannot be understood as an event, now as then: {}; publish a corrected one",
            letter.sequence, dead.text
        ),
    })
}

/// Whether `caller` may see what `org` has; for others it is not there.
fn check_org(caller: &Principal, org: Option<&Org>, sequence: u64) -> Result<(), Refusal> {
    match &caller.org {
        Some(own) if org != Some(own) => Err(Refusal::NotFound {
            what: "dead letter",
            id: sequence.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Decides a replay: which run it is, and the rows that remember it. Refuses a letter that was replayed unless it is
/// wanted `again`.
pub(crate) fn decide(
    ground: &Ground,
    batch: &mut Batch,
    by: Asker,
    (letter, event): (&Letter, &Event),
    again: bool,
) -> Result<(Replay, OutMessage), Refusal> {
    let before: Option<Record> = read(&ground.store, Table::Control, &letter.row(), "replay")?;
    if let Some(before) = before.filter(|_| !again) {
        let detail = format!(
            "dead letter {} was replayed by {} at {}; ask for it again with again: true (--again)",
            letter.sequence, before.by.name, before.at
        );
        let code = "already_replayed";
        return Err(Refusal::Conflict { code, detail });
    }
    let event_row = row(BY_EVENT, event.key.as_bytes());
    let last: Option<Record> = read(&ground.store, Table::Control, &event_row, "replay")?;
    let at = ground.now();
    let replay = Replay {
        run: last.as_ref().map_or(0, |last| last.run).saturating_add(1),
        at,
    };
    let record = Record {
        run: replay.run,
        at,
        by,
    };
    remember(batch, event_row, &record);
    remember(batch, letter.row(), &record);
    prune(&ground.store, batch, at)?;
    let message = message(ground, event, replay);
    Ok((replay, message))
}

/// Remembers a replay under `key`, and when it was.
fn remember(batch: &mut Batch, key: Vec<u8>, record: &Record) {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &key);
    let by_time = row(BY_TIME, &by_time_key(record.at, id.as_bytes()));
    batch.put(Table::Control, by_time, key.clone());
    batch.put(Table::Control, key, encode(record));
}

/// The event as it is published once more.
fn message(ground: &Ground, event: &Event, replay: Replay) -> OutMessage {
    let mut message = event_message(ground, event);
    message.message_id = format!("replay/{}/{}", event.key, replay.run);
    let signature = ground.attester.sign_replay(replay, event.key, &message.payload);
    message.headers.push((HEADER_REPLAY.into(), signature));
    message
}

/// Removes rows so old that no letter of their event is left. A row that was written again since is kept.
fn prune(store: &Store, batch: &mut Batch, now: Timestamp) -> Result<(), Refusal> {
    for (key, of) in store.scan(Table::Control, &[BY_TIME], None, PRUNE_MAX)? {
        let time = key.get(1..).and_then(split_by_time_key).map(|(at, _)| at);
        let Some(at) = time.filter(|at| at.after(RETAIN) < now) else {
            break;
        };
        batch.delete(Table::Control, key);
        let record: Option<Record> = read(store, Table::Control, &of, "replay")?;
        if record.is_some_and(|record| record.at == at) {
            batch.delete(Table::Control, of);
        }
    }
    Ok(())
}

/// Whether a letter was replayed.
pub(crate) fn of_letter(
    store: &Store,
    created: Timestamp,
    sequence: u64,
) -> Result<Option<Replayed>, Refusal> {
    let record: Option<Record> = read(store, Table::Control, &letter_row(created, sequence), "replay")?;
    Ok(record.map(|Record { run, at, by }| Replayed { at, by, run }))
}

/// Under which keys it is remembered that an event was handled, and each of its replays that is remembered.
pub(crate) fn marks(store: &Store, event: EventKey) -> Result<Vec<EventKey>, Refusal> {
    let last: Option<Record> = read(store, Table::Control, &row(BY_EVENT, event.as_bytes()), "replay")?;
    let (run, at) = last.map_or((0, Timestamp::default()), |last| (last.run, last.at));
    let from = run.saturating_sub(MARKS_MAX).saturating_add(1);
    let replays = (from..=run).map(|run| handled_key(event, Some(Replay { run, at })));
    Ok(std::iter::once(event).chain(replays).collect())
}

/// Under which key it is remembered that an event was handled, or one of its replays.
pub(crate) fn handled_key(event: EventKey, replay: Option<Replay>) -> EventKey {
    match replay {
        None => event,
        Some(replay) => EventKey(Uuid::new_v5(&event.0, &replay.run.to_be_bytes())),
    }
}

fn row(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut row = vec![kind];
    row.extend_from_slice(key);
    row
}

fn letter_row(created: Timestamp, sequence: u64) -> Vec<u8> {
    let mut key = created.as_micros().to_be_bytes().to_vec();
    key.extend_from_slice(&sequence.to_be_bytes());
    row(BY_LETTER, &key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    /// What is remembered of a replay of letter 1 at START, and of another one of it later.
    fn remembered(again: Option<Timestamp>) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let by = Asker {
            token_id: "1".into(),
            name: "ana".into(),
        };
        for at in [START].into_iter().chain(again) {
            let mut batch = Batch::new();
            remember(
                &mut batch,
                letter_row(START, 1),
                &Record {
                    run: 1,
                    at,
                    by: by.clone(),
                },
            );
            store.commit(batch, || {});
        }
        (dir, store)
    }

    fn prune_at(store: &Store, now: Timestamp) -> Option<Replayed> {
        let mut batch = Batch::new();
        prune(store, &mut batch, now).unwrap();
        store.commit(batch, || {});
        of_letter(store, START, 1).unwrap()
    }

    #[test]
    fn so_many_replays_of_an_event_are_looked_at() {
        let (_dir, store) = remembered(None);
        let event = EventKey(Uuid::from_u128(1));
        let by = Asker {
            token_id: "1".into(),
            name: "ana".into(),
        };
        for (run, looked_at) in [(99, 99), (100, 100), (101, 100)] {
            let (at, by) = (START, by.clone());
            let mut batch = Batch::new();
            remember(
                &mut batch,
                row(BY_EVENT, event.as_bytes()),
                &Record { run, at, by },
            );
            store.commit(batch, || {});
            let marks = marks(&store, event).unwrap();
            let last = handled_key(event, Some(Replay { run, at }));
            assert_eq!(
                (marks.len(), marks[0], marks.last()),
                (1 + looked_at, event, Some(&last))
            );
        }
    }

    #[test]
    fn a_replay_is_remembered_for_so_long_and_no_longer() {
        let (_dir, store) = remembered(None);
        let last = START.after(RETAIN);
        assert!(prune_at(&store, last).is_some());
        assert_eq!(prune_at(&store, last.after(Span::from_millis(1))), None);
        assert!(store.scan(Table::Control, &[], None, 10).unwrap().is_empty());
    }

    #[test]
    fn of_two_replays_the_later_one_says_how_long_they_are_remembered() {
        let later = START.after(Span::from_secs(3600));
        let (_dir, store) = remembered(Some(later));
        let last = later.after(RETAIN);
        assert_eq!(prune_at(&store, last).map(|replayed| replayed.at), Some(later));
        assert_eq!(prune_at(&store, last.after(Span::from_millis(1))), None);
    }
}
