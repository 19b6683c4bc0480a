//! The state machine of a client: rule by rule, against the captures, and against a model of a client.

mod bounds;
mod captures;
mod clock;
mod contact;
mod kill;
mod log;
mod model;
mod prohibited;
mod server;
mod silence;
mod table;
mod view;

use server::{NOON, Server, at, downtime, end, prohibited, start, start_client, words};
use tripline_protocol::littlebrother::EventType;
