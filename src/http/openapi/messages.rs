//! Dead letters, and messages on their way to the broker.

use super::super::{dead, outbox};
use super::Group;
use super::operation::{Operation, delete, get, post};
use tripline_protocol::api::{
    DeadLetter, DeadLetterView, OutboxEntry, OutboxView, Page, ReplayDead, ReplayedEvent, Retried,
    RetryQuarantined, Role,
};

pub(super) const GROUP: Group = Group {
    tag: "messages",
    about: "Messages that could not be handled, and messages that wait for the broker.",
    operations,
};

fn operations() -> Vec<Operation> {
    letters().into_iter().chain(waiting()).collect()
}

fn letters() -> Vec<Operation> {
    let one = |operation: Operation| {
        operation
            .refused(400, &["bad_parameter"])
            .refused(404, &["not_found"])
    };
    vec![
        get("/v1/dead", "listDead", "List dead letters")
            .says(
                "Newest first. A page may have fewer items than `limit`, and even none, while `next` says that there is \
                 more. A token of one org sees its own.",
            )
            .role(Role::Viewer)
            .query::<dead::ListDead>()
            .answers::<Page<DeadLetter>>(200, "A page of dead letters."),
        one(get("/v1/dead/{sequence}", "showDead", "Show a dead letter"))
            .role(Role::Viewer)
            .answers::<DeadLetterView>(200, "The letter, whole."),
        one(post("/v1/dead/{sequence}/replay", "replayDead", "Handle the event of a dead letter once more"))
            .role(Role::Operator)
            .body::<ReplayDead>()
            .refused(409, &["already_replayed", "no_event"])
            .answers::<ReplayedEvent>(202, "The replay is durable, and is published as soon as the broker takes it."),
        one(delete("/v1/dead/{sequence}", "dropDead", "Drop a dead letter"))
            .role(Role::Admin)
            .answers_nothing("It is gone."),
    ]
}

fn waiting() -> Vec<Operation> {
    let quarantine = "/v1/outbox/quarantine";
    vec![
        get("/v1/outbox", "showOutbox", "Show what waits for the broker")
            .role(Role::Viewer)
            .all_orgs()
            .answers::<OutboxView>(200, "What waits, and the subjects with the most of it."),
        get(
            quarantine,
            "listQuarantine",
            "List messages that the broker will never take",
        )
        .role(Role::Viewer)
        .all_orgs()
        .query::<outbox::ListQuarantine>()
        .answers::<Page<OutboxEntry>>(200, "A page of messages, oldest first."),
        post(
            "/v1/outbox/quarantine/retry",
            "retryQuarantined",
            "Put messages back",
        )
        .role(Role::Admin)
        .all_orgs()
        .body::<RetryQuarantined>()
        .refused(422, &["bad_sequences"])
        .answers::<Retried>(200, "How many wait for the broker again."),
        delete(
            "/v1/outbox/quarantine/{sequence}",
            "dropQuarantined",
            "Drop a message",
        )
        .role(Role::Admin)
        .all_orgs()
        .refused(400, &["bad_parameter"])
        .refused(404, &["not_found"])
        .answers_nothing("It is gone."),
    ]
}
