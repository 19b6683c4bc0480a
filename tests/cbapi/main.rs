//! Tripline driven by the real cbapi (2.0.0 from PyPI), as users' scripts drive it: a server over TLS, agents, and
//! Python programs of a few lines that stand in the tests. No test asserts a time.
//!
//! `make cbapi` puts the library into a virtual environment; `TRIPLINE_CBAPI` names its folder.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod errors;
mod failing;
mod files;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod isolation;
mod jobs;
mod leases;
mod losing;
mod memory;
mod outages;
mod page;
mod peers;
mod processes;
#[path = "../harness/python.rs"]
mod python;
mod refused_uploads;
mod registry;
mod reporting_host;
mod scene;
mod script;
mod sensors;
mod sharing;
mod slow;
#[expect(dead_code, reason = "tests/littlebrother uses all of it, this binary a part")]
#[path = "../littlebrother/watching_agent.rs"]
mod watching_agent;
mod windows;
