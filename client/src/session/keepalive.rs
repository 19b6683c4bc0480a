//! Signs of life of a session that is held, whether it is used or not.

use super::link::Link;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tripline_protocol::Span;

/// The server closes a session that others wait for after 30 s.
const EVERY: Duration = Duration::from_secs(10);
/// No oftener, however short a session's idle timeout is.
const EVERY_MIN: Duration = Duration::from_millis(200);

/// Goes on while the session lives.
pub(super) fn start(link: &Arc<Link>, idle_timeout: Span) {
    tokio::spawn(keep_alive(Arc::downgrade(link), every(idle_timeout)));
}

/// How often a session is to be asked for, so that it does not become idle.
pub(super) fn every(idle_timeout: Span) -> Duration {
    (idle_timeout.to_duration() / 3).clamp(EVERY_MIN, EVERY)
}

/// Only weak: a session that is dropped is not held for the sake of its signs of life.
async fn keep_alive(link: Weak<Link>, every: Duration) {
    loop {
        // Nothing else happens: a sign of life is due by time alone.
        tokio::time::sleep(every).await;
        let Some(link) = link.upgrade().filter(|link| !link.is_over()) else {
            return;
        };
        let Err(error) = link.keep_alive().await else {
            continue;
        };
        tracing::debug!(session_id = %link.session_id, %error, "no sign of life was taken");
        // What was closed by somebody else stays so. Anything else may pass.
        if matches!(error.code(), "session_ended" | "not_found") {
            return;
        }
    }
}
