//! Dead letters as they are in their stream: what the HTTP edge asks of the NATS edge.
//!
//! Deliberately not here: who may see them, and what a replay is.

use futures_util::future::BoxFuture;
use tripline_protocol::Timestamp;

/// Why messages become dead letters: what their subjects say.
pub const REASONS: [&str; 21] = [
    "ambiguous_host",
    "bad_argument",
    "bad_attribute",
    "bad_detection",
    "bad_job",
    "bad_params",
    "bad_subject",
    "condition_error",
    "etype_mismatch",
    "missing_field",
    "no_host",
    "not_json",
    "poison",
    "service_gave_up",
    "service_queue_full",
    "service_rejected",
    "stale",
    "template_error",
    "too_deep",
    "too_large",
    "unknown_host",
];
/// The reason of what somebody else put into the stream, under a subject that is none of dead letters.
pub const REASON_UNKNOWN: &str = "unknown";

/// A message of the stream of dead letters.
#[derive(Debug, Clone)]
pub struct RawLetter {
    /// When the stream was made: another time means another stream, whose sequences are others.
    pub stream_created: Timestamp,
    /// Its sequence.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: bytes::Bytes,
    /// When JetStream stored it.
    pub stored_at: Timestamp,
}

/// Which part of the stream to read, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Only those before this sequence.
    pub before: Option<u64>,
    /// At most so many sequences are looked at.
    pub limit: usize,
}

/// What a section holds.
#[derive(Debug, Clone)]
pub struct Letters {
    /// The letters, newest first. Those that were dropped are not there.
    pub letters: Vec<RawLetter>,
    /// Where the next section begins; absent when there is none.
    pub next: Option<u64>,
}

/// Why the stream cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or no answer in time.
    #[error("the broker is away")]
    Away,
    /// As many requests as there may be are under way.
    #[error("too many requests for dead letters are under way")]
    Busy,
    /// The broker refused.
    #[error("{what}: {why}")]
    Refused {
        /// What came to nothing, for a caller.
        what: &'static str,
        /// What the broker or its client said.
        why: String,
    },
}

/// Where dead letters are.
pub trait DeadLetters: Send + Sync {
    /// Reads a section.
    fn read(&self, section: Section) -> BoxFuture<'static, Result<Letters, Error>>;

    /// One letter; `None` when there is none of this sequence.
    fn get(&self, sequence: u64) -> BoxFuture<'static, Result<Option<RawLetter>, Error>>;

    /// Removes one from the stream; whether it was there.
    fn remove(&self, sequence: u64) -> BoxFuture<'static, Result<bool, Error>>;
}
