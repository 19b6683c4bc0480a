//! LimaCharlie services that the server calls: peers on real sockets that answer, that do not, and that mean no good. No test
//! asserts a time.
//!
//! `TRIPLINE_SOAK_ROUNDS=100` makes the soak of `crash` longer (`make soak`). It needs the example `turned-clock`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod bad_answers;
mod crash;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod listeners;
mod loops;
mod peer;
mod registered;
mod scene;
mod tokens;
