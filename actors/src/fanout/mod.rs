//! Fan-outs: one submission of a job over a set of hosts.

mod plan;

pub use plan::FanoutPlan;
