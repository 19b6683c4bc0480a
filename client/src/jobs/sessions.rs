//! What the scheduler needs of hosts and sessions, and how a client does it.

use crate::client::Client;
use crate::error::Result;
use crate::host::Host;
use crate::session::Session;
use tripline_protocol::HostId;
use tripline_protocol::api::Waiting;
use tripline_protocol::session::SessionState;

/// Why a session waits that waits for a slot.
const NO_FREE_SLOT: &str = "no_free_slot";

/// Hosts and sessions.
pub(crate) trait Sessions: Clone + Send + Sync + 'static {
    /// A host that was found.
    type Host: Clone + Send + Sync + 'static;
    /// A session on it.
    type Session: Send + Sync + 'static;

    /// The host of that name, or number, or id.
    fn find(&self, name: String) -> impl Future<Output = Result<(HostId, Self::Host)>> + Send;

    /// A session that is active. `short` is called while it waits for one of the server's slots. Dropping the future
    /// leaves nothing behind.
    fn open(
        &self,
        host: &Self::Host,
        short: impl Fn() + Send + 'static,
    ) -> impl Future<Output = Result<Self::Session>> + Send;

    /// Whether a session can still be used.
    fn lives(&self, session: &Self::Session) -> impl Future<Output = bool> + Send;

    /// Ends a session.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;
}

impl Sessions for Client {
    type Host = Host;
    type Session = Session;

    async fn find(&self, name: String) -> Result<(HostId, Host)> {
        let host = self.host(name).await?;
        Ok((host.id(), host))
    }

    async fn open(&self, host: &Host, short: impl Fn() + Send + 'static) -> Result<Session> {
        let waits = move |waiting: &Waiting| {
            if waiting.reason.code == NO_FREE_SLOT {
                short();
            }
        };
        host.session().on_waiting(waits).await
    }

    async fn lives(&self, session: &Session) -> bool {
        let view = session.refreshed().await;
        view.is_ok_and(|view| view.state == SessionState::Active)
    }

    async fn close(&self, session: Session) {
        let session_id = session.id();
        if let Err(error) = session.close().await {
            tracing::debug!(%session_id, %error, "a session was left to the server to close");
        }
    }
}
