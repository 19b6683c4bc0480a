//! Identifiers and names, each a type of its own.
//!
//! Derived ids are UUIDv5 so that handling the same event again computes the same job ids: the event key
//! is UUIDv5 over (org, source, id), a job id over (event key, pipeline, host, run), a command id over
//! (job, step, attempt).

use crate::limit::WORD_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Namespace of every UUID that Tripline derives.
const NAMESPACE: Uuid = Uuid::from_u128(0x7a1d_51c6_0b9e_4f0e_9c55_6e6d_31f0_2b11);

/// A text that is not a legal value of the named kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: expected {expected}")]
pub struct InvalidId {
    /// What it was meant to be.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What would have been legal.
    pub expected: &'static str,
}

impl InvalidId {
    pub(crate) fn new(kind: &'static str, text: &str, expected: &'static str) -> Self {
        Self {
            kind,
            text: text.chars().take(80).collect(),
            expected,
        }
    }
}

/// Joins parts so that no two different lists of parts give the same bytes: each is prefixed by its length.
fn derive(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut bytes = Vec::with_capacity(128);
    for part in std::iter::once(&kind.as_bytes()).chain(parts) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Uuid::new_v5(&NAMESPACE, &bytes)
}

/// A UUID of what has no type of its own.
pub(crate) fn derived(kind: &str, parts: &[&[u8]]) -> Uuid {
    derive(kind, parts)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The 16 bytes, big-endian, as used in store keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId::new($kind, text, "a UUID"))
            }
        }
    };
}

uuid_id!(/** A host, made by Tripline at enrolment. */ HostId, "host id");
uuid_id!(/** A job; derived from what caused it, or random when a person submits it. */ JobId, "job id");
uuid_id!(/** A fan-out; derived from what caused it, or random when a person submits it. */ FanoutId, "fan-out id");
uuid_id!(/** An event's identity: UUIDv5 over org, source and id. */ EventKey, "event key");
uuid_id!(/** A session; made when it is opened. */ SessionId, "session id");
uuid_id!(/** One verb sent to a host; never executed twice by an agent. */ CommandId, "command id");
uuid_id!(/** What an agent makes at its first start and keeps; enrolling again with it gives the same host. */ InstallId, "install id");

impl HostId {
    /// The host of an install id within an org: enrolling again gives the same host.
    pub fn derive(org: &Org, install_id: InstallId) -> Self {
        Self(derive("host", &[org.as_str().as_bytes(), install_id.as_bytes()]))
    }

    /// The own record of the LittleBrother client that calls itself `hostname`: the name is all it has.
    pub fn derive_littlebrother(org: &Org, hostname: &str) -> Self {
        let parts = [org.as_str().as_bytes(), hostname.as_bytes()];
        Self(derive("littlebrother", &parts))
    }

    /// The own record of the sensor that LimaCharlie calls `sid` in `org`.
    pub fn derive_limacharlie(org: &Org, sid: Uuid) -> Self {
        let parts = [org.as_str().as_bytes(), sid.as_bytes().as_slice()];
        Self(derive("limacharlie", &parts))
    }
}

impl EventKey {
    /// The key of the event that `source` in `org` calls `id`.
    pub fn derive(org: &Org, source: &str, id: &str) -> Self {
        Self(derive(
            "event",
            &[org.as_str().as_bytes(), source.as_bytes(), id.as_bytes()],
        ))
    }
}

impl JobId {
    /// The job that `pipeline` starts on `host` because of `event`; `run` is 0 and one more for each replay.
    pub fn derive(event: EventKey, pipeline: &Name, host: HostId, run: u32) -> Self {
        let run = run.to_be_bytes();
        Self(derive(
            "job",
            &[
                event.as_bytes(),
                pipeline.as_str().as_bytes(),
                host.as_bytes(),
                &run,
            ],
        ))
    }

    /// The job of a submission that carries an idempotency key.
    pub fn derive_submitted(org: &Org, idempotency_key: &str, host: HostId) -> Self {
        Self(derive(
            "submitted",
            &[
                org.as_str().as_bytes(),
                idempotency_key.as_bytes(),
                host.as_bytes(),
            ],
        ))
    }
}

