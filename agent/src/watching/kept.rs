//! What the watcher keeps over restarts, in the state directory.

use super::NAME;
use crate::platform::Booted;
use crate::state_dir::{self, StateDir};
use crate::watcher::Saved;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Whom it was told by: what another server said is not taken over.
    #[serde(default)]
    pub(super) server: String,
    /// What it was told; nothing while nobody wants processes watched.
    #[serde(default)]
    pub(super) saved: Option<Saved>,
    #[serde(default)]
    boot: Option<Boot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    id: Uuid,
    at_s: i64,
}

impl Kept {
    /// Reads what was kept of `server`. A file that is not understood is as good as none: the server says it all
    /// again.
    pub(super) fn load(state: &StateDir, server: &str) -> Result<Self, state_dir::Error> {
        let text = state.read(NAME)?.unwrap_or_else(|| b"{}".to_vec());
        let mut kept: Self = serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "ignored a damaged {NAME} in the state directory");
            Self::default()
        });
        if kept.server != server {
            kept.saved = None;
            server.clone_into(&mut kept.server);
        }
        Ok(kept)
    }

    /// The boot that starts of processes were counted from.
    pub(super) fn boot(&self) -> Option<Booted> {
        self.boot.map(|boot| Booted {
            id: boot.id,
            at_s: boot.at_s,
        })
    }

    /// Sets it.
    pub(super) fn set_boot(&mut self, boot: Booted) {
        self.boot = Some(Boot {
            id: boot.id,
            at_s: boot.at_s,
        });
    }

    /// Writes it. A failure is logged: what is lost is said again by the server.
    pub(super) async fn write(&self, state: &Arc<StateDir>) {
        let (kept, state) = (self.clone(), state.clone());
        let write = move || {
            let text = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
            state
                .write(NAME, &text)
                .map_err(|error| crate::enrol::chain(&error))
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.to_string())) {
            tracing::error!(error, "failed to keep what the server said");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_server_said_is_not_kept_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::open(dir.path()).unwrap());
        let boot = Booted {
            id: Uuid::from_u128(1),
            at_s: 5,
        };
        let mut kept = Kept::load(&state, "one").unwrap();
        kept.saved = Some(Saved::default());
        kept.set_boot(boot);
        kept.write(&state).await;
        assert_eq!(Kept::load(&state, "one").unwrap(), kept);
        let other = Kept::load(&state, "another").unwrap();
        assert_eq!((other.saved.is_none(), other.boot()), (true, Some(boot)));
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        for damaged in [&b"{\"saved\": 3"[..], b"\xff\xfe\0"] {
            state.write(NAME, damaged).unwrap();
            assert!(Kept::load(&state, "one").unwrap().saved.is_none());
        }
    }
}
