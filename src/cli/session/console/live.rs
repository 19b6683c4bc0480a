//! A session that is held: opening it, keeping an eye on it, giving it up.

use super::interrupts::Interrupts;
use super::refusal;
use crate::cli::Failure;
use crate::cli::output::clean;
use crate::cli::session::view;
use std::io::Write;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};
use tripline_client::{Host, Session, Waiting};
use tripline_protocol::api::HostView;
use tripline_protocol::session::SessionView;

/// How long a session may be pending: as long as somebody wants to wait. The server has limits of its own.
const WAIT: Duration = Duration::from_secs(24 * 3600);
/// How often to look whether the session goes on.
const LOOK: Duration = Duration::from_secs(3);

/// Opens a session and says why it waits; Ctrl-C gives it up.
pub(super) async fn open(
    host: &Host,
    idle_timeout: Option<Duration>,
    interrupts: &mut Interrupts,
) -> Result<Session, Failure> {
    let mut opening = host.session().wait(WAIT).on_waiting(told_once());
    if let Some(idle_timeout) = idle_timeout {
        opening = opening.idle_timeout(idle_timeout);
    }
    let session = tokio::select! {
        session = opening => session.map_err(refusal::failure)?,
        () = interrupts.any() => {
            return Err(Failure::Failed("given up: the session had not begun".to_owned()));
        }
    };
    Ok(session)
}

/// Says what a session waits for whenever that changes.
fn told_once() -> impl FnMut(&Waiting) + Send + 'static {
    let mut last = String::new();
    move |waiting| {
        let text = clean(&view::waits(waiting));
        if text != last {
            // Nobody is left to tell when stderr has gone.
            let _ = writeln!(std::io::stderr(), "waiting, {text}; Ctrl-C gives it up");
            last = text;
        }
    }
}

/// Looks after a session between commands, and has news for people.
#[derive(Debug)]
pub(super) struct Watch {
    next: Interval,
    host_was_there: bool,
    /// The server was asked and did not answer.
    in_the_dark: bool,
    /// The session has ended, which was said.
    pub(super) over: bool,
}

impl Watch {
    /// Of a session that is active.
    pub(super) fn new() -> Self {
        let mut next = tokio::time::interval(LOOK);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            next,
            host_was_there: true,
            in_the_dark: false,
            over: false,
        }
    }

    /// Looks again at once.
    pub(super) fn hurry(&mut self) {
        self.next.reset_immediately();
    }

    /// Waits until there is something to say. Without an end when the session is over.
    pub(super) async fn news(&mut self, session: &Session, host: &Host) -> String {
        loop {
            if self.over {
                std::future::pending::<()>().await;
            }
            self.next.tick().await;
            let news = match look(session, host).await {
                Ok((view, host)) => self.see(&view, &host),
                Err(error) => self.cannot_see(error),
            };
            if let Some(news) = news {
                return news;
            }
        }
    }

    fn see(&mut self, session: &SessionView, host: &HostView) -> Option<String> {
        let was_dark = std::mem::take(&mut self.in_the_dark);
        if !session.state.is_open() {
            self.over = true;
            let why = session.reason.as_ref().map_or("", |reason| &reason.text);
            return Some(format!(
                "session {} has ended: {}; reopen opens another one, exit leaves",
                session.number,
                clean(why)
            ));
        }
        let there = !host.attachments.is_empty();
        let changed = std::mem::replace(&mut self.host_was_there, there) != there;
        let name = clean(&host.hostname);
        match (changed, there) {
            (true, false) => Some(format!("{name} is offline; commands wait a while for it")),
            (true, true) => Some(format!("{name} is back")),
            (false, _) => was_dark.then(|| "the server answers again".to_owned()),
        }
    }

    fn cannot_see(&mut self, error: tripline_client::Error) -> Option<String> {
        let was_dark = std::mem::replace(&mut self.in_the_dark, true);
        (!was_dark).then(|| format!("{}; trying on", refusal::failure(error).lines().join(" ")))
    }
}

async fn look(session: &Session, host: &Host) -> tripline_client::Result<(SessionView, HostView)> {
    let session = session.refreshed().await?;
    Ok((session, host.refreshed().await?.view().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tripline_protocol::Fault;

    fn session(state: &str) -> SessionView {
        serde_json::from_value(json!({
            "session_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "number": 7, "org": "default",
            "host": {"host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b12", "hostname": "web01"}, "sensor_id": 1,
            "owner": {"token_id": "t", "name": "ada"}, "state": state,
            "reason": {"code": "idle", "text": "nobody used it for 5m"},
            "opened_at": "2026-11-20T14:00:00Z", "last_request_at": "2026-11-20T14:00:00Z", "idle_timeout": "5m",
        }))
        .unwrap()
    }

    fn host(attachments: Value) -> HostView {
        serde_json::from_value(json!({
            "host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b12", "sensor_id": 1, "org": "default", "hostname": "web01",
            "platform": "linux", "arch": "x86_64", "attachments": attachments,
            "created_at": "2026-11-20T14:00:00Z", "last_seen_at": "2026-11-20T14:00:00Z",
        }))
        .unwrap()
    }

    fn online() -> HostView {
        host(json!([{"kind": "agent", "verbs": [], "since": "2026-11-20T14:00:00Z"}]))
    }

    #[tokio::test]
    async fn only_what_changed_is_news() {
        let mut watch = Watch::new();
        let active = session("active");
        assert_eq!(watch.see(&active, &online()), None);
        let gone = watch.see(&active, &host(json!([]))).unwrap();
        assert!(gone.contains("web01 is offline"), "{gone}");
        assert_eq!(watch.see(&active, &host(json!([]))), None);
        assert_eq!(watch.see(&active, &online()).unwrap(), "web01 is back");
        let dark = || watch_error();
        assert!(watch.cannot_see(dark()).unwrap().ends_with("trying on"));
        assert_eq!(watch.cannot_see(dark()), None);
        assert_eq!(watch.see(&active, &online()).unwrap(), "the server answers again");
    }

    fn watch_error() -> tripline_client::Error {
        Fault::server("unreachable", "no way").into()
    }

    #[tokio::test]
    async fn an_end_says_why_and_what_to_do_next() {
        let mut watch = Watch::new();
        let end = watch.see(&session("closed"), &online()).unwrap();
        assert!(
            end.contains("nobody used it for 5m") && end.contains("reopen"),
            "{end}"
        );
        assert!(watch.over);
    }
}
