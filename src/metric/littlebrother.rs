//! Clients of LittleBrother, and agents that watch processes in their place.

use super::{Group, Metric, counter, gauge, label, label_at_most};

pub(super) const LITTLEBROTHER: Group = Group {
    title: "LittleBrother",
    metrics: METRICS,
};

/// The clients that have figures of their own: those that came first.
const CLIENT: &[super::Label] = &[label_at_most("client", "names of clients", 1000)];

const METRICS: &[Metric] = &[
    gauge(
        "tripline_littlebrother_clients",
        "clients",
        "LittleBrother clients and agents' watchers that are believed alive",
    )
    .act("falls: as `tripline_littlebrother_silences_total`"),
    counter(
        "tripline_littlebrother_messages_total",
        "messages",
        "messages taken, of clients (`littlebrother`) and of agents' watchers (`agent`)",
    )
    .by(&[label("attested_by", &["agent", "littlebrother"])])
    .act("the load by clients: one in each `littlebrother.check_interval`"),
    counter(
        "tripline_littlebrother_refused_total",
        "messages",
        "messages refused for the time being; they are sent again",
    )
    .act("a full outbox or disk: `tripline_server_ready` says which"),
    counter(
        "tripline_littlebrother_events_total",
        "events",
        "events published of what clients said",
    )
    .by(&[label(
        "etype",
        &[
            "PROCESS_DOWNTIME",
            "PROCESS_END",
            "PROCESS_START",
            "PROHIBITED_PROCESS",
            "START_CLIENT",
            "host_back",
            "host_silent",
        ],
    )])
    .act("`PROHIBITED_PROCESS`: what `[[littlebrother.users]]` forbids is started"),
    counter(
        "tripline_littlebrother_events_ignored_total",
        "events",
        "events that were left out or odd, by why",
    )
    .by(&[label(
        "reason",
        &[
            "ended_dropped",
            "foreign_host",
            "other_handler",
            "overtaken",
            "payload",
            "payload_dropped",
            "queue_full",
            "repeated",
            "server_type",
            "table_full",
            "unknown_attribute",
            "unknown_process",
            "unknown_type",
            "unsound",
        ],
    )])
    .act("`foreign_host` and `server_type`: somebody forges messages, the log names the client; `table_full`: a host has more watched processes than fit"),
    counter(
        "tripline_littlebrother_kills_total",
        "processes",
        "`KILL_PROCESS` in answers, repeats included",
    )
    .act("keeps growing without prohibited processes ending: clients cannot end them"),
    counter(
        "tripline_littlebrother_silences_total",
        "clients",
        "clients that fell silent",
    )
    .act("`tripline host list` says which; somebody may have stopped the client"),
    counter(
        "tripline_littlebrother_clocks_off_total",
        "times",
        "clocks found to be off by more than a minute",
    )
    .act("the log names the client: set its clock"),
    gauge(
        "tripline_littlebrother_client_resident_memory_bytes",
        "bytes",
        "memory of the client, as it said with its last message",
    )
    .by(CLIENT)
    .act("nothing by itself"),
    gauge(
        "tripline_littlebrother_client_cpu_seconds",
        "seconds",
        "processor time of the client since it began",
    )
    .by(CLIENT)
    .act("nothing by itself"),
    gauge(
        "tripline_littlebrother_client_start_time_seconds",
        "Unix seconds",
        "when the client was started",
    )
    .by(CLIENT)
    .act("changes often: somebody restarts it"),
    counter(
        "tripline_littlebrother_unlabelled_clients_total",
        "times",
        "times a client was loaded that has no such figures, because 1,000 others have some",
    )
    .act("nothing: everything but these figures works"),
];
