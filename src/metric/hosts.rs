//! Hosts, their agents, and what is transferred between them and the server.

use super::{Group, Metric, counter, gauge, label};

pub(super) const HOSTS: Group = Group {
    title: "Hosts and agents",
    metrics: HOST_METRICS,
};

pub(super) const TRANSFERS: Group = Group {
    title: "Transfers and artifacts",
    metrics: TRANSFER_METRICS,
};

const HOST_METRICS: &[Metric] = &[
    gauge("tripline_host_attached", "hosts", "hosts that can be reached")
        .act("falls: `tripline host list` says who was last seen when; many at once is the network or this server"),
    gauge(
        "tripline_directory_hosts_active",
        "hosts",
        "hosts in memory: attached, or waited for",
    )
    .act("costs memory, nothing else"),
    gauge("tripline_directory_hosts_known", "hosts", "hosts with a record")
        .act("nears `hosts.known_max`: forget those that are no more (`tripline host forget <HOST>`), or raise it"),
    counter(
        "tripline_directory_hosts_forgotten_total",
        "hosts",
        "hosts that administrators had forgotten",
    )
    .act("`tripline audit list` says by whom"),
    gauge(
        "tripline_agent_channel_connections",
        "connections",
        "agents connected, those that have not said hello included",
    )
    .act("stays far above `tripline_host_attached`: something connects that is no agent"),
    counter(
        "tripline_agent_channel_frames_total",
        "frames",
        "frames of agents (`in`) and to them (`out`), chunks of files included",
    )
    .by(&[label("direction", &["in", "out"])])
    .act("the load by agents; nothing by itself"),
    counter(
        "tripline_agent_channel_ends_total",
        "connections",
        "ended connections of agents, by why",
    )
    .by(&[label(
        "reason",
        &[
            "dead",
            "forgotten",
            "gone",
            "overloaded",
            "protocol_error",
            "reconfigured",
            "replaced",
            "restart",
            "revoked",
            "shutdown",
            "unlinked",
        ],
    )])
    .act("`protocol_error`: an agent that lies or is no agent, the log names it; `dead` and `gone`: the network"),
    counter(
        "tripline_host_replaced_total",
        "connections",
        "connections that another one with the same key replaced: mostly one that the server did not know to be dead",
    )
    .act("some are normal; many of one host: see `tripline_host_clones_total`"),
    counter(
        "tripline_host_clones_total",
        "times",
        "times an agent came back although another one came with its key meanwhile: two machines have it",
    )
    .act("the log and `tripline host list` name the host; enrol one of both anew: [Hosts](protocol.md#hosts)"),
    counter(
        "tripline_host_keys_rotated_total",
        "keys",
        "keys of agents that were replaced",
    )
    .act("more than you asked for: `tripline audit list` says why"),
    counter(
        "tripline_host_overloaded_total",
        "frames",
        "frames of agents that the actors could not take; the connection ends and the agent comes back",
    )
    .act("the server cannot keep up with its agents: look at processor and `tripline_store_commit_seconds`"),
    counter(
        "tripline_host_frames_refused_total",
        "frames",
        "frames of agents that no good agent sends, or sends so often: events that are not legal, isolations that change all the time, keys that nobody asked for",
    )
    .by(&[label("reason", &["event", "isolation", "key"])])
    .act("the log names the host; one that keeps at it is best shut out: `tripline key revoke HOST`"),
    counter(
        "tripline_host_stray_results_total",
        "results",
        "results that nobody waits for: sent again, of commands that were given up, or of none",
    )
    .act("some after lost connections are normal"),
    counter(
        "tripline_host_isolation_changes_total",
        "changes",
        "isolations of hosts that began or were renewed (`host_isolated`), or ended (`host_unisolated`)",
    )
    .by(&[label("etype", &["host_isolated", "host_unisolated"])])
    .act("changes that nobody wanted: `tripline audit list`, [Isolation](isolation.md)"),
];

const TRANSFER_METRICS: &[Metric] = &[
    counter(
        "tripline_agent_channel_content_bytes_total",
        "bytes",
        "content of files that came from agents (`in`) and was sent to them (`out`)",
    )
    .by(&[label("direction", &["in", "out"])])
    .act("the rate of transfers"),
    counter(
        "tripline_agent_channel_resumed_transfers_total",
        "transfers",
        "transfers that went on where they were cut",
    )
    .by(&[label("direction", &["in", "out"])])
    .act("connections of agents are cut during transfers: `tripline_agent_channel_ends_total` says how"),
    counter(
        "tripline_agent_channel_dropped_chunks_total",
        "chunks",
        "content of transfers that had ended before it came",
    )
    .act("some after cancelled commands are normal"),
    counter(
        "tripline_artifact_partials_dropped_total",
        "contents",
        "contents of cut transfers that were given up; those transfers begin anew",
    )
    .by(&[label("reason", &["age", "count", "room"])])
    .act("`room`: raise `artifacts.bytes_max`"),
    gauge(
        "tripline_artifact_bytes",
        "bytes",
        "what all artifacts take together; looked at with each scrape",
    )
    .act("near `tripline_artifact_bytes_max`: shorten `jobs.retain`, or raise `artifacts.bytes_max`"),
    gauge(
        "tripline_artifact_bytes_max",
        "bytes",
        "`artifacts.bytes_max`: when it is reached, no file can be fetched",
    )
    .act("nothing"),
];
