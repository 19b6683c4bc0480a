//! Events: taken, and followed.

use super::super::event_stream::PATTERNS_MAX;
use super::super::explain::{Explain, MESSAGES_MAX};
use super::Group;
use super::operation::{Operation, get, header_parameter, post, text_parameter};
use tripline_protocol::api::{
    EventDecisions, Explanation, PublishEvent, PublishedEvent, ReportDetection, Role,
};
use tripline_protocol::event::{StreamGap, StreamedEvent};
use tripline_protocol::limit::EVENT_BYTES_MAX;

pub(super) const GROUP: Group = Group {
    tag: "events",
    about: "What happened, for pipelines to act on.",
    operations,
};

fn operations() -> Vec<Operation> {
    vec![follow(), publish(), detect(), decisions(), explain()]
}

fn follow() -> Operation {
    let patterns = format!(
        "Only these etypes: patterns as in a pipeline's `on`, several with commas or the parameter several times, at most {PATTERNS_MAX}."
    );
    get("/v1/events", "followEvents", "Follow the events")
        .says(
            "An `id` is a sequence of the stream of events, `event` an etype, `data` a `StreamedEvent`. `event: gap` with a \
             `StreamGap` says what nobody can read any more; only events have a `specversion`. An `id` without `data` is a \
             place to go on from. Nothing is left out and nothing comes twice for who goes on with `Last-Event-ID`.",
        )
        .role(Role::Viewer)
        .parameter(text_parameter("etype", &patterns))
        .parameter(text_parameter("org", "Only of this org; absent: of all that the token may see."))
        .parameter(text_parameter("host", "Only events that mean this host: its id, sensor id or name."))
        .parameter(text_parameter("after", "Begin behind this sequence; 0: with the first that is kept. Absent: with what comes."))
        .parameter(header_parameter("Last-Event-ID", "The `id` that was read last; it comes before `after`."))
        .refused(404, &["not_found"])
        .refused(409, &["ambiguous_host"])
        .with_schema::<StreamedEvent>()
        .with_schema::<StreamGap>()
        .streams("Events, as long as the token is in force and the server runs.")
}

fn publish() -> Operation {
    post("/v1/events", "publishEvent", "Publish an event")
        .says("When it is answered, the event is durable; it is published as soon as the broker takes it.")
        .role(Role::Operator)
        .body_within::<PublishEvent>(EVENT_BYTES_MAX)
        .once()
        .refused(422, &["bad_attribute", "bad_detection", "too_large", "too_deep"])
        .answers::<PublishedEvent>(202, "The event's id and identity.")
}

fn detect() -> Operation {
    post("/v1/detections", "reportDetection", "Report a detection")
        .says(
            "An event of type `detection`, for pipelines, services and whoever listens. When it is answered, the event is \
             durable; it is published as soon as the broker takes it.",
        )
        .role(Role::Operator)
        .body_within::<ReportDetection>(EVENT_BYTES_MAX)
        .once()
        .refused(422, &["bad_attribute", "bad_detection", "too_large", "too_deep"])
        .answers::<PublishedEvent>(202, "The event's id and identity.")
}

fn decisions() -> Operation {
    get(
        "/v1/events/{event_key}/decisions",
        "showDecisions",
        "Show what was decided about an event",
    )
    .says(
        "The jobs that it caused, the fan-outs that it began, and the pipelines that it matched and that did not act, with the reason; its dead letter, \
         if it became one, too. Nothing of an event that nobody knows, or that is too long ago. In a flood not every decision \
         has a record: `withheld` of the pipeline counts all.",
    )
    .role(Role::Viewer)
    .refused(400, &["bad_parameter"])
    .answers::<EventDecisions>(200, "What is remembered.")
}

fn explain() -> Operation {
    let searched = format!(
        "An event of which nothing is recorded is searched for in its stream, newest first: back to `since`, at most \
         {MESSAGES_MAX} messages, at most 10 s; `lookup` says what was searched. Where nothing is known of an id there is \
         neither an event nor a job or fan-out in the answer."
    );
    get(
        "/v1/events/{event_key}/explain",
        "explainEvent",
        "Explain what an event did and did not do, and why",
    )
    .says(
        "For every pipeline that listens to the event: whether it acted, what kept it from acting, or which part of its \
         condition does not hold. What was recorded is told as it was decided; the rest is worked out now, by the version in \
         force and over the host as it is now. Then what the event led to, with times: jobs, steps, artifacts, results, and \
         fan-outs. Of the id of a job or a fan-out the event that caused it is explained, and the job or fan-out alone where a \
         person submitted it. Without the broker, what is recorded is told.",
    )
    .says(searched)
    .role(Role::Viewer)
    .query::<Explain>()
    .refused(429, &["too_many_streams"])
    .answers::<Explanation>(200, "What is known.")
}
