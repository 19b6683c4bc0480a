//! Requests that are carried out once however often they come: `Idempotency-Key`.
//!
//! What a request made is noted in the batch that makes it, by token and key, with the SHA-256 of the request. The
//! same request again is answered with what was made, as it is now. Notes are kept for a day.

use crate::ground::read;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::Key;
use crate::store::{Batch, Store, Table};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use std::collections::HashMap;
use tripline_protocol::api::PublishedEvent;
use tripline_protocol::{FanoutId, JobId, Name, SessionId, Sha256, Span, Timestamp};
use uuid::Uuid;

/// How long a key means the same request.
pub const ONCE_RETAIN: Span = Span::from_secs(24 * 3600);
/// Keys of all tokens that are kept.
pub const ONCE_MAX: u64 = 200_000;
/// Keys of one token that are kept.
pub const ONCE_PER_TOKEN_MAX: u64 = 50_000;
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 200;
/// Notes removed at once.
const PRUNE_MAX: usize = 1_000;

/// A request that is to be carried out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    token_id: String,
    key: String,
    request: Sha256,
}

impl Once {
    /// A request with this key: `what` names what is asked for, `body` is what it says. Refuses with `Invalid`
    /// (`bad_idempotency_key`).
    pub fn new(token_id: &str, key: &str, what: &str, body: &impl Serialize) -> Result<Self, Refusal> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::Invalid {
                code: "bad_idempotency_key",
                detail: format!("Idempotency-Key must have 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            });
        }
        let mut hash = sha2::Sha256::new();
        hash.update(what);
        hash.update([0]);
        hash.update(encode(body));
        Ok(Self {
            token_id: token_id.to_owned(),
            key: key.to_owned(),
            request: Sha256::from_digest(&hash.finalize().into()),
        })
    }

    fn row(&self) -> Key {
        Key::new().text(&self.token_id).text(&self.key)
    }
}

/// What a request made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    Job(JobId),
    Session(SessionId),
    Command(SessionId, u32),
    Event(PublishedEvent),
    Fanout(FanoutId),
    ServiceRequest(Name, Uuid),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    request: Sha256,
    made: Made,
    pub(crate) at: Timestamp,
}

/// How many notes there are.
#[derive(Debug, Default)]
struct Counts {
    all: u64,
    by_token: HashMap<String, u64>,
}

/// The notes.
pub(crate) struct Onces {
    store: Store,
    counts: Mutex<Counts>,
}

impl Onces {
    /// Counts the notes there are.
    pub(crate) fn load(store: &Store) -> Result<Self, Refusal> {
        let (mut counts, mut after) = (Counts::default(), None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::Once, &[], after.as_deref(), 10_000)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            page.iter().for_each(|(row, _)| counts.add(token_of(row)));
        }
        Ok(Self {
            store: store.clone(),
            counts: Mutex::new(counts),
        })
    }

    /// What the same request made before. Refuses with `Invalid` when it was another request.
    pub(crate) fn made(&self, once: Option<&Once>, now: Timestamp) -> Result<Option<Made>, Refusal> {
        let Some(once) = once else { return Ok(None) };
        let Some(note) = self.note_of(once.row().as_ref())?.filter(|note| note.holds(now)) else {
            return Ok(None);
        };
        if note.request == once.request {
            metrics::counter!("tripline_once_repeated_total").increment(1);
            return Ok(Some(note.made));
        }
        Err(Refusal::Invalid {
            code: "idempotency_key_reused",
            detail: format!(
                "Idempotency-Key {:?} was used for another request within {ONCE_RETAIN}; use another key",
                once.key
            ),
        })
    }

    /// Notes in its batch what a request makes. Refuses with `Busy` when too many are kept.
    pub(crate) fn note(
        &self,
        once: Option<&Once>,
        made: impl FnOnce() -> Made,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let Some(once) = once else { return Ok(()) };
        let row = once.row();
        // One that is over is replaced.
        let old = self.note_of(row.as_ref())?;
        let mut counts = self.counts.lock();
        match &old {
            Some(old) => batch.delete(Table::OnceByTime, by_time(old.at, row.as_ref())),
            None if counts.is_full(&once.token_id) => {
                metrics::counter!("tripline_once_refused_total").increment(1);
                return Err(Refusal::Busy {
                    what: "list of idempotency keys",
                    retry_after: Span::from_secs(60),
                });
            }
            None => counts.add(once.token_id.as_bytes()),
        }
        let note = Note {
            request: once.request.clone(),
            made: made(),
            at: now,
        };
        batch.put(Table::OnceByTime, by_time(now, row.as_ref()), Vec::new());
        batch.put(Table::Once, row, encode(&note));
        Ok(())
    }

    /// Forgets notes that are over.
    pub(crate) fn prune(&self, now: Timestamp) -> Result<(), Refusal> {
        let horizon = now.before(ONCE_RETAIN);
        let mut batch = Batch::new();
        for (index, _) in self.store.scan(Table::OnceByTime, &[], None, PRUNE_MAX)? {
            let Some((at, row)) = index.split_first_chunk::<8>() else {
                continue;
            };
            if crate::store::key::read_time(at).is_none_or(|at| at > horizon) {
                break;
            }
            self.counts.lock().remove(token_of(row));
            batch.delete(Table::Once, row.to_vec());
            batch.delete(Table::OnceByTime, index);
        }
        if !batch.is_empty() {
            self.store.commit(batch, || {});
        }
        metrics::gauge!("tripline_once_kept").set(self.counts.lock().all as f64);
        Ok(())
    }

    fn note_of(&self, row: &[u8]) -> Result<Option<Note>, Refusal> {
        read(&self.store, Table::Once, row, "idempotency key")
    }
}

