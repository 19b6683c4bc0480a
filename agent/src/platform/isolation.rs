//! How an operating system cuts its host off from the network.
//!
//! Deliberately not here: when that begins and ends, and what is remembered of it (`crate::isolation`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tripline_protocol::{Fault, Network};

/// What stays reachable, beside the host itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walls {
    /// The server.
    pub server: Vec<SocketAddr>,
    /// Name servers, for their service alone.
    pub name_servers: Vec<IpAddr>,
    /// Addresses that an administrator allows, for everything.
    pub allow: Vec<Network>,
}

/// Cuts the host off and undoes it. Every method blocks, for some seconds at most.
pub trait NetworkIsolation: Send + Sync {
    /// What is missing here and what to do about it, if it cannot be done.
    fn lacks(&self) -> Option<String>;

    /// Cuts the host off from everything that `walls` does not name, at once and as a whole, or not at all. What was
    /// cut off before stays so with the new walls. The system itself undoes it after `lasts`, also without an agent.
    ///
    /// # Errors
    /// The system refused; nothing changed.
    fn raise(&self, walls: &Walls, lasts: Duration) -> Result<(), Fault>;

    /// Undoes it; without anything to undo, does nothing.
    ///
    /// # Errors
    /// The system refused; nothing changed.
    fn lower(&self) -> Result<(), Fault>;

    /// Whether walls are there, in force or left over.
    ///
    /// # Errors
    /// The system does not say.
    fn stands(&self) -> Result<bool, Fault>;

    /// The name servers off this machine that it asks.
    fn name_servers(&self) -> Vec<IpAddr>;
}

/// Of a system for which nobody has written it yet.
#[derive(Debug, Clone, Copy)]
pub struct Missing;

impl Missing {
    fn fault() -> Fault {
        Fault::unsupported("isolation_unavailable", MISSING)
    }
}

const MISSING: &str = "this agent cannot isolate a host with this operating system";

impl NetworkIsolation for Missing {
    fn lacks(&self) -> Option<String> {
        Some(MISSING.to_owned())
    }

    fn raise(&self, _: &Walls, _: Duration) -> Result<(), Fault> {
        Err(Self::fault())
    }

    fn lower(&self) -> Result<(), Fault> {
        Err(Self::fault())
    }

    fn stands(&self) -> Result<bool, Fault> {
        Err(Self::fault())
    }

    fn name_servers(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}
