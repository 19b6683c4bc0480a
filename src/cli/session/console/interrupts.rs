//! Ctrl-C while something runs, and the signals that end the program in order.

use crate::cli::Failure;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// From now on these signals end nothing by themselves.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    hangup: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Forgets what came before: it was not meant for what comes now.
    pub(super) fn forget(&mut self) {
        while self.interrupt.recv().now_or_never().flatten().is_some() {}
    }

    /// The terminal has gone, or somebody ends the program.
    pub(super) async fn leave(&mut self) {
        leave(&mut self.hangup, &mut self.terminate).await;
    }

    /// Ctrl-C or one of those.
    pub(super) async fn any(&mut self) {
        self.stop().await;
    }

    /// Ctrl-C or one of those; says whether it is time to leave.
    pub(super) async fn stop(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            () = leave(&mut self.hangup, &mut self.terminate) => true,
        }
    }
}

async fn leave(hangup: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = hangup.recv() => {}
        _ = terminate.recv() => {}
    }
}
