//! Tripline and its agent with the real LittleBrother programs (little-brother 0.5.8) as peers, as processes and
//! over HTTP. No test waits for a time where it can wait for a condition, and none asserts one.
//!
//! `make littlebrother` puts the programs into a virtual environment; `TRIPLINE_LITTLEBROTHER` names its folder.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod agent_channel;
mod agent_direct;
mod bad_input;
mod client_contact;
mod client_outages;
mod client_processes;
mod client_response;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod messages;
mod peers;
mod peers_alone;
mod scene;
mod stream;
mod tripline;
mod watching_agent;
