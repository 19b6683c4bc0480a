//! Hosts and their agents' keys.

use super::super::{fleet, hosts};
use super::Group;
use super::operation::{Operation, delete, get, patch, post, put};
use tripline_protocol::api::{
    ChangeLabels, ForgottenHost, HostView, KeyView, LinkHost, Page, Role, SetLabels,
};

pub(super) const GROUP: Group = Group {
    tag: "hosts",
    about: "Endpoints, their labels, links and agents' keys.",
    operations,
};

fn operations() -> Vec<Operation> {
    [read(), labels(), links(), keys()]
        .into_iter()
        .flatten()
        .collect()
}

fn read() -> Vec<Operation> {
    vec![
        get("/v1/hosts", "listHosts", "List hosts")
            .says("By id. A page may have fewer items than `limit`, and even none, while `next` says that there is more.")
            .role(Role::Viewer)
            .query::<hosts::ListHosts>()
            .refused(422, &["bad_cursor"])
            .answers::<Page<HostView>>(200, "A page of hosts."),
        named(get("/v1/hosts/{host}", "showHost", "Show a host"))
            .role(Role::Viewer)
            .query::<hosts::ShowHost>()
            .answers::<HostView>(200, "The host."),
        named(delete("/v1/hosts/{host}", "forgetHost", "Forget a host"))
            .says(
                "Record, key, labels and link are gone at once; ended jobs and sessions can still be read by their ids. \
                 A host that is isolated or has open jobs or sessions is refused unless `force` is true: then they are ended \
                 first, and it stays isolated until `isolated_until`.",
            )
            .role(Role::Admin)
            .query::<fleet::Forget>()
            .refused(409, &["isolated", "jobs_open", "sessions_open", "linked"])
            .answers::<ForgottenHost>(200, "What was forgotten, and what was ended for it."),
    ]
}

fn labels() -> Vec<Operation> {
    let invalid = ["bad_labels", "too_many_labels"];
    vec![
        named(put("/v1/hosts/{host}/labels", "setLabels", "Set a host's labels"))
            .says("These, and no others, are the labels that administrators gave it; those of its agent's configuration stay.")
            .role(Role::Admin)
            .body::<SetLabels>()
            .refused(409, &["label_of_agent"])
            .refused(422, &invalid)
            .answers::<HostView>(200, "The host."),
        named(patch("/v1/hosts/{host}/labels", "changeLabels", "Give a host labels and take labels away"))
            .role(Role::Admin)
            .body::<ChangeLabels>()
            .refused(409, &["label_of_agent"])
            .refused(422, &invalid)
            .answers::<HostView>(200, "The host."),
    ]
}

fn links() -> Vec<Operation> {
    vec![
        named(post(
            "/v1/hosts/{host}/link",
            "linkHost",
            "Join a host with a LittleBrother client",
        ))
        .says("The host reports as this client from now on.")
        .role(Role::Admin)
        .body::<LinkHost>()
        .refused(
            409,
            &[
                "no_agent",
                "not_littlebrother",
                "other_org",
                "already_linked",
                "ambiguous_link",
                "jobs_open",
                "sessions_open",
            ],
        )
        .answers::<HostView>(200, "The host."),
        named(delete(
            "/v1/hosts/{host}/link",
            "unlinkHost",
            "Part a host from its LittleBrother client",
        ))
        .role(Role::Admin)
        .refused(409, &["not_linked", "ambiguous_link"])
        .answers::<HostView>(200, "The host."),
    ]
}

fn keys() -> Vec<Operation> {
    vec![
        get("/v1/keys", "listKeys", "List the keys of agents")
            .says("The server knows their SHA-256 only.")
            .role(Role::Admin)
            .query::<fleet::ListKeys>()
            .refused(404, &["not_found"])
            .refused(409, &["ambiguous_host"])
            .refused(422, &["bad_cursor"])
            .answers::<Page<KeyView>>(200, "A page of keys."),
        named(delete(
            "/v1/hosts/{host}/key",
            "revokeKey",
            "Revoke the key of a host's agent",
        ))
        .says("A host with `isolation` stays isolated until then: nobody can end that from afar any more.")
        .role(Role::Admin)
        .refused(409, &["no_agent"])
        .answers::<HostView>(200, "The host."),
        named(post(
            "/v1/hosts/{host}/key/rotate",
            "rotateKey",
            "Have a host's agent replace its key",
        ))
        .says("Now, or when it is attached again.")
        .role(Role::Admin)
        .refused(409, &["no_agent", "key_revoked"])
        .answers::<Page<KeyView>>(200, "The agent's keys."),
    ]
}

/// The host of the path may be none, or one of several.
fn named(operation: Operation) -> Operation {
    operation
        .refused(404, &["not_found"])
        .refused(409, &["ambiguous_host"])
}
