//! Attestation: how Tripline knows, when an event comes back from NATS, that its own edge published it.
//!
//! Anybody may publish on the events subjects, so a header alone proves nothing. An edge signs the event's
//! key and payload with a key that never leaves the server; without a valid signature an event counts as
//! attested by its `publisher`.

use crate::ground::read;
use crate::record::{encode, meta};
use crate::refusal::Refusal;
use crate::replay::Replay;
use crate::store::{Batch, Store, Table};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tripline_protocol::{Attestation, EventKey, Timestamp};
use uuid::Uuid;

/// Signs and checks.
#[derive(Clone)]
pub(crate) struct Attester {
    key: Hmac<Sha256>,
}

impl Attester {
    /// Reads the key, or makes one at the first start.
    pub(crate) fn load(store: &Store) -> Result<Self, Refusal> {
        let key: [Uuid; 2] = match read(store, Table::Meta, meta::ATTESTATION_KEY, "attestation key")? {
            Some(key) => key,
            None => {
                let key = [Uuid::new_v4(), Uuid::new_v4()];
                let mut batch = Batch::new();
                batch.put(Table::Meta, meta::ATTESTATION_KEY.to_vec(), encode(&key));
                store.commit(batch, || {});
                key
            }
        };
        let bytes: Vec<u8> = key.iter().flat_map(|half| *half.as_bytes()).collect();
        let key = Hmac::new_from_slice(&bytes).map_err(|_| Refusal::Unavailable {
            detail: "no HMAC key",
        })?;
        Ok(Self { key })
    }

    fn mac(&self, by: Attestation, key: EventKey, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        mac.update(by.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(key.as_bytes());
        mac.update(payload);
        mac
    }

    /// The value of the attestation header.
    pub(crate) fn sign(&self, by: Attestation, key: EventKey, payload: &[u8]) -> String {
        let signature = hex(&self.mac(by, key, payload).finalize().into_bytes());
        format!("{}:{signature}", by.as_str())
    }

    fn replay_mac(&self, replay: Replay, key: EventKey, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        mac.update(b"replay\0");
        mac.update(&replay.run.to_be_bytes());
        mac.update(&replay.at.as_micros().to_be_bytes());
        mac.update(key.as_bytes());
        mac.update(payload);
        mac
    }

    /// The value of the header of a replay: `<run>:<time, in µs>:<signature>`.
    pub(crate) fn sign_replay(&self, replay: Replay, key: EventKey, payload: &[u8]) -> String {
        let signature = hex(&self.replay_mac(replay, key, payload).finalize().into_bytes());
        format!("{}:{}:{signature}", replay.run, replay.at.as_micros())
    }

    /// The replay that an event with this header is; `None` when it is none of ours.
    pub(crate) fn check_replay(&self, header: &str, key: EventKey, payload: &[u8]) -> Option<Replay> {
        let (run, rest) = header.split_once(':')?;
        let (at, signature) = rest.split_once(':')?;
        let replay = Replay {
            run: run.parse().ok().filter(|run| *run > 0)?,
            at: Timestamp::from_micros(at.parse().ok()?),
        };
        let signature = decode_hex(signature)?;
        let valid = self.replay_mac(replay, key, payload).verify_slice(&signature);
        valid.ok().map(|()| replay)
    }

    /// Who vouches for an event with this header.
    pub(crate) fn check(&self, header: &str, key: EventKey, payload: &[u8]) -> Attestation {
        let claims = [
            Attestation::Agent,
            Attestation::Littlebrother,
            Attestation::Limacharlie,
        ];
        let found = header.split_once(':').and_then(|(by, signature)| {
            let by = claims.into_iter().find(|claim| claim.as_str() == by)?;
            let signature = decode_hex(signature)?;
            self.mac(by, key, payload)
                .verify_slice(&signature)
                .ok()
                .map(|()| by)
        });
        found.unwrap_or_default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() != 64 {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}
