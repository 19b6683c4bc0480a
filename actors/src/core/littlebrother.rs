//! LittleBrother clients, as the edges reach them.

use super::Core;
use crate::littlebrother::{Answer, Settings, UserStatus};
use crate::refusal::Refusal;
use std::sync::Arc;
use tripline_protocol::Org;
use tripline_protocol::api::HostView;
use tripline_protocol::littlebrother::ClientMessage;

const NOT_YET: Refusal = Refusal::Unavailable {
    detail: "LittleBrother clients are not served",
};

impl Core {
    /// Puts settings in force; `None` turns the dialect off. Clients hear of changes with their next answers.
    pub fn set_littlebrother(&self, settings: Option<Settings>) {
        self.ground.littlebrother.store(settings.map(Arc::new));
    }

    /// The settings in force.
    pub fn littlebrother(&self) -> Option<Arc<Settings>> {
        self.ground.littlebrother.load_full()
    }

    /// Takes a client's message, whose secret was right; what it caused is durable when it returns.
    pub async fn littlebrother_message(&self, message: ClientMessage) -> Result<Answer, Refusal> {
        let _ = message;
        Err(NOT_YET)
    }

    /// A configured, active user; `None` for any other login.
    pub async fn littlebrother_user(&self, login: String) -> Result<Option<UserStatus>, Refusal> {
        let _ = login;
        Err(NOT_YET)
    }

    /// The host `host` reports as the LittleBrother client whose own record is `littlebrother` from now on.
    pub async fn link_host(
        &self,
        org: Option<Org>,
        host: String,
        littlebrother: String,
    ) -> Result<HostView, Refusal> {
        let _ = (org, host, littlebrother);
        Err(NOT_YET)
    }

    /// Ends what [`Core::link_host`] did; the client's own record stands for itself again.
    pub async fn unlink_host(&self, org: Option<Org>, host: String) -> Result<HostView, Refusal> {
        let _ = (org, host);
        Err(NOT_YET)
    }
}
