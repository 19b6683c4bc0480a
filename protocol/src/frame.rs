//! The agent channel: WebSocket subprotocol `tripline.agent.v1`.
//!
//! Control is JSON text frames with a `type`; unknown types and fields are ignored. File content is binary
//! frames: 16 bytes command id, 8 bytes offset (big-endian), then the chunk. A sender of chunks has at
//! most the granted credit in flight.

use crate::detection::fault_of_event;
use crate::fault::Fault;
use crate::id::{CommandId, HostId, Sha256, TransferId};
use crate::isolation::IsolationReport;
use crate::limit::{ATTRIBUTE_BYTES_MAX, CHUNK_BYTES_MAX};
use crate::littlebrother::{ClientMessage, WireEvent};
use crate::step::Truncated;
use crate::subject::Etype;
use crate::time::Timestamp;
use crate::verb::{Verb, VerbCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The WebSocket subprotocol both sides must name.
pub const SUBPROTOCOL: &str = "tripline.agent.v1";
/// The fault code by which an agent confirms a cancellation.
pub const CODE_CANCELLED: &str = "cancelled";
/// The fault code of a command that an agent began and whose outcome it does not know (it died meanwhile).
pub const CODE_INTERRUPTED: &str = "interrupted";
/// The fault code of a command whose epoch is older than the newest the agent has seen.
pub const CODE_STALE_EPOCH: &str = "stale_epoch";
/// The fault code of a transfer whose connection broke: it is begun anew, if at all.
pub const CODE_TRANSFER_CUT: &str = "transfer_cut";
/// The fault code of a transfer that broke, or whose agent or server stopped, and that goes on where it stopped.
/// Nothing has been put in place.
pub const CODE_TRANSFER_PAUSED: &str = "transfer_paused";

/// What an agent sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentFrame {
    /// First frame of every connection.
    Hello(Box<Hello>),
    /// The command is in the journal and begins.
    Accepted {
        /// Which.
        command_id: CommandId,
    },
    /// Bytes moved so far, of a transfer or a long command.
    Progress {
        /// Which.
        command_id: CommandId,
        /// So far.
        bytes: u64,
    },
    /// The command ended. Sent again after each reconnect until acked.
    Result(Box<CommandResult>),
    /// The agent can take this many more bytes of the command's transfer.
    Credit {
        /// Which.
        command_id: CommandId,
        /// More.
        bytes: u64,
    },
    /// Of a `put_file` that may go on: the agent has this many bytes, and the server sends the rest.
    Resume {
        /// Which.
        command_id: CommandId,
        /// Where the first chunk begins.
        offset: u64,
    },
    /// Something happened on the host. Sent again until acked.
    Event(Box<AgentEvent>),
    /// What the agent's process watcher reports, as a LittleBrother client would. Sent only when `welcome` asked
    /// for it, one at a time: the next follows the answer.
    Littlebrother {
        /// Number of the message on this connection, from 1; the answer carries it.
        seq: u64,
        /// The message; `hostname` is ignored, the connection tells whose it is.
        message: Box<ClientMessage>,
    },
    /// The host's isolation began, was renewed or ended; `hello` says it, too.
    Isolation {
        /// How it stands.
        isolation: Box<IsolationReport>,
    },
    /// The key that the agent made because it was asked to: from now on it is to open connections, too. Sent again
    /// after each reconnect until `key_taken` came and the new key was used.
    NewKey {
        /// SHA-256 of the key.
        key_sha256: Sha256,
    },
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// Answers hello; before it the agent sends nothing else.
    Welcome {
        /// Whom the key belongs to.
        host_id: HostId,
        /// The attachment's epoch, growing with each attachment of the host.
        epoch: u64,
        /// The server's version.
        server_version: String,
        /// Watch processes and send `littlebrother` frames.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        littlebrother: bool,
    },
    /// Run a verb.
    Command(Box<Command>),
    /// End a command; confirmed by its result.
    Cancel {
        /// Which.
        command_id: CommandId,
    },
    /// These results are durable: forget them.
    Ack {
        /// Which.
        command_ids: Vec<CommandId>,
    },
    /// This event is durable: forget it.
    EventAck {
        /// Which.
        id: String,
    },
    /// Answers a `littlebrother` frame; what it reported is durable.
    Littlebrother {
        /// Of the frame it answers.
        seq: u64,
        /// What waits for this host, in order.
        events: Vec<WireEvent>,
    },
    /// The server can take this many more bytes of the command's transfer.
    Credit {
        /// Which.
        command_id: CommandId,
        /// More.
        bytes: u64,
    },
    /// Make a new key, keep it beside the present one, and answer with `new_key`.
    RotateKey,
    /// Answers `new_key`: the new key is durable and opens connections. The old one ends when the new one did so.
    KeyTaken {
        /// SHA-256 of the new key.
        key_sha256: Sha256,
    },
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// The server ends the connection, and why: `replaced`, `revoked`, `forgotten`, `reconfigured`, `shutdown`,
    /// `protocol_error`.
    Bye {
        /// A stable word.
        reason: String,
    },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// An agent introduces itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's version.
    pub agent_version: String,
    /// The host's name now.
    pub hostname: String,
    /// `linux`, `windows`, `macos`.
    pub platform: String,
    /// `x86_64`, `aarch64`, …
    pub arch: String,
    /// Free text, such as `Debian GNU/Linux 12`.
    #[serde(default)]
    pub os_version: String,
    /// IP addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Labels that its own configuration gives the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What it can do and its own configuration allows. A reader ignores names that it does not know, and repeats.
    #[serde(deserialize_with = "known_verbs")]
    pub verbs: Vec<Verb>,
    /// It goes on with transfers that were cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumes: bool,
    /// Identity of its journal; another value means the old one was lost.
    pub journal_id: Uuid,
    /// Of the agent's process: made when it starts and kept nowhere. One that comes back after another came with the
    /// same key shows that two agents have that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// Commands that run now.
    #[serde(default)]
    pub running: Vec<CommandId>,
    /// Commands whose results wait for an ack; the results follow after welcome.
    #[serde(default)]
    pub finished: Vec<CommandId>,
    /// How the host's isolation stands; absent: the agent knows of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<IsolationReport>,
}

