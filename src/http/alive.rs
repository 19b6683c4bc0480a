//! Transfers that take long are signs of life of their session: whoever fetches a large file uses it.

use std::time::Duration;
use tokio::time::Instant;
use tripline_actors::Core;
use tripline_actors::access::Principal;
use tripline_protocol::SessionId;

/// How often is enough: a session that others wait for is idle after half a minute.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Of one transfer.
pub(super) struct SignsOfLife {
    core: Core,
    caller: Principal,
    session_id: SessionId,
    last: Instant,
}

impl SignsOfLife {
    /// Of a transfer that begins now, with a request that was a sign of life.
    pub(super) fn new(core: &Core, caller: &Principal, session_id: SessionId) -> Self {
        Self {
            core: core.clone(),
            caller: caller.clone(),
            session_id,
            last: Instant::now(),
        }
    }

    /// The transfer goes on.
    pub(super) fn give(&mut self) {
        if self.last.elapsed() >= ALIVE_EVERY {
            self.core.sign_of_life(&self.caller, self.session_id);
            self.last = Instant::now();
        }
    }
}
