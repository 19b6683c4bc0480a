//! Jobs, interactive sessions, and the slots they share.

use super::{Group, Metric, counter, gauge, label};

pub(super) const JOBS: Group = Group {
    title: "Jobs and slots",
    metrics: JOB_METRICS,
};

pub(super) const SESSIONS: Group = Group {
    title: "Interactive sessions",
    metrics: SESSION_METRICS,
};

pub(super) const FANOUTS: Group = Group {
    title: "Fan-outs",
    metrics: FANOUT_METRICS,
};

const FANOUT_METRICS: &[Metric] = &[
    counter("tripline_fanouts_accepted_total", "fan-outs", "fan-outs that began")
        .act("more than expected: a pipeline with a `target` matches too much; `tripline pipeline pause <PIPELINE>` holds them back"),
    counter("tripline_fanouts_ended_total", "fan-outs", "fan-outs that ended, by how")
        .by(&[label("outcome", &["cancelled", "expired", "failed", "succeeded"])])
        .act("`failed`: its summary names the hosts; what failed can be tried again"),
    counter(
        "tripline_fanouts_refused_total",
        "fan-outs",
        "fan-outs that were refused, or failed at once, because of a limit",
    )
    .by(&[label("limit", &["hosts", "open"])])
    .act("`open`: too many have not ended, cancel those that nobody needs; `hosts`: a target that is too wide"),
    counter(
        "tripline_fanouts_hosts_refused_total",
        "hosts",
        "hosts that would have joined a standing fan-out and were turned away",
    )
    .act("as many hosts as may be are of fan-outs; `tripline fanout show <ID>` says so; cancel those that nobody needs"),
    counter(
        "tripline_fanouts_rows_unreadable_total",
        "rows",
        "rows of a fan-out that could not be read, by kind",
    )
    .by(&[label("kind", &["host", "list"])])
    .act("more than 0: the store is damaged; `host`: that host is `failed` with `row_unreadable`; `list`: hosts of it are lost"),
    gauge("tripline_fanouts_open", "fan-outs", "fan-outs that have not ended")
        .act("near 100: more are refused; look for those that are paused"),
    gauge(
        "tripline_fanouts_hosts_pending",
        "hosts",
        "hosts of open fan-outs that had no turn yet",
    )
    .act("does not fall: they are away (`tripline_host_attached`), or their fan-outs are paused"),
];

const JOB_METRICS: &[Metric] = &[
    counter("tripline_scheduler_jobs_accepted_total", "jobs", "jobs accepted")
        .act("more than expected: a pipeline matches too much; `tripline pause` until it is put right"),
    counter("tripline_scheduler_jobs_ended_total", "jobs", "jobs ended, by how")
        .by(&[label(
            "outcome",
            &[
                "cancelled",
                "expired",
                "failed",
                "interrupted",
                "succeeded",
                "timed_out",
            ],
        )])
        .act("other outcomes than `succeeded`: `tripline job list` has each job's reason"),
    counter(
        "tripline_scheduler_queue_full_total",
        "jobs",
        "jobs that ended at once because too many waited",
    )
    .by(&[label("limit", &["host", "pipeline", "total"])])
    .act("a host that is offline for long, or a pipeline that matches too much; their results say `queue_full`"),
    counter(
        "tripline_admission_refused_total",
        "requests",
        "new work refused because something is full; events stay in their stream. Fan-outs and ticks of the clock that wait for room are not among it",
    )
    .by(&[label("reason", &["disk", "hosts", "outbox", "store"])])
    .act("as `/readyz` says: the broker away (`outbox`), the disk full, or slow (`store`); or `hosts.known_max` is reached (`hosts`)"),
    counter(
        "tripline_scheduler_rests_total",
        "jobs",
        "jobs that gave their slot back to wait for a time, by why",
    )
    .by(&[label("reason", &["backing_off", "wait"])])
    .act("many `backing_off`: `tripline job list` has what fails and is tried again"),
    counter(
        "tripline_slot_events_published_total",
        "events",
        "events that steps of jobs published",
    )
    .act("more than expected: a pipeline matches too much; `tripdepth` ends what trips itself"),
    counter(
        "tripline_slot_events_refused_total",
        "events",
        "events that steps of jobs could not publish, by why",
    )
    .by(&[label("reason", &["bad_argument", "outbox_full", "too_deep", "too_large"])])
    .act("`too_deep`: pipelines trip each other in a circle; `outbox_full`: the broker is away"),
    gauge("tripline_scheduler_jobs_open", "jobs", "jobs that have not ended")
        .act("grows: hosts are offline (`tripline_host_attached`) or slots are all in use (`tripline_scheduler_slots`)"),
    gauge(
        "tripline_scheduler_hosts_ready",
        "hosts",
        "hosts that can be reached, with a job that waits for a slot",
    )
    .act("stays above 0: raise `slots.total`, or find what holds the slots with `tripline top`"),
    gauge(
        "tripline_scheduler_slots",
        "slots",
        "slots by who has them",
    )
    .by(&[label("held_by", &["job", "nobody", "session"])])
    .act("`nobody` stays at 0 while work waits: as for `tripline_scheduler_hosts_ready`"),
    gauge(
        "tripline_scheduler_paused",
        "0 or 1",
        "1 while no new jobs start, because somebody wants so",
    )
    .act("`tripline resume` when that is over: [Pausing](operations.md#pausing)"),
];

const SESSION_METRICS: &[Metric] = &[
    counter(
        "tripline_scheduler_sessions_opened_total",
        "sessions",
        "interactive sessions opened, those of Carbon Black scripts included",
    )
    .act("more than expected: `tripline audit list` says who opens them"),
    counter(
        "tripline_scheduler_sessions_ended_total",
        "sessions",
        "interactive sessions ended, by why",
    )
    .by(&[label(
        "reason",
        &[
            "bad_record",
            "closed",
            "host_forgotten",
            "host_linked",
            "host_offline",
            "idle",
        ],
    )])
    .act("`host_offline`: the hosts people want are away; `idle`: callers do not close their sessions"),
    gauge(
        "tripline_scheduler_sessions_pending",
        "sessions",
        "interactive sessions that wait for a slot or for their host",
    )
    .act("stays above 0: raise `slots.total` or `slots.interactive_reserved`"),
    gauge(
        "tripline_scheduler_sessions_active",
        "sessions",
        "interactive sessions that hold a slot",
    )
    .act("near `slots.total` less `slots.jobs_reserved`: more people will have to wait"),
    counter(
        "tripline_slot_commands_total",
        "commands",
        "ended commands of interactive sessions, by how",
    )
    .by(&[label("state", &["cancelled", "failed", "succeeded"])])
    .act("`failed` is often what the host said: the session's commands have their errors"),
];
