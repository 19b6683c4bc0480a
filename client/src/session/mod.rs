//! A session: how it ends, and what it did. Its verbs are in `command` and `transfer`.

mod keepalive;
mod link;
mod open;
#[cfg(test)]
mod tests;

use crate::background;
use crate::error::Result;
use crate::http::Request;
use crate::listing::{self, Listing};
use std::sync::Arc;
use tripline_protocol::SessionId;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{CommandView, SessionFile, SessionView};
use tripline_protocol::verb::Verb;

pub(crate) use link::Link;
pub use open::OpenSession;
pub(crate) use open::{span, stopped};

/// Commands of a page: each may carry an output.
const COMMAND_ROWS: usize = 100;

/// A live-response conversation with one host, which holds one of the server's slots.
///
/// Every verb is a method. They may be used at the same time; the host runs them one after the other, in the order
/// in which they were begun. To share a session among tasks, put it into an [`Arc`].
///
/// It ends by [`Session::close`], which says how that went, or by being dropped, which closes it in the background.
/// When the program's runtime ends right after, the background may not come to it; nor does it after a crash.
/// The server then closes the session when it was idle for long enough
/// ([`OpenSession::idle_timeout`]).
#[derive(Debug)]
pub struct Session {
    link: Arc<Link>,
    view: SessionView,
}

impl Session {
    fn new(link: Arc<Link>, view: SessionView) -> Self {
        Self { link, view }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn set_view(&mut self, view: SessionView) {
        self.view = view;
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.view.session_id
    }

    /// Its small integer, by which people may name it.
    pub fn number(&self) -> u32 {
        self.view.number
    }

    /// Its host.
    pub fn host(&self) -> &HostRef {
        &self.view.host
    }

    /// The verbs that its host offered when the session began. [`Session::refreshed`] has those of now.
    pub fn verbs(&self) -> &[Verb] {
        &self.view.verbs
    }

    /// The session as it was when it began.
    pub fn view(&self) -> &SessionView {
        &self.view
    }

    /// The session as the server has it now.
    pub async fn refreshed(&self) -> Result<SessionView> {
        self.link.view(None).await
    }

    /// A sign of life. While the session lives one is given every ten seconds anyway.
    pub async fn keep_alive(&self) -> Result<()> {
        self.link.keep_alive().await.map(drop)
    }

    /// Ends the session and frees its slot. What still runs in it is cancelled. One that has ended by itself, or was
    /// closed by somebody else, is closed.
    pub async fn close(self) -> Result<()> {
        self.link.close().await?;
        self.link.set_over();
        Ok(())
    }

    /// What was done in the session so far, in order: its transcript, which the server keeps as a record.
    ///
    /// ```no_run
    /// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
    /// for command in session.commands().list().await? {
    ///     println!("{} {} {}", command.number, command.verb, command.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn commands(&self) -> Listing<CommandView> {
        let request = Request::get(&[&"sessions", &self.id(), &"commands"]);
        Listing::new(self.link.client.clone(), request, COMMAND_ROWS)
    }

    /// What was uploaded to the session and fetched in it so far. [`Session::download`] gets a content again.
    pub fn files(&self) -> Listing<SessionFile> {
        let request = Request::get(&[&"sessions", &self.id(), &"files"]);
        Listing::new(self.link.client.clone(), request, listing::ROWS)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.link.set_over() {
            let link = Arc::clone(&self.link);
            background::run(async move { link.close_quietly().await });
        }
    }
}
