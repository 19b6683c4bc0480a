//! Opening a session, and waiting until it is active.

use super::link::Link;
use super::{Session, keepalive};
use crate::background;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Repeat, Request};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tripline_protocol::api::{HostView, Waiting};
use tripline_protocol::session::{self, SessionState, SessionView};
use tripline_protocol::{HostId, Org, Span};

/// How long a session may be pending when nothing else is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
/// How often a pending session tells where it stands.
const LOOK: Duration = Duration::from_secs(5);

/// A session to be opened. Made by [`Host::session`](crate::Host::session); await it.
///
/// Awaited, it waits until the session is active: until a slot is free, in fair order over the owners of tokens, and
/// until the host is there (the server gives that up after `session.wait_timeout`, 2 minutes). Dropping the future
/// gives the place in the queue back.
///
/// ```no_run
/// # async fn example(host: tripline_client::Host) -> tripline_client::Result<()> {
/// use std::time::Duration;
///
/// let session = host
///     .session()
///     .wait(Duration::from_secs(60))
///     .on_waiting(|waiting| eprintln!("{}: place {}", waiting.reason.code, waiting.position))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a session is opened when it is awaited"]
pub struct OpenSession {
    client: Client,
    org: Org,
    host_id: HostId,
    wait: Duration,
    idle_timeout: Option<Duration>,
    on_waiting: Box<dyn FnMut(&Waiting) + Send>,
    until: BoxFuture<'static, ()>,
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSession")
            .field("host_id", &self.host_id)
            .field("wait", &self.wait)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

impl OpenSession {
    pub(crate) fn new(client: Client, host: &HostView) -> Self {
        Self {
            client,
            org: host.org.clone(),
            host_id: host.host_id,
            wait: WAIT_DEFAULT,
            idle_timeout: None,
            on_waiting: Box::new(|_| {}),
            until: Box::pin(std::future::pending()),
        }
    }

    /// How long to wait for it to be active. Default: 5 minutes.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How soon the server closes it when this program is gone without closing it. While a [`Session`] lives, it is
    /// kept alive. Default, and most: the server's `slots.idle_timeout`.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Called with why the session waits and where in the queue, at least every few seconds while it does.
    pub fn on_waiting(mut self, tell: impl FnMut(&Waiting) + Send + 'static) -> Self {
        self.on_waiting = Box::new(tell);
        self
    }

    /// When this ends before the session is active, the session is closed, and the error is a
    /// [`Timeout`](Error::Timeout) `given_up`. Dropping the future does the same in the background, which a program that
    /// ends right after does not live to see.
    pub fn until(mut self, given_up: impl Future<Output = ()> + Send + 'static) -> Self {
        self.until = Box::pin(given_up);
        self
    }

    async fn open(mut self) -> Result<Session> {
        let deadline = Instant::now() + self.wait;
        // It is opened even if nobody waits for it any more, and closed again then: the server has taken it.
        let opened = background::through(open(self.client.clone(), self.request()?)).await;
        let (mut session, mut view) = opened.unwrap_or_else(|| Err(stopped()))?;
        loop {
            match view.state {
                SessionState::Active => break,
                SessionState::Closed | SessionState::Failed => {
                    session.link().set_over();
                    return Err(why_ended(view));
                }
                SessionState::Pending => {}
            }
            if let Some(waiting) = &view.waiting {
                (self.on_waiting)(waiting);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                session.link().close().await?;
                session.link().set_over();
                return Err(still_pending(self.wait, &view));
            }
            // A request that is held is a sign of life when it comes, not while it is held.
            let look = keepalive::every(view.idle_timeout).min(LOOK);
            view = tokio::select! {
                view = session.link().view(Some(left.min(look))) => view?,
                () = &mut self.until => {
                    session.link().close().await?;
                    session.link().set_over();
                    return Err(Error::timeout("given_up", "the session was given up before it was active"));
                }
            };
        }
        keepalive::start(session.link(), view.idle_timeout);
        session.set_view(view);
        Ok(session)
    }

    fn request(&self) -> Result<Request> {
        let body = session::OpenSession {
            org: Some(self.org.clone()),
            host: self.host_id.to_string(),
            idle_timeout: self.idle_timeout.map(span),
        };
        Ok(Request::post(&[&"sessions"]).json(&body)?.once())
    }
}

impl IntoFuture for OpenSession {
    type Output = Result<Session>;
    type IntoFuture = BoxFuture<'static, Result<Session>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// An answer that is lost is asked for again, and is of the same session. Without a key it is of another, and the server
/// closes the one that nobody uses soon.
async fn open(client: Client, request: Request) -> Result<(Session, SessionView)> {
    let view: SessionView = client.http().ask(&request.repeat(Repeat::Freely)).await?;
    let link = Arc::new(Link::new(client, view.session_id));
    Ok((Session::new(link, view.clone()), view))
}

/// As the server has spans: whole milliseconds, at least one.
pub(crate) fn span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}

pub(crate) fn stopped() -> Error {
    Error::server("runtime_stopped", "the program's runtime stops").advise("keep the runtime until the end")
}

fn why_ended(view: SessionView) -> Error {
    if let Some(fault) = view.error {
        return fault.into();
    }
    let why = view.reason.map_or_else(String::new, |reason| reason.text);
    let text = format!("session {} ended before it was active: {why}", view.session_id);
    Error::server("session_ended", text)
}

fn still_pending(wait: Duration, view: &SessionView) -> Error {
    let why = match &view.waiting {
        Some(waiting) => format!("{} (place {})", waiting.reason.text, waiting.position),
        None => "the server did not say why".to_owned(),
    };
    let (hostname, wait) = (&view.host.hostname, span(wait));
    let text = format!("the session on {hostname} was still pending after {wait}: {why}");
    Error::timeout("session_wait", text)
}
