//! The real LittleBrother programs, the people whose processes they watch, and the wire between two programs.
//!
//! The programs are run and nothing of them is copied. Each has a folder, a configuration and a database of its
//! own. Deliberately not here: Tripline's server and agent (`crate::harness`).

mod client;
mod database;
mod ini;
mod person;
mod programs;
#[path = "../../harness/python.rs"]
mod python;
mod server;
mod wire;

pub(crate) use client::RealClient;
pub(crate) use database::Database;
pub(crate) use person::Person;
pub(crate) use server::{RealServer, Rule};
pub(crate) use wire::{Exchange, Wire};

/// The secret that clients and servers share.
pub(crate) const SECRET: &str = "the secret of the children's room";
/// The longest time without a server that is configured, in seconds, where it must not pass.
pub(crate) const PATIENT_SECONDS: u64 = 300;
/// The same where it must.
pub(crate) const IMPATIENT_SECONDS: u64 = 8;
