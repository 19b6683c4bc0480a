//! The language as a whole, by files and events.

mod bounds;
mod choices;
pub(super) mod events;
mod examples;
mod file_tests;
mod files;
mod guards;
mod hostile;
mod index;
mod problems;
pub(super) mod random;
mod rendering;
mod schema;
mod server_steps;
mod submitted;
mod vars;
mod warnings;
