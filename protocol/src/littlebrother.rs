//! The LittleBrother protocol: messages of clients, events in both directions, users and their patterns.
//!
//! Clients post a message (`POST /api/events`) every few seconds, and the answer is the list of events that
//! wait for them. Nothing is acknowledged. What the running programs do (little-brother 0.5.8) decides where it
//! differs from their document. Deliberately not here: what a server or a client makes of an event.

mod attributes;
mod event;
mod local_time;
mod message;
mod pattern;
mod stats;
mod surrogate;
mod user;
mod zone;

pub use event::{EventType, InvalidWireEvent, WireEvent};
pub use local_time::{InvalidLocalTime, LocalTime};
pub use message::{ClientMessage, Ignored, InvalidMessage, ReadMessage};
pub use pattern::{InvalidPattern, ProcessPattern, ProhibitedPattern};
pub use stats::ClientStats;
pub use user::{
    InvalidMapping, InvalidUser, LoginMapping, UserConfig, UserPatterns, UserProblem, check_mappings,
    check_users, config_event, mapping_event,
};
pub use zone::Zone;

/// The only process handler of clients; an event of a process with another one is discarded by the real programs.
pub const PROCESS_HANDLER: &str = "ClientProcessHandler";
/// The server group of a mapping, and of a client, that names none.
pub const DEFAULT_GROUP: &str = "default-group";
/// The version of the real programs whose behaviour this follows.
pub const VERSION: &str = "0.5.8";
/// Longest message taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most events taken in one message.
pub const MESSAGE_EVENTS_MAX: usize = 20_000;
/// Longest text attribute of an event taken (names, texts), in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
