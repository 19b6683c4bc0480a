//! Isolation by nftables: one table of our own, loaded in one transaction by the program `nft`.
//!
//! `ruleset` says what is loaded, `nft` runs the program, `resolver` finds the name servers. No other table is read
//! or changed.

mod nft;
mod resolver;
mod ruleset;

use crate::platform::isolation::{NetworkIsolation, Walls};
use nft::Nft;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use tripline_protocol::Fault;

/// The name servers that a `resolv.conf` names and that are not on this machine.
pub(super) fn named(resolv_conf: &str) -> Vec<IpAddr> {
    resolver::named([resolv_conf].into_iter())
}

/// The code of every fault of a host that cannot be isolated.
const CODE_UNAVAILABLE: &str = "isolation_unavailable";

/// The table, and the program that changes it.
#[derive(Debug)]
pub(super) struct Nftables {
    nft: Nft,
}

impl Nftables {
    /// With the program that the configuration names, else from one of the usual places.
    pub(super) fn new(program: Option<&Path>) -> Self {
        Self {
            nft: Nft::new(program),
        }
    }

    fn load(&self, rules: &str) -> Result<(), Fault> {
        self.nft.run(&["-f", "-"], rules).map(drop)
    }
}

impl NetworkIsolation for Nftables {
    fn lacks(&self) -> Option<String> {
        self.nft.lacks()
    }

    fn raise(&self, walls: &Walls, lasts: Duration) -> Result<(), Fault> {
        self.load(&ruleset::raised(walls, lasts))
    }

    fn lower(&self) -> Result<(), Fault> {
        self.load(&ruleset::lowered())
    }

    fn stands(&self) -> Result<bool, Fault> {
        let tables = self.nft.run(&["list", "tables", "inet"], "")?;
        Ok(ruleset::is_listed(&tables))
    }

    fn name_servers(&self) -> Vec<IpAddr> {
        resolver::name_servers()
    }
}
