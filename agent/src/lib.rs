//! Tripline's host agent: it enrols with a server, keeps one connection to it, runs the live-response
//! verbs it is sent, and returns each result until the server has acked it.
//!
//! Arrows inside: `agent` (composition) → `channel` (one connection) → `executor` (what runs, what waits
//! for an ack) → `verbs` (what each verb does, the same everywhere) → `platform` (how this operating system
//! does it). `journal` is beside `executor` and knows neither frames nor verbs. `watching` reports processes as a
//! LittleBrother client does, and ends some; what it reports and ends is `watcher`'s to say, a pure state machine.
//!
//! Deliberately not here: any decision about which host or job a command belongs to, any retry of a
//! command, and any shell.

pub mod agent;
pub mod backoff;
pub mod channel;
pub mod config;
pub mod enrol;
pub mod executor;
pub mod identity;
pub mod isolation;
pub mod journal;
pub mod keys;
pub mod link;
pub mod platform;
pub mod policy;
pub mod server_url;
pub mod state_dir;
pub mod stop;
pub mod tls;
pub mod transfer;
pub mod verbs;
pub mod watcher;
pub mod watching;
