//! What everything of a session shares: its identity, and how to reach it.

use crate::client::Client;
use crate::error::Result;
use crate::http::{Backoff, Http, Repeat, Request};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tripline_protocol::SessionId;
use tripline_protocol::session::{CommandView, SessionView};

/// How long closing and cancelling are tried when nobody waits for it.
const PARTING: Duration = Duration::from_secs(10);

/// A session at its server.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) session_id: SessionId,
    /// It was closed by us, or is known to have ended.
    over: AtomicBool,
    /// The highest number of a command that is known.
    number_last: AtomicU32,
}

impl Link {
    pub(crate) fn new(client: Client, session_id: SessionId) -> Self {
        Self {
            client,
            session_id,
            over: AtomicBool::new(false),
            number_last: AtomicU32::new(0),
        }
    }

    pub(crate) fn http(&self) -> &Http {
        self.client.http()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Says that nothing is to be closed any more; `true`: it was before, too.
    pub(crate) fn set_over(&self) -> bool {
        self.over.swap(true, Ordering::Relaxed)
    }

    /// The commands from here on are not known yet.
    pub(crate) fn number_last(&self) -> u32 {
        self.number_last.load(Ordering::Relaxed)
    }

    /// A command is known.
    pub(crate) fn saw(&self, command: &CommandView) {
        self.number_last.fetch_max(command.number, Ordering::Relaxed);
    }

    /// The session as it is; held while it is pending.
    pub(crate) async fn view(&self, hold: Option<Duration>) -> Result<SessionView> {
        let request = Request::get(&[&"sessions", &self.session_id]);
        let request = match hold {
            Some(hold) => request.held(hold),
            None => request,
        };
        self.http().ask(&request).await
    }

    /// A sign of life.
    pub(crate) async fn keep_alive(&self) -> Result<SessionView> {
        let request = Request::post(&[&"sessions", &self.session_id, &"keepalive"]);
        self.http().ask(&request.repeat(Repeat::Freely)).await
    }

    /// Ends the session.
    pub(crate) async fn close(&self) -> Result<SessionView> {
        let request = Request::delete(&[&"sessions", &self.session_id]);
        self.http().ask(&request).await
    }

    /// Ends the session, with nobody to tell how that went.
    pub(crate) async fn close_quietly(&self) {
        let request = Request::delete(&[&"sessions", &self.session_id]);
        self.ask_quietly(&request).await;
    }

    /// Cancels a command, with nobody to tell how that went: one that has ended has.
    pub(crate) async fn cancel_quietly(&self, number: u32) {
        let request = Request::delete(&[&"sessions", &self.session_id, &"commands", &number]);
        self.ask_quietly(&request).await;
    }

    async fn ask_quietly(&self, request: &Request) {
        let mut backoff = Backoff::new(PARTING);
        loop {
            let Err(error) = self.http().ask_once::<serde::de::IgnoredAny>(request).await else {
                return;
            };
            if let Err(error) = backoff.again(Repeat::Freely, error).await {
                tracing::debug!(session_id = %self.session_id, %error, "parted without an answer");
                return;
            }
        }
    }
}