impl Note {
    fn holds(&self, now: Timestamp) -> bool {
        now.since(self.at) < ONCE_RETAIN
    }
}

impl Counts {
    fn is_full(&self, token_id: &str) -> bool {
        let own = self.by_token.get(token_id).copied().unwrap_or(0);
        self.all >= ONCE_MAX || own >= ONCE_PER_TOKEN_MAX
    }

    fn add(&mut self, token: &[u8]) {
        self.all += 1;
        let token = String::from_utf8_lossy(token).into_owned();
        *self.by_token.entry(token).or_default() += 1;
    }

    fn remove(&mut self, token: &[u8]) {
        self.all = self.all.saturating_sub(1);
        let token = String::from_utf8_lossy(token).into_owned();
        if let Some(own) = self.by_token.get_mut(&token) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_token.remove(&token);
            }
        }
    }
}

/// What a request made is kept no longer.
pub(crate) fn gone() -> Refusal {
    Refusal::Conflict {
        code: "idempotency_gone",
        detail: "what this Idempotency-Key made is kept no longer; use another key to make it again"
            .to_owned(),
    }
}

/// The part of a row's key that is the token's id: up to the zero byte that ends it.
fn token_of(row: &[u8]) -> &[u8] {
    row.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(crate) fn by_time(at: Timestamp, row: &[u8]) -> Key {
    Key::new().time(at).bytes(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counted::counted;
    use crate::store::Options;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((1_000_000 + seconds) * 1_000_000)
    }

    fn once(token: &str, key: &str, body: &str) -> Once {
        Once::new(token, key, "jobs", &json!(body)).unwrap()
    }

    fn made(n: u32) -> Made {
        Made::Command(SessionId(uuid::Uuid::nil()), n)
    }

    fn open(dir: &tempfile::TempDir) -> Onces {
        Onces::load(&Store::open(&Options::new(dir.path())).unwrap()).unwrap()
    }

    fn note(onces: &Onces, once: &Once, n: u32, now: Timestamp) -> Result<(), Refusal> {
        let mut batch = Batch::new();
        onces.note(Some(once), || made(n), now, &mut batch)?;
        onces.store.commit(batch, || {});
        Ok(())
    }

    #[test]
    fn a_key_means_one_request_of_one_token_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let onces = open(&dir);
        let first = once("a", "k", "body");
        assert_eq!(onces.made(Some(&first), at(0)).unwrap(), None);
        note(&onces, &first, 1, at(0)).unwrap();
        assert_eq!(onces.made(Some(&first), at(86_399)).unwrap(), Some(made(1)));
        assert_eq!(onces.made(Some(&once("b", "k", "body")), at(1)).unwrap(), None);
        assert_eq!(onces.made(Some(&once("a", "k2", "body")), at(1)).unwrap(), None);
        assert_eq!(onces.made(None, at(1)).unwrap(), None);
        for other in [
            once("a", "k", "other"),
            Once::new("a", "k", "sessions", &json!("body")).unwrap(),
        ] {
            assert_eq!(
                onces.made(Some(&other), at(1)).unwrap_err().code(),
                "idempotency_key_reused"
            );
        }
        assert_eq!(
            onces.made(Some(&once("a", "k", "other")), at(86_400)).unwrap(),
            None
        );
        note(&onces, &once("a", "k", "other"), 2, at(86_400)).unwrap();
        onces.prune(at(86_401)).unwrap();
        assert_eq!(
            onces.made(Some(&once("a", "k", "other")), at(86_402)).unwrap(),
            Some(made(2))
        );
        assert_eq!(onces.counts.lock().all, 1);
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_rest_is_counted_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let onces = open(&dir);
        for (token, key, seconds) in [("a", "1", 0), ("a", "2", 50), ("b", "1", 60)] {
            note(&onces, &once(token, key, ""), 1, at(seconds)).unwrap();
        }
        onces.prune(at(86_400 + 50)).unwrap();
        let store = onces.store.clone();
        let again = Onces::load(&store).unwrap();
        for onces in [onces, again] {
            let counts = onces.counts.lock();
            assert_eq!(
                (counts.all, counts.by_token.get("a"), counts.by_token.get("b")),
                (1, None, Some(&1))
            );
        }
        assert_eq!(store.scan(Table::Once, &[], None, 10).unwrap().len(), 1);
        assert_eq!(store.scan(Table::OnceByTime, &[], None, 10).unwrap().len(), 1);
    }

    #[test]
    fn the_number_of_keys_of_a_token_and_of_all_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let onces = open(&dir);
        onces
            .counts
            .lock()
            .by_token
            .insert("a".into(), ONCE_PER_TOKEN_MAX - 1);
        note(&onces, &once("a", "1", ""), 1, at(0)).unwrap();
        let metric = "tripline_once_refused_total";
        let (refused, count) = counted(metric, || note(&onces, &once("a", "2", ""), 1, at(0)));
        assert_eq!((refused.unwrap_err().code(), count), ("busy", 1));
        note(&onces, &once("b", "1", ""), 1, at(0)).unwrap();
        onces.counts.lock().all = ONCE_MAX;
        assert_eq!(
            note(&onces, &once("b", "2", ""), 1, at(0)).unwrap_err().code(),
            "busy"
        );
    }

    #[test]
    fn a_key_is_short_and_visible() {
        for wrong in ["", "a b", "ä", &"x".repeat(201)] {
            let refused = Once::new("a", wrong, "jobs", &json!(null)).unwrap_err();
            assert_eq!(refused.code(), "bad_idempotency_key", "{wrong:?}");
        }
        assert!(Once::new("a", &"x".repeat(200), "jobs", &json!(null)).is_ok());
    }
}
