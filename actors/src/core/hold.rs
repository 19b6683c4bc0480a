//! Requests that are held until there is something to say.

use crate::ground::Ground;
use crate::session::Watch;
use tokio::time::{Instant, timeout_at};
use tripline_protocol::{SessionId, Span};

/// Longest time a request is held.
const WAIT_MAX: Span = Span::from_secs(60);

/// A request that is held until something changes, or its time is over.
pub(super) struct Hold<'a> {
    ground: &'a Ground,
    session_id: SessionId,
    until: Option<Instant>,
}

impl<'a> Hold<'a> {
    pub(super) fn new(ground: &'a Ground, session_id: SessionId, wait: Option<Span>) -> Self {
        let until = wait.map(|wait| Instant::now() + wait.min(WAIT_MAX).to_duration());
        Self {
            ground,
            session_id,
            until,
        }
    }

    /// To be taken before looking, so that no change is missed between the look and the wait.
    pub(super) fn watch(&self) -> Option<Watch> {
        self.until
            .and_then(|_| self.ground.sessions.watch(self.session_id))
    }

    /// Waits for a change; `true`: there is nothing more to wait for.
    pub(super) async fn is_over(&mut self, watch: Option<Watch>) -> bool {
        let Some((mut watch, until)) = watch.zip(self.until) else {
            return true;
        };
        if timeout_at(until, watch.changed()).await.is_err() {
            // One more look: what is shown is as it is now.
            self.until = None;
        }
        false
    }
}
