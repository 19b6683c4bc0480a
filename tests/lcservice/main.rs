//! The real reference implementation of LimaCharlie services (lcservice 1.8.6 from PyPI) as a peer: what we send is what it
//! takes, what is known of it is what it does, and registered at a server it gets everything. No test asserts a time.
//!
//! `make lcservice` puts it into a virtual environment; `TRIPLINE_LCSERVICE` names its folder.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod cloud;
mod command;
mod example;
mod function;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod peer;
#[path = "../harness/python.rs"]
mod python;
mod wire;
