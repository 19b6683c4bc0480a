//! The document of the HTTP API, held to the program: that it is the one checked in, that it is sound, that its schemas
//! say of bodies what the types say that read and write them, and that a running server asks and answers as it says.
//!
//! Deliberately not here: that every route is in it, which `src/http/openapi/tests.rs` asks the router.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod asked;
mod codes;
mod document;
mod golden;
#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod mutations;
mod schema;
mod served;
mod texts;
