//! The shape of the code, held: which crate may know which, and which word belongs in one place only.
//!
//! Reads manifests, `Cargo.lock` and sources, builds nothing. What a compiler or clippy says already is not
//! repeated here.

#![cfg(test)]

mod crates;
mod scan;
mod sources;
mod workspace;
