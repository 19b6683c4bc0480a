//! The agent against the real file system, real processes and a real WebSocket: one binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod binary;
mod channel;
mod executor;
mod files;
mod journal;
mod keys;
mod listings;
mod littlebrother;
mod processes;
mod quarry;
mod server;
mod support;
mod tls;
mod watching_channel;
mod watching_direct;
