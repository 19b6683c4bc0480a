//! Streams of changes.

use super::super::streams::WORDS_MAX;
use super::Group;
use super::operation::{Operation, get, header_parameter, text_parameter};
use tripline_protocol::api::{ChangeGap, HostChange, HostsReady, JobChange, Role};

pub(super) const GROUP: Group = Group {
    tag: "streams",
    about: "Changes of jobs and hosts as they become durable, as server-sent events.",
    operations,
};

fn operations() -> Vec<Operation> {
    vec![jobs(), hosts()]
}

fn jobs() -> Operation {
    let list = |what: &str| {
        format!("Only {what}; several with commas or the parameter several times, at most {WORDS_MAX}.")
    };
    get("/v1/streams/jobs", "followJobs", "Follow changes of jobs")
        .says(
            "`event: job` has a `JobChange`, `event: gap` a `ChangeGap`: what a reader missed and nobody has any more. An `id` \
             without `data` is a place to go on from.",
        )
        .role(Role::Viewer)
        .parameter(text_parameter("job", &list("these jobs, by their ids")))
        .parameter(text_parameter("name", &list("jobs of these names")))
        .parameter(text_parameter("state", &list("changes into these states")))
        .parameter(text_parameter("host", "Only jobs of this host: its id, sensor id or name."))
        .parameter(text_parameter("org", "Only of this org; absent: of all that the token may see."))
        .parameter(text_parameter("after", "Begin behind this `id`. Absent: with what comes."))
        .parameter(header_parameter("Last-Event-ID", "The `id` that was read last; it comes before `after`."))
        .refused(404, &["not_found"])
        .refused(409, &["ambiguous_host"])
        .with_schema::<JobChange>()
        .with_schema::<ChangeGap>()
        .streams("Changes, as long as the token is in force and the server runs.")
}

fn hosts() -> Operation {
    get("/v1/streams/hosts", "followHosts", "Follow all hosts and their changes")
        .says(
            "Every host there is comes first, as `event: host` with a `HostChange` that is `present`; then `event: ready` with \
             a `HostsReady`; then every change. After `event: gap` all hosts are told anew. There are no ids.",
        )
        .role(Role::Viewer)
        .parameter(text_parameter("org", "Only of this org; absent: of all that the token may see."))
        .parameter(text_parameter("label", "Only hosts with this label; of several with commas, with all of them."))
        .parameter(text_parameter("platform", "Only hosts of this platform, such as `linux`."))
        .parameter(text_parameter("hostname", "Only hosts whose name fits: `*` is any number of characters, `?` one."))
        .parameter(text_parameter("attached", "Only hosts that are attached so: `agent`, `littlebrother`, `yes` or `no`."))
        .parameter(text_parameter("agent_version", "Only hosts whose agent has this version."))
        .with_schema::<HostChange>()
        .with_schema::<HostsReady>()
        .streams("Hosts, as long as the token is in force and the server runs.")
}
