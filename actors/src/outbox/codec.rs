//! Entries of the outbox as the store keeps them: a length, a JSON head, then the payload as it is.

use super::Load;
use crate::ports::OutMessage;
use crate::record::{decode as decode_json, encode as encode_json};
use crate::store::{Batch, Table};
use crate::trace::TraceSpan;
use serde::{Deserialize, Serialize};
use tripline_protocol::Timestamp;
use tripline_protocol::api::OutboxEntry;

/// A message with its place in the order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) seq: u64,
    pub(crate) message: OutMessage,
    /// Its publication, if somebody wants it in a trace. It is not stored: after a restart there is none.
    pub(crate) span: Option<Box<TraceSpan>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    subject: String,
    id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Adds a message to the batch of the decision that makes it. Hand the outgoing to the Outbox actor once the
/// batch is durable.
pub(crate) fn stage(load: &Load, batch: &mut Batch, message: OutMessage) -> Outgoing {
    let seq = load.take_seq();
    let entry = encode(&message, Some(load.now()), None);
    batch.put(Table::Outbox, seq.to_be_bytes().to_vec(), entry);
    Outgoing {
        seq,
        message,
        span: None,
    }
}

fn encode(message: &OutMessage, staged_at: Option<Timestamp>, refused: Option<String>) -> Vec<u8> {
    let head = encode_json(&Head {
        subject: message.subject.clone(),
        id: message.message_id.clone(),
        headers: message.headers.clone(),
        staged_at,
        refused,
    });
    let mut bytes = Vec::with_capacity(4 + head.len() + message.payload.len());
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&message.payload);
    bytes
}

fn split(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (head, payload) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((decode_json("outbox entry", head).ok()?, payload))
}

pub(super) fn decode(bytes: &[u8]) -> Option<OutMessage> {
    let (head, payload) = split(bytes)?;
    Some(OutMessage {
        subject: head.subject,
        message_id: head.id,
        headers: head.headers,
        payload: payload.to_vec(),
    })
}

/// Where an entry goes; `None` where it cannot be read.
pub(super) fn subject_of(bytes: &[u8]) -> Option<String> {
    split(bytes).map(|(head, _)| head.subject)
}

/// Whether an entry can be read.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    decode(bytes).is_some()
}

/// The entry as it is kept in quarantine. One that cannot be decoded is kept as it is.
pub(super) fn with_reason(entry: &[u8], why: &str) -> Vec<u8> {
    again(entry, Some(why.to_owned()))
}

/// The entry of quarantine as it waits again.
pub(super) fn without_reason(entry: &[u8]) -> Vec<u8> {
    again(entry, None)
}

fn again(entry: &[u8], refused: Option<String>) -> Vec<u8> {
    let staged_at = split(entry).and_then(|(head, _)| head.staged_at);
    decode(entry).map_or_else(|| entry.to_vec(), |message| encode(&message, staged_at, refused))
}

/// An entry for people.
pub(super) fn describe(sequence: u64, entry: &[u8]) -> OutboxEntry {
    match split(entry) {
        Some((head, payload)) => OutboxEntry {
            sequence,
            subject: head.subject,
            message_id: head.id,
            bytes: payload.len() as u64,
            staged_at: head.staged_at,
            refused: head.refused,
        },
        None => OutboxEntry {
            sequence,
            subject: String::new(),
            message_id: String::new(),
            bytes: entry.len() as u64,
            staged_at: None,
            refused: Some("the stored entry is unreadable".into()),
        },
    }
}

pub(super) fn decode_seq(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn encode_time(time: Timestamp) -> Vec<u8> {
    time.as_micros().to_be_bytes().to_vec()
}

pub(super) fn decode_time(bytes: &[u8]) -> Option<Timestamp> {
    bytes
        .try_into()
        .ok()
        .map(|bytes| Timestamp::from_micros(i64::from_be_bytes(bytes)))
}

/// Entries that are removed at once. Memory that the store needs for a batch grows with it.
pub(super) const FORGOTTEN_MAX: usize = 1_000;

/// Batches which remove these entries, however many they are, in parts.
pub(super) fn forgetting(seqs: &[u64]) -> impl Iterator<Item = Batch> {
    seqs.chunks(FORGOTTEN_MAX).map(|seqs| {
        let mut batch = Batch::new();
        seqs.iter().for_each(|seq| forget(&mut batch, *seq));
        batch
    })
}

/// Removes an entry and its mark.
pub(super) fn forget(batch: &mut Batch, seq: u64) {
    batch.delete(Table::Outbox, seq.to_be_bytes().to_vec());
    batch.delete(Table::Sent, seq.to_be_bytes().to_vec());
}
