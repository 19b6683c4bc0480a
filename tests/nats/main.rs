//! The NATS edge against real brokers. Every test starts its own, in a temporary folder, on a free port.

mod edge;
mod embedded;
mod permissions;
mod publisher;
mod streams;
mod support;
