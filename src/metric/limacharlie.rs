//! Calls of LimaCharlie, and what it is told.

use super::{Group, Metric, counter, gauge, label, seconds};

pub(super) const LIMACHARLIE: Group = Group {
    title: "LimaCharlie",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    counter(
        "tripline_limacharlie_calls_total",
        "calls",
        "calls whose signature was right, by how they were answered: `again` asks for the same message once more",
    )
    .by(&[label("answer", &["again", "done", "refused"])])
    .act("`again` keeps growing: a full outbox or disk, `tripline_server_ready` says which; `refused`: the answers say what is wrong with the calls"),
    seconds(
        "tripline_limacharlie_call_seconds",
        "how long a call took until its answer was ready, what it caused being durable; of a request with the wait for results",
    )
    .act("grows without requests: the store is slow (`tripline_store_commit_seconds`)"),
    counter(
        "tripline_limacharlie_calls_repeated_total",
        "calls",
        "messages that came again and were answered as the first time",
    )
    .act("many: answers come too late for the cloud, or are lost on their way"),
    gauge(
        "tripline_limacharlie_calls_kept",
        "answers",
        "answers that are remembered for repeats",
    )
    .act("at its limit: as `tripline_limacharlie_calls_forgotten_total`"),
    gauge(
        "tripline_limacharlie_calls_kept_bytes",
        "bytes",
        "answers that are remembered for repeats, together",
    )
    .act("at its limit: as `tripline_limacharlie_calls_forgotten_total`"),
    counter(
        "tripline_limacharlie_calls_forgotten_total",
        "answers",
        "answers forgotten before their time, because there were too many, or too long ones",
    )
    .act("a repeat of one of these is handled again; its event and jobs are known by their ids, and nothing happens twice"),
    counter(
        "tripline_limacharlie_requests_not_waited_total",
        "calls",
        "requests answered at once with the ids of their jobs, because so many waited for results already",
    )
    .act("jobs take long, or their hosts are away: how they end is told as lc jobs"),
    counter(
        "tripline_limacharlie_resources_refused_total",
        "calls",
        "calls for contents of resources that were to come again because as many were being answered",
    )
    .act("somebody asks for many at once, or reads slowly"),
    counter(
        "tripline_limacharlie_large_refused_total",
        "calls",
        "calls that were to come again because too many large bodies were under way",
    )
    .act("somebody sends large bodies: the audit says who, if their signatures are wrong"),
    gauge(
        "tripline_limacharlie_orgs",
        "orgs",
        "orgs that are subscribed",
    )
    .act("nothing by itself"),
    gauge(
        "tripline_limacharlie_removals",
        "orgs",
        "orgs that ended their subscription and are being removed",
    )
    .act("stays above 0: the broker is away or refuses to purge, which the log says, or hosts do not confirm the ends of jobs (`tripline job list`)"),
    counter(
        "tripline_limacharlie_sensors_refused_total",
        "calls",
        "calls about sensors that did not become hosts, because there are too many or the disk is full",
    )
    .act("`hosts.known_max`; their events name a host that is not known"),
    gauge(
        "tripline_limacharlie_news_waiting",
        "jobs",
        "jobs of which LimaCharlie has not heard the end",
    )
    .act("grows and no calls come: it hears of jobs with answers to its calls alone"),
    counter(
        "tripline_limacharlie_updates_told_total",
        "updates",
        "updates of jobs in answers that were written",
    )
    .act("nothing by itself"),
    counter(
        "tripline_limacharlie_news_dropped_total",
        "jobs",
        "jobs of which LimaCharlie will not hear, because too many wait to be told",
    )
    .act("as `tripline_limacharlie_news_waiting`"),
    counter(
        "tripline_limacharlie_service_errors_total",
        "calls",
        "calls in which LimaCharlie says that it had a problem with this service",
    )
    .act("the events `service_error` say which"),
];
