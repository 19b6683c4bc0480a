//! Jobs and what they fetched.

use super::super::jobs;
use super::Group;
use super::operation::{Operation, get, post};
use tripline_protocol::api::{JobView, Page, Role, SubmitJob};

pub(super) const GROUP: Group = Group {
    tag: "jobs",
    about: "Steps to run on one host, durable, each with exactly one end.",
    operations,
};

fn operations() -> Vec<Operation> {
    vec![
        get("/v1/jobs", "listJobs", "List jobs")
            .role(Role::Viewer)
            .query::<jobs::ListJobs>()
            .refused(404, &["not_found"])
            .refused(409, &["ambiguous_host"])
            .refused(422, &["bad_cursor"])
            .answers::<Page<JobView>>(200, "A page of jobs, newest first."),
        submit(),
        get("/v1/jobs/{job_id}", "showJob", "Show a job")
            .says("With `wait`, it is answered when the job has ended.")
            .role(Role::Viewer)
            .query::<jobs::ShowJob>()
            .refused(404, &["not_found"])
            .answers::<JobView>(200, "The job."),
        post("/v1/jobs/{job_id}/cancel", "cancelJob", "Cancel a job")
            .role(Role::Operator)
            .refused(400, &["bad_parameter"])
            .refused(404, &["not_found"])
            .refused(409, &["job_ended"])
            .answers::<JobView>(200, "The job."),
        get(
            "/v1/jobs/{job_id}/artifacts/{sha256}",
            "fetchArtifact",
            "Fetch what a job fetched",
        )
        .role(Role::Viewer)
        .refused(400, &["bad_parameter"])
        .refused(404, &["not_found"])
        .answers_content(),
    ]
}

fn submit() -> Operation {
    post("/v1/jobs", "submitJob", "Submit a job")
        .says("Exactly one of `job` and `named` is needed. When it is answered, the job is durable.")
        .role(Role::Operator)
        .body::<SubmitJob>()
        .once()
        .refused(404, &["not_found"])
        .refused(409, &["ambiguous_host", "job_pruned"])
        .refused(
            422,
            &[
                "bad_job",
                "bad_params",
                "bad_investigation_id",
                "bad_argument",
                "missing_field",
                "template_error",
                "condition_error",
                "too_large",
            ],
        )
        .makes::<JobView>("The job, or the one that the same `idempotency_key` made on this host before.")
}
