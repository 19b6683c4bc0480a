//! What the operating system's signals ask of the server.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT: end.
    Stop,
    /// SIGHUP: read the rules again.
    Reload,
}

/// The signals that are heard.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next one that asks to end.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    /// The one that cuts an orderly end short: the next, or the one after it if no signal began the end.
    pub(super) async fn hurry(&mut self, by_signal: bool) {
        if !by_signal {
            self.stop().await;
            tracing::info!("a signal asks to end, which has begun; another one ends at once");
        }
        self.stop().await;
    }
}
