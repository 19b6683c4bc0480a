//! The outbox, for whoever looks after the server.

use super::Core;
use crate::access::Principal;
use crate::audit::By;
use crate::outbox::{DropEntry, GetOutbox, ListQuarantine, RetryEntries};
use crate::refusal::Refusal;
use tripline_protocol::api::{OutboxEntry, OutboxView, Page, Retried};

/// Messages that one request puts back.
const RETRY_MAX: usize = 1_000;

impl Core {
    /// What waits for the broker. Messages of all orgs are in one outbox: a token bound to an org is refused.
    pub async fn outbox(&self, caller: &Principal) -> Result<OutboxView, Refusal> {
        caller.require_all_orgs("the outbox")?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.outbox.do_send(GetOutbox { reply });
        answer.wait().await
    }

    /// What the broker will never take, oldest first.
    pub async fn quarantine(
        &self,
        caller: &Principal,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<OutboxEntry>, Refusal> {
        caller.require_all_orgs("the outbox")?;
        let (reply, answer) = self.doors.query.enter()?;
        let limit = limit.clamp(1, 1000);
        self.peers()?
            .outbox
            .do_send(ListQuarantine { after, limit, reply });
        answer.wait().await
    }

    /// Puts messages back, so that they are published in the order of their numbers. Durable when it returns.
    pub async fn retry_quarantined(
        &self,
        caller: &Principal,
        sequences: Vec<u64>,
    ) -> Result<Retried, Refusal> {
        caller.require_all_orgs("the outbox")?;
        if !(1..=RETRY_MAX).contains(&sequences.len()) {
            return Err(Refusal::Invalid {
                code: "bad_sequences",
                detail: format!("name 1 to {RETRY_MAX} messages, not {}", sequences.len()),
            });
        }
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.outbox.do_send(RetryEntries {
            by: By::from(caller),
            sequences,
            reply,
        });
        let retried = answer.wait().await?;
        Ok(Retried { retried })
    }

    /// Removes a message from quarantine for good. Durable when it returns.
    pub async fn drop_quarantined(&self, caller: &Principal, sequence: u64) -> Result<(), Refusal> {
        caller.require_all_orgs("the outbox")?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.outbox.do_send(DropEntry {
            by: By::from(caller),
            sequence,
            reply,
        });
        answer.wait().await
    }
}
