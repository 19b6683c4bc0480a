//! A session that is held: opening it, keeping an eye on it, giving it up.

use super::interrupts::Interrupts;
use super::say;
use crate::cli::output::clean;
use crate::cli::session::view;
use crate::cli::{Failure, refusal};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};
use tripline_client::{Host, Session};
use tripline_protocol::api::HostView;
use tripline_protocol::session::SessionView;

/// How long a session may be pending: as long as somebody wants to wait. The server has limits of its own.
const WAIT: Duration = Duration::from_secs(24 * 3600);
/// A wait that is shorter is not spoken of.
const WORTH_A_WORD: Duration = Duration::from_millis(700);
/// How long the server may take to say how the session is, before people are told that it takes long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether the session goes on.
const LOOK: Duration = Duration::from_secs(3);

/// Opens a session and says why it waits; Ctrl-C gives it up.
pub(super) async fn open(
    host: &Host,
    idle_timeout: Option<Duration>,
    interrupts: &mut Interrupts,
) -> Result<Session, Failure> {
    let (tell, mut told) = watch::channel(String::new());
    let (give_up, given_up) = oneshot::channel::<()>();
    let opening = host
        .session()
        .wait(WAIT)
        .on_waiting(move |waiting| drop(tell.send_replace(clean(&view::waits(waiting)))))
        // Ends when it is told, and when nobody is left to tell it.
        .until(async move { drop(given_up.await) });
    let mut opening = match idle_timeout {
        Some(idle_timeout) => opening.idle_timeout(idle_timeout),
        None => opening,
    }
    .into_future();
    tokio::select! {
        session = &mut opening => return session.map_err(refusal::failure),
        () = say_changes(&mut told) => {}
        () = interrupts.any() => {}
    }
    // What was opened is closed before this program ends.
    drop(give_up);
    match opening.await {
        // It became active in that very moment.
        Ok(session) => session.close().await.map_err(refusal::failure)?,
        Err(error) if error.code() == "given_up" => {}
        Err(error) => return Err(refusal::failure(error)),
    }
    Err(Failure::Failed("given up; the session had not begun".to_owned()))
}

/// Says what a session waits for, whenever that changes. Mostly it waits for no time worth a word.
async fn say_changes(told: &mut watch::Receiver<String>) {
    let mut last = String::new();
    // Most sessions are active before; nobody reads a word that is gone at once.
    tokio::time::sleep(WORTH_A_WORD).await;
    loop {
        let text = told.borrow_and_update().clone();
        if text != last {
            say(&format!("waiting, {text}; Ctrl-C gives it up"));
            last = text;
        }
        if told.changed().await.is_err() {
            std::future::pending::<()>().await;
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
            let news = match tokio::time::timeout(PATIENCE, look(session, host)).await {
                Ok(Ok((view, host))) => self.see(&view, &host),
                Ok(Err(error)) => self.cannot_see(&refusal::failure(error).lines().join(" ")),
                Err(_) => self.cannot_see("the server does not answer"),
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

    fn cannot_see(&mut self, why: &str) -> Option<String> {
        let was_dark = std::mem::replace(&mut self.in_the_dark, true);
        (!was_dark).then(|| format!("{why}; trying on"))
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
        host(json!([{"kind": "agent", "epoch": 1, "verbs": [], "since": "2026-11-20T14:00:00Z"}]))
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
        assert_eq!(watch.cannot_see("no way").unwrap(), "no way; trying on");
        assert_eq!(watch.cannot_see("no way"), None);
        assert_eq!(watch.see(&active, &online()).unwrap(), "the server answers again");
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
