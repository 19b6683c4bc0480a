//! The NATS edge against real brokers. Every test starts its own, in a temporary folder, on a free port.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod dead;
mod edge;
mod embedded;
mod feed;
mod permissions;
mod publisher;
mod streams;
mod support;
