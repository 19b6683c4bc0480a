//! What was asked of hosts' isolation and has not happened yet.

use super::Core;
use crate::refusal::Refusal;
use crate::scheduler::GetIsolationsAsked;
use std::collections::HashMap;
use tripline_protocol::{HostId, Org};

impl Core {
    /// The hosts that jobs which have not ended are about to isolate (`true`) or to release.
    pub async fn isolations_asked(&self, org: Option<Org>) -> Result<HashMap<HostId, bool>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(GetIsolationsAsked { org, reply });
        answer.wait().await
    }
}
