//! The audit: who did what, when, from where, on what, and how it went, in chains that show when they were changed.
//!
//! A decision that is to be on record adds an [`Entry`] to its batch with [`Batch::audit`]; the store's writer numbers
//! and links it when it makes the batch durable ([`crate::store::Link`]). So there is a record exactly of what was
//! decided, and nothing is acknowledged before its record is durable. One chain per org, and one for the server itself.
//!
//! Deliberately not here: whether something may be done; contents of files, outputs, secrets.
//!
//! [`Batch::audit`]: crate::store::Batch::audit

mod by;
mod command;
mod denied;
mod entry;
#[cfg(test)]
mod fixture;
mod keeper;
mod prune;
mod read;
mod redact;

pub use by::By;
pub(crate) use command::{End, Note, of_job, of_session};
pub(crate) use denied::Denials;
pub use denied::Denied;
pub use entry::Entry;
pub(crate) use keeper::AuditKeeper;
pub use read::{AuditFilter, chain_of};
pub(crate) use read::{chains, list, row, rows};
pub use redact::{BadPattern, Redactor};
