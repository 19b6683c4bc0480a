//! Verifying the audit: from the server's store, from an export, and from the copy on NATS.
//!
//! Nothing of it trusts the server: every record is read, and its hash computed, where the verdict is wanted.
//!
//! Deliberately not here: making and keeping records, which is the actors' (`tripline_actors::audit`).

mod file;
mod verify;

pub use file::{FileError, verify_lines};
pub use verify::{Broken, Verified, Verifier};
