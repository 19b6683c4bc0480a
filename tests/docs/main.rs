//! The documentation, held to the program: tables, commands, examples, links and names are those of the code.
//!
//! Deliberately not here: whether what it says in words is true, and running its commands.

#![cfg(test)]

mod commands;
mod constants;
mod examples;
mod grafana;
mod keys;
mod limits;
mod links;
mod metrics;
mod names;
mod no_limits;
mod pages;
mod porting;
mod reasons;
mod rules;
mod schemas;
