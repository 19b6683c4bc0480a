//! Whether the server works at all.

use super::{Group, Metric, counter, gauge, label, label_at_most};

pub(super) const HEALTH: Group = Group {
    title: "Health",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    gauge(
        "tripline_server_ready",
        "0 or 1",
        "1 while the part works, as in `/readyz`; looked at with each scrape",
    )
    .by(&[label("part", &["store", "disk", "outbox", "actors", "broker"])])
    .act("the part's line in [Health](operations.md#health); `/readyz` says more"),
    gauge(
        "tripline_server_start_time_seconds",
        "Unix seconds",
        "when the process began to serve",
    )
    .act("changes that nobody wanted: look for the exit code in the journal"),
    gauge("tripline_server_info", "1", "always 1; says which version runs")
        .by(&[label_at_most("version", "the version of the server", 1)])
        .act("nothing"),
    counter(
        "tripline_actor_panics_total",
        "panics",
        "actors that panicked; they began anew from the store",
    )
    .by(&[label(
        "actor",
        &[
            "audit",
            "directory",
            "fanouts",
            "host",
            "ingest",
            "limacharlie",
            "outbox",
            "router",
            "scheduler",
            "service",
            "services",
            "slot",
            "timekeeper",
        ],
    )])
    .act("each one is a defect: report it, with the log around `panicked`"),
    counter(
        "tripline_door_refused_total",
        "requests",
        "requests refused because too many of their kind were under way",
    )
    .by(&[label(
        "door",
        &[
            "attachments",
            "ingest",
            "limacharlie",
            "littlebrother",
            "queries",
            "sessions",
            "submissions",
        ],
    )])
    .act("callers come again by themselves; if it goes on, the store is slow (`tripline_store_commit_seconds`) or somebody asks too much"),
];
