//! Tripline as a service of LimaCharlie: the tests play the cloud against a real server with its broker, row by row of what is
//! known of the protocol. No test waits for a time where it can wait for a condition, and none asserts one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod calls;
mod cloud;
mod effects;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod large;
mod orgs;
mod resources;
mod rows;
mod signatures;
