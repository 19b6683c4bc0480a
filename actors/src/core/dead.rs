//! Dead letters, as far as the actors know of them: whether one was replayed, and replaying one.

use super::{Core, submit};
use crate::access::Principal;
use crate::audit::By;
use crate::outbox::ReplayEvent;
use crate::refusal::Refusal;
use crate::replay::{self, Letter};
use tripline_protocol::Timestamp;
use tripline_protocol::api::{Replayed, ReplayedEvent};

impl Core {
    /// Handles a dead letter's event once more: the event is published again, with a run of its own. Durable in the
    /// outbox when it returns. Refuses what is still no event, and what was replayed before unless `again`.
    pub async fn replay(
        &self,
        caller: &Principal,
        letter: Letter,
        again: bool,
    ) -> Result<ReplayedEvent, Refusal> {
        let event = replay::understand(&self.ground, caller, &letter)?;
        submit::check_size(&crate::host::event_message(&self.ground, &event))?;
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.outbox.do_send(ReplayEvent {
            by: caller.to_asker(),
            on_behalf: By::from(caller),
            letter,
            event: Box::new(event),
            again,
            reply,
        });
        answer.wait().await
    }

    /// When the letter `sequence` of the stream made at `created` was last replayed, and by whom.
    pub fn replayed(&self, created: Timestamp, sequence: u64) -> Result<Option<Replayed>, Refusal> {
        replay::of_letter(&self.ground.store, created, sequence)
    }
}
