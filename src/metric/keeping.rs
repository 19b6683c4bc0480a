//! What the server keeps and hands on: outbox, store, audit.

use super::{Group, Metric, counter, gauge, label, seconds};

pub(super) const OUTBOX: Group = Group {
    title: "Outbox and broker",
    metrics: OUTBOX_METRICS,
};

pub(super) const STORE: Group = Group {
    title: "Store and disk",
    metrics: STORE_METRICS,
};

pub(super) const AUDIT: Group = Group {
    title: "Audit",
    metrics: AUDIT_METRICS,
};

const OUTBOX_METRICS: &[Metric] = &[
    gauge(
        "tripline_outbox_waiting",
        "messages",
        "messages that wait for the broker",
    )
    .act("grows: the broker is away or slow; at 80 % of `outbox.messages_max` new work is refused"),
    gauge(
        "tripline_outbox_quarantined",
        "messages",
        "messages in quarantine now: the broker will never take them as they are",
    )
    .act("`tripline outbox list`, then retry or drop them: [Outbox](operations.md#outbox)"),
    counter(
        "tripline_outbox_quarantined_total",
        "messages",
        "messages that came into quarantine",
    )
    .act("as above; the log has each"),
    counter(
        "tripline_outbox_replays_total",
        "dead letters",
        "dead letters that were replayed",
    )
    .act("`tripline audit list` says by whom"),
    counter(
        "tripline_nats_notifications_dropped_total",
        "notifications",
        "changes of jobs' states that nobody could be told, because the broker was away or slow; results are never dropped",
    )
    .act("as `tripline_outbox_waiting`"),
    counter(
        "tripline_nats_requests_refused_total",
        "requests",
        "requests to the micro service beyond its limit",
    )
    .act("somebody asks too much at once; the requester is told"),
];

const STORE_METRICS: &[Metric] = &[
    counter(
        "tripline_store_batches_total",
        "decisions",
        "decisions made durable",
    )
    .act("the server's work; many of them share one commit"),
    counter("tripline_store_writes_total", "writes", "writes in them").act("nothing by itself"),
    seconds(
        "tripline_store_commit_seconds",
        "how long a commit took, `fdatasync` included",
    )
    .act("every answer waits for one: above 50 ms the disk is too slow, or something else keeps it busy"),
    gauge(
        "tripline_store_disk_free_bytes",
        "bytes",
        "what is free where `data_dir` lies",
    )
    .when_known()
    .act("below `disk.free_min` new work is refused: [Room](operations.md#room)"),
    counter(
        "tripline_store_exports_total",
        "exports",
        "automatic exports, by how they went",
    )
    .by(&[label("outcome", &["failed", "succeeded"])])
    .act("`failed`: the log and `tripline store status` say why; it is tried again"),
    gauge(
        "tripline_store_export_timestamp_seconds",
        "Unix seconds",
        "when the last automatic export was made",
    )
    .when_known()
    .act("older than `store.export_every`: as above"),
    gauge("tripline_store_export_bytes", "bytes", "its size")
        .when_known()
        .act("nothing by itself"),
    seconds(
        "tripline_store_export_pause_seconds",
        "how long commits waited for one page of an export",
    )
    .act("above 50 ms: export where the disk is quicker, or at quieter times"),
];

const AUDIT_METRICS: &[Metric] = &[
    gauge(
        "tripline_audit_waiting",
        "records",
        "records of the audit that wait for the broker",
    )
    .act("as `tripline_outbox_waiting`; they are in the store meanwhile"),
    counter(
        "tripline_audit_unpublished_total",
        "records",
        "records that the broker will never have: it refuses them, or they were pruned before",
    )
    .act("export the audit now (`tripline audit export`), then find out why: [Audit](audit.md)"),
    counter(
        "tripline_audit_pruned_total",
        "records",
        "records that were pruned",
    )
    .act("more than `audit.retain` explains: `audit.retain_max` is too small"),
    counter(
        "tripline_audit_denied_total",
        "requests",
        "requests turned away for who asked, by why",
    )
    .by(&[label(
        "code",
        &[
            "forbidden",
            "unauthenticated",
            "unknown_agent_key",
            "wrong_secret",
        ],
    )])
    .act("`tripline audit list` says from where; many: somebody tries, or a token ran out"),
];
