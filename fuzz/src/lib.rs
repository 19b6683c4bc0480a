//! What others write to Tripline, and what must be true of reading it: one module a fuzz target, each with a
//! `run` that takes any bytes and panics where Tripline is wrong.
//!
//! A target panics, too, when what it calls panics, and the engine ends it when it takes too long or too much
//! memory. `scripts/fuzz` runs them under the engine; `tests/corpus.rs` runs them over their corpus on every run
//! of the tests. Deliberately not here: what reads only what Tripline itself wrote.

// A panic is how a target speaks.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a target says what is wrong by a panic"
)]

pub mod agent_channel;
pub mod agent_configuration;
pub mod audit;
pub mod configuration;
pub mod events;
pub mod exports;
pub mod frames;
pub mod http;
mod input;
pub mod limacharlie;
pub mod littlebrother;
pub mod machine;
pub mod multipart;
pub mod pipelines;
pub mod salvage;
pub mod services;
mod stage;
pub mod state;
pub mod words;

/// A target: takes any bytes, panics where Tripline is wrong.
pub type Target = fn(&[u8]);

/// All targets by name, as `fuzz_targets/` and `corpus/` name them.
pub const TARGETS: [(&str, Target); 17] = [
    ("agent_channel", agent_channel::run),
    ("agent_configuration", agent_configuration::run),
    ("audit", audit::run),
    ("configuration", configuration::run),
    ("events", events::run),
    ("exports", exports::run),
    ("frames", frames::run),
    ("http", http::run),
    ("limacharlie", limacharlie::run),
    ("littlebrother", littlebrother::run),
    ("machine", machine::run),
    ("multipart", multipart::run),
    ("pipelines", pipelines::run),
    ("salvage", salvage::run),
    ("services", services::run),
    ("state", state::run),
    ("words", words::run),
];
