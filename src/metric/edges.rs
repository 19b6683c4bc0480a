//! HTTP.

use super::{Group, Label, Metric, counter, gauge, label, label_at_most, seconds};

pub(super) const HTTP: Group = Group {
    title: "HTTP",
    metrics: METRICS,
};

const METHOD: Label = label(
    "method",
    &[
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "other",
    ],
);
const ROUTE: Label = label_at_most("route", "the server's routes as patterns, or `none`", 200);

const METRICS: &[Metric] = &[
    counter("tripline_http_requests_total", "requests", "requests answered")
        .by(&[METHOD, ROUTE, label_at_most("status", "HTTP status codes", 60)])
        .act("5xx: the log has each, with its request id; 4xx: a caller is wrong"),
    seconds(
        "tripline_http_request_duration_seconds",
        "how long answers took, those of callers that wait on purpose included",
    )
    .by(&[METHOD, ROUTE])
    .act("look at `tripline_store_commit_seconds` first"),
    counter(
        "tripline_http_answers_cut_total",
        "answers",
        "answers that were not taken whole: the caller went away, or took nothing for `limits.send_timeout`",
    )
    .by(&[ROUTE])
    .act("of streams and downloads, some are normal"),
    gauge(
        "tripline_http_strangers",
        "connections",
        "connections that have not shown a valid token or key",
    )
    .act("near `limits.strangers_max`: somebody opens connections and says nothing"),
    counter(
        "tripline_http_strangers_closed_total",
        "connections",
        "connections without a valid token or key that were closed because there were more than `limits.strangers_max`",
    )
    .act("somebody opens connections and says nothing; a firewall knows from where"),
    counter(
        "tripline_http_silent_connections_total",
        "connections",
        "connections that ended without one whole request",
    )
    .act("port scans and health checks of load balancers are such; many more are somebody's attack"),
    gauge(
        "tripline_http_event_streams",
        "streams",
        "streams of server-sent events that are open, by what they are of",
    )
    .by(&[label("of", &["events", "hosts", "jobs"])])
    .act("each of `events` costs the broker a consumer"),
    counter(
        "tripline_http_stream_gaps_total",
        "gaps",
        "times a stream had to say that changes are missing",
    )
    .by(&[label("of", &["hosts", "jobs"])])
    .act("readers are too slow, or were away for too long; they know what they have missed"),
    counter(
        "tripline_http_rate_limited_total",
        "requests",
        "requests of tokens beyond `limits.requests_per_second`, those of the micro service included",
    )
    .act("the program with that token asks too often; the log has its request ids"),
    counter(
        "tripline_http_logins_failed_total",
        "log-ins",
        "wrong tokens, agent keys and LittleBrother secrets, those of the micro service included",
    )
    .act("`tripline audit list` says from where"),
    counter(
        "tripline_http_logins_refused_total",
        "log-ins",
        "tokens, agent keys and LittleBrother secrets that were not looked at: too many wrong ones came from their address, or \
         over the micro service",
    )
    .act("somebody tries tokens, or a program goes on with one that was revoked: `tripline audit list`"),
    gauge("tripline_once_kept", "keys", "idempotency keys that are kept")
        .act("near its limit: a program uses a new key for every try"),
    counter(
        "tripline_once_repeated_total",
        "requests",
        "requests that came again with their idempotency key, and were answered as before",
    )
    .act("callers lose answers: the network, or their time limits"),
    counter(
        "tripline_once_refused_total",
        "requests",
        "requests refused because too many idempotency keys are kept",
    )
    .act("as `tripline_once_kept`"),
];
