//! What crosses a process border, held to golden JSON and to properties.
//!
//! The files in `golden/` are the contract in writing: other programs read and write exactly that. A test
//! that fails here means that an agent, a publisher or a stored record of yesterday is no longer understood.

#![cfg(test)]

mod api;
mod audit;
mod control;
mod derived_ids;
mod events;
mod fanouts;
mod fleet;
mod frames;
mod golden;
mod jobs;
mod limacharlie;
mod limits;
mod littlebrother;
mod nesting;
mod outputs;
mod properties;
mod samples;
mod sessions;
mod store;
mod strategies;
mod streams;
mod subjects;
mod time;
mod unknown_fields;
mod verbs;
mod wrong_arguments;
