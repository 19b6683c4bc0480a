//! Traces on their way to a collector.

use super::{Group, Metric, counter, gauge, label};

pub(super) const TRACES: Group = Group {
    title: "Traces",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    counter(
        "tripline_tracing_spans_exported_total",
        "spans",
        "spans that the collector took",
    )
    .act("stays at 0 with `tracing.otlp_endpoint` set: no trace is wanted (`tracing.sample_ratio`), or as below"),
    counter(
        "tripline_tracing_spans_dropped_total",
        "spans",
        "spans that were never told, by why",
    )
    .by(&[label("reason", &["queue_full", "refused", "shutdown"])])
    .act("`queue_full`: the collector is away or slow, or `tracing.queue_max` too small; `refused`: the log says what it answers"),
    counter(
        "tripline_tracing_exports_failed_total",
        "requests",
        "requests that the collector did not take; each is sent again",
    )
    .act("the collector is away or has too much to do; the work is not disturbed"),
    gauge(
        "tripline_tracing_spans_waiting",
        "spans",
        "spans that wait for the collector",
    )
    .act("near `tracing.queue_max`: as above"),
];
