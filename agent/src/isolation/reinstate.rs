//! Isolating a host again after a boot, before its network is up and while no agent runs yet.
//!
//! Deliberately not here: ends. An isolation that is over is left to the agent that starts afterwards: after a boot
//! there are no rules to remove, and only the agent can tell the server that it ended, and why.

use super::{HostIsolation, NAME};
use crate::isolation::record::{Record, Standing};
use crate::state_dir;
use std::time::Duration;
use tripline_protocol::Fault;

/// Why a host is not isolated again.
#[derive(Debug, thiserror::Error)]
pub enum ReinstateError {
    /// The state directory cannot be read or written.
    #[error(transparent)]
    State(#[from] state_dir::Error),
    /// The record is not understood.
    #[error(
        "the record of this host's isolation, {NAME} in the state directory, is damaged: the host is not isolated again"
    )]
    Damaged(#[source] serde_json::Error),
    /// The host refused.
    #[error("failed to isolate this host again")]
    Refused(#[from] Fault),
}

/// What became of an isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reinstated {
    /// There is none.
    Nothing,
    /// It is over, and left to the agent.
    Over,
    /// It is in force.
    Stands,
    /// It is in force again, for so long.
    Again(Duration),
}

impl HostIsolation {
    /// Isolates the host again if it is to be and is not. Blocks.
    ///
    /// # Errors
    /// The record cannot be used, or the system refused: it is not.
    pub fn reinstate(&self) -> Result<Reinstated, ReinstateError> {
        let _changing = self.changing.lock();
        let Some(text) = self.state.read(NAME)? else {
            return Ok(Reinstated::Nothing);
        };
        let record: Record = serde_json::from_slice(&text).map_err(ReinstateError::Damaged)?;
        let now = (self.clock)()?;
        let (record, left) = match record.standing(now) {
            Standing::Over(_) => return Ok(Reinstated::Over),
            Standing::Lasts(_) if self.network.stands()? => return Ok(Reinstated::Stands),
            Standing::Lasts(left) => (record, left),
            Standing::Reinstate(moved, left) => (*moved, left),
        };
        self.raise_again(record, left, now)?;
        Ok(Reinstated::Again(left))
    }
}
