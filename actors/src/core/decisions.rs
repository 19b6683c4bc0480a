//! What was decided about an event, for whoever asks why something happened or did not.

use super::Core;
use crate::refusal::Refusal;
use crate::router::decisions;
use tripline_protocol::api::EventDecisions;
use tripline_protocol::{EventKey, Org};

impl Core {
    /// The jobs that an event caused, and the pipelines that it matched and that did not act, as far as that is
    /// remembered. Of an event that nobody knows there is nothing.
    pub async fn decisions(&self, org: Option<Org>, event: EventKey) -> Result<EventDecisions, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        let found = decisions(&self.ground.store, org.as_ref(), event);
        self.ground.after_commit(move || reply.send(found));
        answer.wait().await
    }
}
