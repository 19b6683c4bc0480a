//! The language as a whole, by files and events.

pub(super) mod events;
mod examples;
mod files;
mod index;
mod rendering;
mod submitted;
