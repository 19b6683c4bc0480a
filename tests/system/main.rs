//! The whole system: `tripline serve`, `tripline-agent` and nats-server as processes, with NATS clients and HTTP
//! clients from outside.

mod crash;
mod harness;