impl EventKey {
    /// The `mid` under which `service` gets this event, `about` what of it: the same on every attempt.
    pub fn mid(self, service: &Name, about: &str) -> Uuid {
        derive(
            "mid",
            &[self.as_bytes(), service.as_str().as_bytes(), about.as_bytes()],
        )
    }
}

impl FanoutId {
    /// The fan-out that `pipeline` begins because of `event`; `run` is 0 and one more for each replay.
    pub fn derive(event: EventKey, pipeline: &Name, run: u32) -> Self {
        let run = run.to_be_bytes();
        Self(derive(
            "fanout",
            &[event.as_bytes(), pipeline.as_str().as_bytes(), &run],
        ))
    }

    /// The fan-out of a submission that carries an idempotency key.
    pub fn derive_submitted(org: &Org, idempotency_key: &str) -> Self {
        Self(derive(
            "submitted fanout",
            &[org.as_str().as_bytes(), idempotency_key.as_bytes()],
        ))
    }
}

impl JobId {
    /// The job of a fan-out on `host`; `run` is 0 and one more each time the host is tried again.
    pub fn derive_fanout(fanout: FanoutId, name: &Name, host: HostId, run: u32) -> Self {
        let run = run.to_be_bytes();
        Self(derive(
            "fanout job",
            &[fanout.as_bytes(), name.as_str().as_bytes(), host.as_bytes(), &run],
        ))
    }

    /// The id of the event that a step of this job publishes, however often it does.
    pub fn event_id(self, step: &str) -> Uuid {
        derive("published", &[self.as_bytes(), step.as_bytes()])
    }
}

impl CommandId {
    /// The command of a job's step in one attempt. Sent again after a crash it is the same id, so an agent
    /// that has it in its journal does not run it twice.
    pub fn derive(job: JobId, step: usize, attempt: u32) -> Self {
        Self(derive(
            "command",
            &[
                job.as_bytes(),
                &(step as u64).to_be_bytes(),
                &attempt.to_be_bytes(),
            ],
        ))
    }
}

uuid_id!(/** A transfer of a file: of a job's step or of a session's command, in all of its attempts. */ TransferId, "transfer id");

impl TransferId {
    /// What a job's step moves.
    pub fn derive(job: JobId, step: usize) -> Self {
        Self(CommandId::derive(job, step, 0).0)
    }

    /// What the command of this number in an interactive session moves.
    pub fn derive_interactive(session: SessionId, number: u32) -> Self {
        Self(CommandId::derive_interactive(session, number, 0).0)
    }
}

impl CommandId {
    /// The command of this number in an interactive session, in one attempt.
    pub fn derive_interactive(session: SessionId, number: u32, attempt: u32) -> Self {
        Self(derive(
            "interactive",
            &[session.as_bytes(), &number.to_be_bytes(), &attempt.to_be_bytes()],
        ))
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId::new($kind, text, $expected)) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A tenant: LimaCharlie's organisation id, or `default`. One NATS token, never the `_` that stands
    /// for no org in the subjects of dead letters.
    Org, "org", "1 to 64 of A-Z a-z 0-9 _ -, the first a letter or digit",
    |text| (1..=WORD_BYTES_MAX).contains(&text.len())
        && !text.starts_with(['_', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
);
text_id!(
    /// A pipeline's or job's name: `[a-z0-9][a-z0-9_-]{0,63}`.
    Name, "name", "1 to 64 of a-z 0-9 _ -, the first a letter or digit",
    |text| (1..=WORD_BYTES_MAX).contains(&text.len())
        && !text.starts_with(['_', '-'])
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
);
text_id!(
    /// A SHA-256 in lower-case hexadecimal, 64 characters.
    Sha256, "SHA-256", "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

text_id!(
    /// A word that groups hosts, such as `dmz` or `owner:ana`.
    Label, "label", "1 to 64 of A-Z a-z 0-9 . _ : / = -, the first a letter or digit",
    |text| (1..=WORD_BYTES_MAX).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/=-".contains(&b))
);

impl Org {
    /// The org of a single-tenant installation.
    pub fn default_org() -> Self {
        Self("default".into())
    }
}

impl Sha256 {
    /// From the 32 bytes of a digest.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }
}
