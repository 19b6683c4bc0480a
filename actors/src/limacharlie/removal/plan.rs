//! What is next in the removal of an org. No actix, no clock, no store: what a pass found comes with it.
//!
//! The order is what makes every crash end in the same state. First what can still write something ends: fan-outs, jobs. Only then
//! is it known which messages are the org's, up to a number; those go from the outbox and its quarantine before the streams are purged,
//! because they would come back into them at the next start. What is found after the purge may have brought something into the
//! streams again, so they are purged once more. All of what counts is older than a moment that is written down, so it becomes less
//! with every pass, whatever others go on doing in the name of the org.

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another pass over everything, with the messages up to [`Plan::sealed`].
    Pass,
    Purge,
    /// Nothing is left.
    Done,
}

/// What a pass found that goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Rows of the org, and what cannot go yet.
    pub(super) rows: usize,
    /// Messages, those with the broker included.
    pub(super) messages: usize,
}

/// A removal, as far as this process has come with it. A new one begins again with a pass, and purges again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    needs_purge: bool,
    sealed: Option<u64>,
    next: Next,
}

impl Plan {
    pub(super) fn begin() -> Self {
        Self {
            needs_purge: true,
            sealed: None,
            next: Next::Pass,
        }
    }

    /// What is to be done now. A purge that failed is tried again without another pass: what was found to be gone stays so, and the pass
    /// behind the purge finds what else there is.
    pub(super) fn next(&self) -> Next {
        self.next
    }

    /// The messages up to this number go with the org. `None`: what still ends makes further ones.
    pub(super) fn sealed(&self) -> Option<u64> {
        self.sealed
    }

    /// A pass is over. `newest`: the number of the newest message.
    pub(super) fn passed(&mut self, found: Found, newest: u64) {
        if found.rows > 0 {
            // Ends of jobs and fan-outs are messages.
            *self = Self::begin();
        } else if self.sealed.is_none() {
            self.sealed = Some(newest);
        } else if found.messages > 0 {
            self.needs_purge = true;
        } else {
            self.next = match self.needs_purge {
                true => Next::Purge,
                false => Next::Done,
            };
        }
    }

    /// The streams were purged, and that is durable.
    pub(super) fn purged(&mut self) {
        self.needs_purge = false;
        self.next = Next::Pass;
    }
}
