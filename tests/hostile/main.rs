//! Others that mean no good: agents that lie, clients that stall, crowds that say nothing, names that lead elsewhere.
//! Each time an honest agent of the same server runs a job meanwhile, and gets its right result. No test asserts a time.
//!
//! `TRIPLINE_SOAK_CONNECTIONS=10000` makes the crowd of `crowds` as large (`make soak-connections`).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod crowds;
mod floods;
mod frames;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod labels;
mod liar;
mod lies;
mod names;
mod scene;
mod stalls;