fn known_verbs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Verb>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let mut verbs = Vec::new();
    for verb in names.iter().filter_map(|name| name.parse().ok()) {
        if !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    Ok(verbs)
}

/// A verb to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its identity; executed at most once.
    pub command_id: CommandId,
    /// The attachment's epoch; an agent refuses one older than it has seen.
    pub epoch: u64,
    /// What to do.
    pub call: VerbCall,
    /// Milliseconds it may take from now.
    pub remaining_ms: u64,
    /// The content that follows in chunks, for `put_file` of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// For a command that moves a file, to an agent that `resumes`: where an earlier command was cut, this one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// A transfer that more than one command may be needed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The same for all of its commands.
    pub transfer_id: TransferId,
    /// Bytes that the server has of a file it fetches; the first chunk begins behind them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Of these bytes. A file that begins otherwise now is refused as `file_changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// What a transfer moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// All of it.
    pub bytes: u64,
    /// Of all of it.
    pub sha256: Sha256,
}

/// How a command ended: exactly one of `output` and `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Which.
    pub command_id: CommandId,
    /// What the verb returned, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(
        default,
        deserialize_with = "crate::limit::shallow_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub output: Option<Value>,
    /// Why it failed; its detail is nested no deeper than an output.
    #[serde(
        default,
        deserialize_with = "crate::limit::shallow_fault",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<Fault>,
    /// Bytes left out of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
}

/// Something an agent reports by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentEvent {
    /// Unique on this host.
    pub id: String,
    /// Its type.
    pub etype: Etype,
    /// When.
    pub time: Timestamp,
    /// Its payload, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(default, deserialize_with = "crate::limit::shallow")]
    pub data: Value,
}

impl AgentEvent {
    /// What is wrong with its id, which goes into headers and into every result, or with it as a detection; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        let fits = (1..=ATTRIBUTE_BYTES_MAX).contains(&self.id.len());
        let legal = fits && !self.id.chars().any(char::is_control);
        let id = (!legal)
            .then(|| format!("its id is not 1 to {ATTRIBUTE_BYTES_MAX} bytes without control characters"));
        id.or_else(|| fault_of_event(&self.etype, &self.data))
    }
}

/// Bytes before the chunk in a binary frame.
pub const CHUNK_HEADER_BYTES: usize = 24;

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The command it belongs to.
    pub command_id: CommandId,
    /// Position of its first byte in the transfer.
    pub offset: u64,
    /// At most [`CHUNK_BYTES_MAX`].
    pub bytes: &'a [u8],
}

/// Why a binary frame is no chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChunk {
    /// Shorter than its header.
    #[error("chunk frame of {0} bytes is shorter than its header")]
    Short(usize),
    /// Longer than allowed.
    #[error("chunk of {0} bytes, at most {CHUNK_BYTES_MAX} are taken")]
    Long(usize),
    /// It would end beyond what 64 bits can count.
    #[error("chunk at offset {0} ends beyond 64 bits")]
    Offset(u64),
}

impl<'a> Chunk<'a> {
    /// Reads a binary frame.
    pub fn decode(frame: &'a [u8]) -> Result<Self, InvalidChunk> {
        let short = || InvalidChunk::Short(frame.len());
        let (id, rest) = frame.split_first_chunk::<16>().ok_or_else(short)?;
        let (offset, bytes) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(InvalidChunk::Long(bytes.len()));
        }
        let offset = u64::from_be_bytes(*offset);
        if offset.checked_add(bytes.len() as u64).is_none() {
            return Err(InvalidChunk::Offset(offset));
        }
        let command_id = CommandId(Uuid::from_bytes(*id));
        Ok(Self {
            command_id,
            offset,
            bytes,
        })
    }

    /// Writes a binary frame. The sender cuts files into chunks of at most [`CHUNK_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(CHUNK_HEADER_BYTES + self.bytes.len());
        frame.extend_from_slice(self.command_id.as_bytes());
        frame.extend_from_slice(&self.offset.to_be_bytes());
        frame.extend_from_slice(self.bytes);
        frame
    }
}
