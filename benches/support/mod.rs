//! What the load programs share: the processes of a run, simulated agents, the outside NATS client, floors and figures.

pub(crate) mod agents;
pub(crate) mod commit;
pub(crate) mod machine;
pub(crate) mod outside;
pub(crate) mod stage;
pub(crate) mod stats;
pub(crate) mod usage;

/// What goes wrong ends the program.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
