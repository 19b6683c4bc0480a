//! Services that Tripline delivers to.

use super::{Group, Metric, counter, gauge, label, label_at_most};
use tripline_protocol::api::SERVICES_MAX;

pub(super) const SERVICES: Group = Group {
    title: "Services",
    metrics: METRICS,
};

const SERVICE: super::Label = label_at_most("service", "names of services", SERVICES_MAX);

const METRICS: &[Metric] = &[
    gauge(
        "tripline_service_waiting",
        "messages",
        "messages that wait for a service, those under way with them",
    )
    .by(&[SERVICE])
    .act("grows: `tripline service show <SERVICE>` says why; at the service's `queue_max` events become dead letters"),
    counter(
        "tripline_service_calls_total",
        "calls",
        "calls to services that ended, by what came of them",
    )
    .by(&[
        SERVICE,
        label(
            "result",
            &[
                "again",
                "done",
                "failed",
                "forbidden",
                "refused",
                "rejected",
                "unsigned",
            ],
        ),
    ])
    .act("`failed`: it does not answer; `unsigned`: its secret is wrong; `forbidden`: `allow_private`"),
    counter(
        "tripline_service_given_up_total",
        "messages",
        "messages that were never delivered, by why",
    )
    .by(&[SERVICE, label("reason", &["attempts", "left", "rejected", "too_old"])])
    .act("those about events are dead letters: `tripline dead list`; not so `left`: the service or the org is no more, or was refused"),
    counter(
        "tripline_service_queue_full_total",
        "messages",
        "events that a service did not get because too many messages waited for it; they are dead letters",
    )
    .by(&[SERVICE])
    .act("as `tripline_service_waiting`"),
    counter(
        "tripline_service_job_updates_dropped_total",
        "updates",
        "news of jobs that were left out because an answer had too many",
    )
    .act("the service tells more than 100 at once"),
    counter(
        "tripline_service_replies_dropped_total",
        "replies",
        "results of services' tasks that did not become detections, by why",
    )
    .by(&[label("reason", &["too_deep", "too_large"])])
    .act("`too_deep`: a service's tasks lead to tasks again and again"),
];
