//! Hosts as administrators manage them, as the edges reach them.

use super::Core;
use crate::refusal::Refusal;
use crate::scheduler::ForgetHost;
use tripline_protocol::Org;
use tripline_protocol::api::ForgottenHost;

impl Core {
    /// Forgets a host, by its id, sensor id or name: its record, key, labels and link, in one batch. Its agent is told
    /// so and refused from then on; a LittleBrother client that reports again is a new host. Ended jobs and sessions
    /// stay until they are pruned.
    ///
    /// Open jobs and sessions are in the way (`Conflict`: `jobs_open`, `sessions_open`); with `force` they are cancelled
    /// and closed first, and it returns when they have ended, as they do within seconds. Refuses with `NotFound`,
    /// `AmbiguousHost`, `Conflict` (`linked`: it is a client that is linked to a host), and `Busy`.
    pub async fn forget_host(
        &self,
        org: Option<Org>,
        name: String,
        force: bool,
    ) -> Result<ForgottenHost, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(ForgetHost {
            org,
            name,
            force,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }
}
