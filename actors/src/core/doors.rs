//! The doors of the core: how many requests of each kind may be under way.

use crate::door::Door;

/// Batches of events that are handed over and not durable yet; the edge for NATS offers one at a time.
const INGEST_MAX: usize = 16;
/// Submissions and other changes of jobs, hosts and settings.
const SUBMISSIONS_MAX: usize = 2_048;
/// Requests that only look.
const QUERIES_MAX: usize = 512;
/// Enrolments, and agents that say hello.
const ATTACHMENTS_MAX: usize = 1_024;
/// Requests that open, use or close sessions.
const SESSIONS_MAX: usize = 2_048;
/// Messages of LittleBrother clients, and questions about them.
const LITTLEBROTHER_MAX: usize = 2_048;

/// Calls of LimaCharlie.
const LIMACHARLIE_MAX: usize = 4_096;

/// Requests of one kind that may be under way.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) ingest: Door,
    pub(super) submit: Door,
    pub(super) query: Door,
    pub(super) attach: Door,
    pub(super) session: Door,
    pub(super) littlebrother: Door,
    pub(super) limacharlie: Door,
}

impl Doors {
    pub(super) fn new() -> Self {
        Self {
            ingest: Door::new("ingest", INGEST_MAX),
            submit: Door::new("submissions", SUBMISSIONS_MAX),
            query: Door::new("queries", QUERIES_MAX),
            attach: Door::new("attachments", ATTACHMENTS_MAX),
            session: Door::new("sessions", SESSIONS_MAX),
            littlebrother: Door::new("littlebrother", LITTLEBROTHER_MAX),
            limacharlie: Door::new("limacharlie", LIMACHARLIE_MAX),
        }
    }
}
