//! What is known about the connection to the broker, for `/readyz`, logs and the publisher.
//!
//! Deliberately not here: deciding anything. The link and the supervisor write it, everybody may read it.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a refused permission keeps the broker from counting as connected, after it was last seen.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// Where the connection stands. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct NatsStatus(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    denied: Option<(String, Instant)>,
    warnings: Vec<String>,
}

/// The steps from nothing to ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// No connection; the text says why, as far as it is known.
    Away(String),
    /// Connected to a server that is too old to work with; its version.
    TooOld(String),
    /// Connected; streams or the consumer are not there yet. The text says what is missing.
    Preparing(String),
    /// Events flow.
    Ready,
}

impl Default for NatsStatus {
    fn default() -> Self {
        let phase = Phase::Away("not connected yet".into());
        Self(Arc::new(Mutex::new(State {
            phase,
            denied: None,
            warnings: Vec::new(),
        })))
    }
}

impl NatsStatus {
    /// Whether events and results flow.
    pub fn connected(&self) -> bool {
        let state = self.0.lock();
        state.phase == Phase::Ready && state.denied_now().is_none()
    }

    /// One sentence about it: what is wrong, or what is unusual.
    pub fn detail(&self) -> String {
        let state = self.0.lock();
        let phase = match &state.phase {
            Phase::Away(why) => format!("the broker is away: {why}"),
            Phase::TooOld(version) => {
                format!("the broker is nats-server {version}, 2.11 or newer is needed; waiting for one")
            }
            Phase::Preparing(what) => format!("connected, but {what}"),
            Phase::Ready => "connected".into(),
        };
        let denied = state
            .denied_now()
            .map(|text| format!("the broker refused: {text}"));
        [Some(phase), denied]
            .into_iter()
            .flatten()
            .chain(state.warnings.iter().cloned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Whether messages can be handed to the broker.
    pub fn usable(&self) -> bool {
        matches!(self.0.lock().phase, Phase::Preparing(_) | Phase::Ready)
    }

    /// Enters a phase and logs it when it is another than before.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.0.lock();
        if state.phase == phase {
            return;
        }
        match &phase {
            Phase::Away(why) => tracing::warn!(why, "broker away"),
            Phase::TooOld(version) => tracing::error!(version, "broker too old, 2.11 or newer is needed"),
            Phase::Preparing(what) => tracing::info!(what, "broker connected"),
            Phase::Ready => tracing::info!("broker ready"),
        }
        state.phase = phase;
    }

    /// Notes why connecting failed, while there is no connection.
    pub(crate) fn still_away(&self, why: String) {
        if matches!(self.0.lock().phase, Phase::Away(_)) {
            self.enter(Phase::Away(why));
        }
    }

    /// Notes a refused permission.
    pub(crate) fn denied(&self, text: String) {
        tracing::error!(text, "broker refused");
        self.0.lock().denied = Some((text, Instant::now()));
    }

    /// Forgets refused permissions: another connection may have others.
    pub(crate) fn forget_denied(&self) {
        self.0.lock().denied = None;
    }

    /// Replaces what is unusual but no error.
    pub(crate) fn set_warnings(&self, warnings: Vec<String>) {
        self.0.lock().warnings = warnings;
    }
}

impl State {
    fn denied_now(&self) -> Option<&str> {
        self.denied
            .as_ref()
            .filter(|(_, since)| since.elapsed() < DENIED_FOR)
            .map(|(text, _)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_permission_makes_a_ready_broker_not_connected() {
        let status = NatsStatus::default();
        status.enter(Phase::Ready);
        assert!(status.connected());
        status.denied("Permissions Violation for Publish to \"x\"".into());
        assert!(!status.connected());
        assert!(status.detail().contains("Permissions Violation"));
        status.forget_denied();
        assert!(status.connected());
    }

    #[test]
    fn a_failed_attempt_does_not_hide_that_the_broker_is_connected() {
        let status = NatsStatus::default();
        status.still_away("IO error".into());
        assert!(status.detail().contains("IO error"));
        status.enter(Phase::Ready);
        status.still_away("late news".into());
        assert!(status.connected());
    }

    #[test]
    fn a_server_too_old_is_named_and_takes_no_messages() {
        let status = NatsStatus::default();
        status.enter(Phase::TooOld("2.10.26".into()));
        assert!(status.detail().contains("2.10.26"));
        assert!(!status.usable() && !status.connected());
    }
}
