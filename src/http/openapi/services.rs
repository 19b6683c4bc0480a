//! LimaCharlie services that Tripline calls.

use super::super::services;
use super::Group;
use super::operation::{Operation, delete, get, post, put};
use tripline_protocol::api::{
    AskService, Page, Role, ServiceBody, ServiceJobView, ServiceRequestView, ServiceResource, ServiceView,
};

pub(super) const GROUP: Group = Group {
    tag: "services",
    about: "LimaCharlie services that Tripline calls. A token of one org sees of a service what concerns that org.",
    operations,
};

const ONE: &str = "/v1/services/{service}";

fn operations() -> Vec<Operation> {
    [looks(), changes(), told(), requests()]
        .into_iter()
        .flatten()
        .collect()
}

fn looks() -> Vec<Operation> {
    vec![
        get("/v1/services", "listServices", "List services")
            .role(Role::Viewer)
            .query::<services::OfOrg>()
            .answers::<Page<ServiceView>>(200, "All services, by name."),
        one(get(ONE, "showService", "Show a service"))
            .role(Role::Viewer)
            .answers::<ServiceView>(200, "The service, and how it fares."),
    ]
}

fn changes() -> Vec<Operation> {
    vec![
        post("/v1/services", "registerService", "Register a service")
            .says("It is asked for its health at once, and told `org_install` for each of its orgs.")
            .role(Role::Admin)
            .all_orgs()
            .body::<ServiceBody>()
            .refused(409, &["service_exists", "service_configured", "service_leaving", "too_many_services"])
            .refused(422, &["bad_service", "secret_needed"])
            .makes::<ServiceView>("The service."),
        one(put(ONE, "changeService", "Change a service"))
            .says("What is left out gets its default, apart from `secret`, which stays as it is.")
            .role(Role::Admin)
            .all_orgs()
            .body::<ServiceBody>()
            .refused(409, &["service_configured"])
            .refused(422, &["bad_service"])
            .answers::<ServiceView>(200, "The service."),
        one(delete(ONE, "removeService", "Remove a service"))
            .says(
                "What waits for it is given up, and its tokens are refused from then on. It is told `org_uninstall` for each \
                 of its orgs.",
            )
            .role(Role::Admin)
            .all_orgs()
            .refused(409, &["service_configured"])
            .answers_nothing("It gets nothing more."),
        one(post("/v1/services/{service}/retry", "retryService", "Call a service again now"))
            .says("It is asked for its health, and what waits for its time is delivered.")
            .role(Role::Admin)
            .all_orgs()
            .answers::<ServiceView>(200, "The service."),
    ]
}

fn told() -> Vec<Operation> {
    vec![
        one(get(
            "/v1/services/{service}/jobs",
            "listServiceJobs",
            "List the jobs of a service",
        ))
        .says("What its answers told of long work; these are not jobs of Tripline.")
        .role(Role::Viewer)
        .query::<services::ListJobs>()
        .refused(422, &["bad_cursor"])
        .answers::<Page<ServiceJobView>>(200, "A page of jobs, the one last heard of first."),
        one(get(
            "/v1/services/{service}/jobs/{id}",
            "showServiceJob",
            "Show a job of a service",
        ))
        .role(Role::Viewer)
        .answers::<ServiceJobView>(200, "The job with its history."),
        one(get(
            "/v1/services/{service}/resources/{resource}",
            "getServiceResource",
            "Get what a service offers by name",
        ))
        .says(
            "The service is asked for its hash, and for all of it only when that is another one than before.",
        )
        .role(Role::Operator)
        .query::<services::OfOrg>()
        .refused(409, &["service_failed"])
        .refused(422, &["bad_resource", "too_deep"])
        .answers::<ServiceResource>(200, "The resource with its content."),
    ]
}

fn requests() -> Vec<Operation> {
    let (all, request) = (
        "/v1/services/{service}/requests",
        "/v1/services/{service}/requests/{id}",
    );
    vec![
        one(post(all, "askService", "Ask a service for something"))
            .says(
                "The parameters are held to the `request_params` of its health. When this is answered, the request is durable; it \
                 is delivered as any message, and what the service answers is shown by `showServiceRequest`.",
            )
            .role(Role::Operator)
            .body::<AskService>()
            .once()
            .refused(409, &["service_failed"])
            .refused(422, &["bad_params", "org_needed", "too_large", "too_deep"])
            .makes::<ServiceRequestView>("The request."),
        one(get(all, "listServiceRequests", "List what a service was asked for"))
            .role(Role::Viewer)
            .query::<services::ListJobs>()
            .refused(422, &["bad_cursor"])
            .answers::<Page<ServiceRequestView>>(200, "A page of requests, the newest first."),
        one(get(request, "showServiceRequest", "Show a request and what became of it"))
            .role(Role::Viewer)
            .answers::<ServiceRequestView>(200, "The request, with the answer once there is one."),
    ]
}

/// The service of the path may be none.
fn one(operation: Operation) -> Operation {
    operation
        .refused(400, &["bad_parameter"])
        .refused(404, &["not_found"])
}
