//! The language as a whole, by files and events.

mod bounds;
mod choices;
pub(super) mod events;
mod examples;
mod files;
mod index;
mod rendering;
mod schema;
mod server_steps;
mod submitted;
mod vars;
