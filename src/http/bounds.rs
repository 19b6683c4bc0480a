//! Bounds of what a caller over HTTP may hold: how many connections, and how long one may take for what.
//!
//! Deliberately not here: how often a caller may ask (`limits`).

use super::littlebrother::CONNECTIONS_MAX as LITTLEBROTHER_CONNECTIONS_MAX;
use actix_web::HttpRequest;
use std::time::Duration;

/// Open files that are not for connections: the store's, artifacts', the broker's.
const OTHER_FILES: usize = 1024;

/// The bounds of both listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `limits.connections_max`: connections at once.
    pub connections_max: usize,
    /// `limits.strangers_max`: those of them that have not shown a valid token or key.
    pub strangers_max: usize,
    /// `limits.head_timeout`: a TLS handshake, and the head of a request.
    pub head_timeout: Duration,
    /// `limits.body_timeout`: a body of JSON, and each piece of an upload.
    pub body_timeout: Duration,
    /// `limits.send_timeout`: how long nothing of an answer may be taken.
    pub send_timeout: Duration,
    /// `limits.hello_timeout`: an agent's first frame.
    pub hello_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            strangers_max: 1_000,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            hello_timeout: Duration::from_secs(10),
        }
    }
}

impl Bounds {
    /// Those of the listener that a request came through.
    pub(super) fn of(request: &HttpRequest) -> Self {
        request.app_data().copied().unwrap_or_default()
    }

    /// No more connections than the process may have files open, some left for everything else. A stranger's
    /// connection takes two of them; the listener of LittleBrother, if there is one, has connections and strangers of
    /// its own.
    pub fn within_files(mut self, files_max: Option<u64>, littlebrother: bool) -> Self {
        let listeners = if littlebrother { 2 } else { 1 };
        let of_littlebrother = match littlebrother {
            true => self.connections_max.min(LITTLEBROTHER_CONNECTIONS_MAX),
            false => 0,
        };
        let taken = self.strangers_max.saturating_mul(listeners);
        let taken = taken.saturating_add(of_littlebrother).saturating_add(OTHER_FILES);
        let files_max = files_max.and_then(|most| usize::try_from(most).ok());
        // Of few files a quarter is left, strangers being no more than half of a listener's connections.
        let room = files_max.map(|most| most.saturating_sub(taken).max(most / 2 / listeners));
        if let Some(room) = room.filter(|room| *room < self.connections_max) {
            tracing::warn!(
                wanted = self.connections_max,
                possible = room,
                "limits.connections_max is more than the limit of open files allows"
            );
            self.connections_max = room;
        }
        self.strangers_max = self.strangers_max.min(self.connections_max / 2).max(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        let bounds = |files| Bounds::default().within_files(files, false);
        assert_eq!(bounds(None), Bounds::default());
        assert_eq!(bounds(Some(60_000)).connections_max, 50_000);
        assert_eq!(bounds(Some(20_000)).connections_max, 17_976);
        let few = bounds(Some(1024));
        assert_eq!((few.connections_max, few.strangers_max), (512, 256));
    }

    #[test]
    fn strangers_and_the_listener_of_littlebrother_leave_files_for_the_rest_too() {
        for files in [256, 1_024, 4_000, 20_000, 52_024, 65_536, 524_288] {
            for littlebrother in [false, true] {
                let bounds = Bounds::default().within_files(Some(files), littlebrother);
                let (connections, strangers) = (bounds.connections_max, bounds.strangers_max);
                let held = match littlebrother {
                    true => connections + connections.min(LITTLEBROTHER_CONNECTIONS_MAX) + 2 * strangers,
                    false => connections + strangers,
                };
                let left = usize::try_from(files).expect("fits") - held;
                let wanted = OTHER_FILES.min(usize::try_from(files).expect("fits") / 4);
                assert!(left >= wanted, "{files}: {bounds:?} leaves {left}");
            }
        }
        let bounds = Bounds::default().within_files(Some(65_536), true);
        assert_eq!(
            bounds,
            Bounds::default(),
            "the unit's limit is enough for all of them"
        );
    }
}
