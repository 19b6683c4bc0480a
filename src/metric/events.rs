//! Events on their way in.

use super::{Group, Metric, counter, gauge, label};
use crate::dead::REASONS;
use tripline_actors::WITHHELD_REASONS;

pub(super) const EVENTS: Group = Group {
    title: "Events",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    counter(
        "tripline_nats_events_total",
        "events",
        "events offered by the broker and taken",
    )
    .act("the rate of what comes in; 0 where events are expected: look at publishers and `tripline_server_ready`"),
    counter(
        "tripline_nats_events_refused_total",
        "events",
        "events the actors could not take; they are offered again",
    )
    .act("a full outbox or disk, or actors that begin anew: `tripline_server_ready` says which"),
    counter(
        "tripline_nats_events_missed_total",
        "events",
        "events that will never be handled: gone from the stream before they were read (its limits, a purge, deleted), or \
         in another stream than before when the server started",
    )
    .by(&[label("why", &["gone", "other_stream"])])
    .act("the log has when and how many; a stream that is too small for the time the server was away: [Room](operations.md#room)"),
    counter(
        "tripline_nats_slow_consumer_total",
        "times",
        "times the broker's client could not keep up",
    )
    .act("nothing is lost, it is offered again; if it goes on, the machine is too slow for its events"),
    counter("tripline_router_events_total", "events", "events looked at")
        .act("far below `tripline_nats_events_total`: events are offered again and again"),
    counter(
        "tripline_router_duplicates_total",
        "events",
        "events that had been handled before, and cause nothing",
    )
    .act("some after a restart are normal; many: a publisher gives different events the same id"),
    counter(
        "tripline_router_left_total",
        "events",
        "events from before their org left LimaCharlie, which cause nothing any more",
    )
    .act("nothing: they were under way when the org left"),
    counter(
        "tripline_router_condition_errors_total",
        "conditions",
        "conditions that ended in an error, and so did not match",
    )
    .act("the log names the pipeline and why; `tripline pipeline check pipelines` tries it with its tests"),
    counter(
        "tripline_router_withheld_total",
        "decisions",
        "decisions of pipelines not to act on an event that they match, by why",
    )
    .by(&[label("reason", WITHHELD_REASONS)])
    .act("as the reason says: [Decisions not to act](pipelines.md#decisions-not-to-act); `suppress_full`: too many keys, choose one with fewer values"),
    gauge(
        "tripline_router_windows",
        "windows",
        "windows of `suppress` that something is counted in",
    )
    .act("near 200,000: keys with too many values, or a `per` that is too long"),
    gauge(
        "tripline_router_decisions_kept",
        "decisions",
        "decisions not to act that have a record",
    )
    .act("at 200,000 the oldest go: `tripline_router_withheld_total` says which reason it is that there are so many of"),
    counter(
        "tripline_router_decisions_cut_total",
        "decisions",
        "records of decisions that went before their time because there were too many",
    )
    .act("as for `tripline_router_decisions_kept`"),
    counter(
        "tripline_router_marks_cut_total",
        "marks",
        "marks of handled events on which nobody acted, dead letters among them, that went before their time because there were too many",
    )
    .act("a threshold counts more events than are remembered: one that is delivered again counts twice; or a flood of dead letters: a condition that fewer events meet, or a shorter `events.max_age`"),
    counter(
        "tripline_router_decisions_unrecorded_total",
        "decisions",
        "decisions without a record of their own, because there were too many at once; they are counted",
    )
    .act("a flood: `tripline pipeline list --output json` says of which pipeline"),
    gauge(
        "tripline_router_pipelines_paused",
        "pipelines",
        "pipelines that do not act, because somebody wants so or too many of their jobs failed",
    )
    .act("`tripline pipeline list` says which and why; `tripline pipeline resume <PIPELINE>`: [Pausing](operations.md#pausing)"),
    counter(
        "tripline_router_auto_pauses_total",
        "pauses",
        "pipelines that paused themselves because too many of their jobs failed",
    )
    .act("look at their failed jobs, then resume them: [Pausing](operations.md#pausing)"),
    counter(
        "tripline_timekeeper_ticks_total",
        "ticks",
        "ticks of the clock that were made, by etype",
    )
    .by(&[label(
        "etype",
        &[
            "org_per_1h",
            "org_per_3h",
            "org_per_12h",
            "org_per_24h",
            "org_per_7d",
            "org_per_30d",
            "once_per_1h",
            "once_per_3h",
            "once_per_12h",
            "once_per_24h",
            "once_per_7d",
            "once_per_30d",
            "sensor_per_1h",
            "sensor_per_3h",
            "sensor_per_12h",
            "sensor_per_24h",
            "sensor_per_7d",
            "sensor_per_30d",
        ],
    )])
    .act("more than expected: a pipeline with `*` or `>` in `on` has all ticks made"),
    gauge(
        "tripline_timekeeper_late_seconds",
        "seconds",
        "how long the tick that waits longest has been due; 0 while none waits",
    )
    .act("above some seconds: the outbox is full or the disk is; `tripline_outbox_waiting`, `tripline_server_ready`"),
    gauge(
        "tripline_timekeeper_sensors",
        "hosts",
        "hosts that get ticks while they are seen and somebody listens",
    )
    .act("nothing; about 20 bytes of memory each"),
    counter(
        "tripline_ingest_dead_total",
        "dead letters",
        "events that could not be understood or handled, by why",
    )
    .by(&[label("reason", &REASONS)])
    .act("`tripline dead list`, put right what it says, replay: [Dead letters](operations.md#dead-letters)"),
];
