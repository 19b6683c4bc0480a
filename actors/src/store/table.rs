//! The tables of the store: prefixes of one byte in one tree.

/// No table has a higher number.
pub(super) const TABLE_LAST: u8 = 0x9f;

/// A table. Its number is the first byte of its keys on disk and is never used for anything else again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Positions, counters, the store's own format. Keys that begin with `store/` are the store's.
    Meta = 0x01,
    /// What people asked for: `pause` → the pause; `e`, event key, or `l`, time of its stream, sequence of a dead
    /// letter → its last replay; `t`, time, hash → such a row of then.
    Control = 0x02,
    /// Job id → job.
    Job = 0x10,
    /// Job id of a job that has not ended → its place.
    OpenJob = 0x11,
    /// Time, job id → nothing: jobs in order.
    JobByTime = 0x12,
    /// Id of a pruned job or fan-out → its org; an older version wrote none.
    JobTombstone = 0x13,
    /// Time, job id → nothing: tombstones in order.
    TombstoneByTime = 0x14,
    /// Event key → what was decided.
    HandledEvent = 0x15,
    /// Time, event key → nothing: handled events on which somebody acted in order.
    HandledByTime = 0x16,
    /// Job id → where its result lies in the stream of results.
    PublishedResult = 0x17,
    /// Time, event key → nothing: handled events on which nobody acted in order. An older version had them among the
    /// others.
    SettledByTime = 0x18,
    /// Time, event key → nothing: handled events that became dead letters, and on which nobody acted, in order. An older
    /// version had them among those on which somebody did.
    DeadByTime = 0x19,
    /// Pipeline, identity of its `suppress`, hash of org, host and key → a window of suppression.
    Window = 0x1a,
    /// Pipeline, host id → when the pipeline last acted on the host.
    TouchedHost = 0x1b,
    /// Pipeline → how its last jobs ended.
    PipelineEnds = 0x1c,
    /// Pipeline → the pause it is in, and when it was last resumed.
    PipelinePause = 0x1d,
    /// Event key, pipeline (none: for all of them) → why it did not act.
    Withheld = 0x1e,
    /// Time, key of such a row → nothing: decisions not to act in order.
    WithheldByTime = 0x1f,
    /// Host id → host.
    Host = 0x20,
    /// Sensor id → host id.
    HostBySensor = 0x21,
    /// Org, hostname, host id → nothing.
    HostByName = 0x22,
    /// SHA-256 of an agent's key → its host.
    AgentKey = 0x23,
    /// Id of a LittleBrother client's own record → what is remembered of it.
    LbHost = 0x24,
    /// Id of a LittleBrother client's own record, process → its row.
    LbProcess = 0x25,
    /// `c`, id of a LittleBrother client's own record → host it is linked to; `h`, host → that record.
    LbLink = 0x26,
    /// Id of a LittleBrother client that is not known to be silent → its attachment.
    LbAlive = 0x27,
    /// Id of a LittleBrother client that fell silent → since when.
    LbSilent = 0x28,
    /// Host id → labels that administrators gave it.
    HostLabels = 0x29,
    /// Pipeline → how often it did not act, by reason.
    WithheldTally = 0x2a,
    /// `t`, token id → token; `u`, token id → uses left.
    Token = 0x30,
    /// Token id, idempotency key → what the request made.
    Once = 0x31,
    /// Time, token id, idempotency key → nothing: idempotency keys in order.
    OnceByTime = 0x32,
    /// Messages that NATS has not acknowledged, in order.
    Outbox = 0x40,
    /// Messages that NATS acknowledged but may not have synced.
    Sent = 0x41,
    /// Messages that NATS will never take.
    Quarantine = 0x42,
    /// SHA-256 → artifact.
    Artifact = 0x50,
    /// SHA-256, org, id of a job or session, number of a session's file if it is one → nothing.
    ArtifactUse = 0x51,
    /// Session id → interactive session.
    Session = 0x60,
    /// Number → session id.
    SessionByNumber = 0x61,
    /// Time, session id → nothing: sessions in the order they were opened.
    SessionByTime = 0x62,
    /// Number of a session that has not ended → session id.
    OpenSession = 0x63,
    /// Time, session id → nothing: ended sessions in order.
    EndedSession = 0x64,
    /// Session id, number → command.
    SessionCommand = 0x65,
    /// Session id, number → nothing: commands that have not ended.
    OpenCommand = 0x66,
    /// Number → file of a session.
    SessionFile = 0x67,
    /// Session id, number → nothing: files of a session.
    FileBySession = 0x68,
    /// Chain, number → record of the audit. Written by the writer alone.
    Audit = 0x70,
    /// Chain → number and hash of its newest record. Written by the writer alone.
    AuditHead = 0x71,
    /// Chain → number and hash of the last record that was pruned.
    AuditAnchor = 0x72,
    /// Chain → how far it was published.
    AuditPublished = 0x73,
    /// Fan-out id → fan-out.
    Fanout = 0x78,
    /// Time, fan-out id → nothing: fan-outs in order.
    FanoutByTime = 0x79,
    /// Fan-out id → what it does.
    FanoutDefinition = 0x7a,
    /// Fan-out id, number → hosts that were found for it at once.
    FanoutChunk = 0x7b,
    /// Fan-out id, host id → the last turn of the host.
    FanoutHost = 0x7c,
    /// The store's own: pieces of values that are too long for one entry.
    Chunk = 0x7f,
    /// `o`, org that LimaCharlie subscribed → since when; `r`, org that is being removed, or was → how far that has come.
    LcOrg = 0x80,
    /// Org, `mid` of a call → what was answered, or the jobs whose ends are waited for.
    LcCall = 0x81,
    /// Time, key of such a row → its size, and a mark if it is not forgotten early: answers in the order in which they are forgotten.
    LcCallByTime = 0x82,
    /// Org, job id → news of the job that LimaCharlie is to hear.
    LcNews = 0x83,
    /// `c`, id of a LimaCharlie sensor's own record → host it is linked to; `h`, host, id of that record → nothing.
    LcLink = 0x84,
    /// Service → how it is registered, and what it wants.
    Service = 0x88,
    /// Service that was registered over the API → its secret. Shown nowhere, and exported as it is.
    ServiceSecret = 0x89,
    /// Service, org → how far the org's subscription is.
    ServiceOrg = 0x8a,
    /// Service, number → message that waits for it.
    ServiceDelivery = 0x8b,
    /// Event key → event that waits for services.
    ServiceEvent = 0x8c,
    /// Event key, service → nothing: who waits for it.
    ServiceEventUse = 0x8d,
    /// Service, id → job of the service.
    ServiceJob = 0x8e,
    /// Service, name → something it offers.
    ServiceResource = 0x8f,
    /// Scope, period → how far the clock of such ticks has come.
    Clock = 0x90,
    /// Service, id → what it was asked for, and what became of it.
    ServiceRequest = 0x91,
}

impl Table {
    /// The key on disk of this table's `key`.
    pub(super) fn full_key(self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(1 + key.len());
        full.push(self as u8);
        full.extend_from_slice(key);
        full
    }
}

/// The first key after all keys that begin with `prefix`. A table's byte is never 0xff, so there is one.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}
