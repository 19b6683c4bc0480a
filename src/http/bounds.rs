//! Bounds of what a caller over HTTP may hold: how many connections, and how long one may take for what.
//!
//! Deliberately not here: how often a caller may ask (`limits`).

use actix_web::HttpRequest;
use std::time::Duration;

/// Open files that are not for connections: the store's, artifacts', the broker's.
const OTHER_FILES: u64 = 1024;

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

    /// No more connections than the process may have files open, some left for everything else.
    pub fn within_files(mut self, files_max: Option<u64>) -> Self {
        let room = files_max.map(|most| most.saturating_sub(OTHER_FILES).max(most / 2));
        let room = room.and_then(|room| usize::try_from(room).ok());
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
        let bounds = |files| Bounds::default().within_files(files);
        assert_eq!(bounds(None), Bounds::default());
        assert_eq!(bounds(Some(60_000)).connections_max, 50_000);
        assert_eq!(bounds(Some(20_000)).connections_max, 18_976);
        let few = bounds(Some(1024));
        assert_eq!((few.connections_max, few.strangers_max), (512, 256));
    }
}
