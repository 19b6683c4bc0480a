//! What the load programs share: the processes of a run, simulated and real agents, the outside NATS client, floors and
//! figures.

pub(crate) mod agents;
pub(crate) mod backlog;
pub(crate) mod commit;
pub(crate) mod door;
pub(crate) mod floor;
pub(crate) mod machine;
pub(crate) mod outside;
pub(crate) mod program;
pub(crate) mod real_agent;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod stats;
pub(crate) mod tls;
pub(crate) mod usage;

/// What goes wrong ends the program.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
