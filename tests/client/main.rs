//! The Rust client against a real server over TLS, real agents, and hosts whose agents do what a test says. No test
//! asserts a time.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod connecting;
mod errors;
mod events;
mod examples;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod jobs;
mod lost_answers;
mod outages;
mod processes;
mod scene;
mod scripted;
mod sessions;
mod transfers;
