//! Fan-outs and their hosts.

use super::super::fanouts;
use super::Group;
use super::operation::{Operation, delete, get, post, put};
use tripline_protocol::api::{Page, Role, SetPause};
use tripline_protocol::fanout::{FanoutHostView, FanoutReach, FanoutView, RetryFanout, SubmitFanout};

pub(super) const GROUP: Group = Group {
    tag: "fanouts",
    about: "One submission of a job over a set of hosts, paced, with one outcome for each host.",
    operations,
};

const ONE: &str = "/v1/fanouts/{fanout_id}";
const PAUSE: &str = "/v1/fanouts/{fanout_id}/pause";

fn operations() -> Vec<Operation> {
    [vec![submit()], looks(), changes()]
        .into_iter()
        .flatten()
        .collect()
}

fn submit() -> Operation {
    post("/v1/fanouts", "submitFanout", "Submit a fan-out")
        .says(
            "Exactly one of `job` and `named` is needed. When it is answered with 201, the fan-out is durable and its \
             hosts are being found; with `dry_run` nothing is made.",
        )
        .role(Role::Operator)
        .query::<fanouts::Submission>()
        .body::<SubmitFanout>()
        .once()
        .refused(404, &["not_found"])
        .refused(409, &["fanout_pruned"])
        .refused(
            422,
            &[
                "bad_fanout",
                "bad_job",
                "bad_params",
                "bad_argument",
                "bad_reason",
                "missing_field",
                "template_error",
                "condition_error",
                "too_large",
            ],
        )
        .makes::<FanoutView>("The fan-out, or the one that the same `idempotency_key` made before.")
        .answers::<FanoutReach>(200, "With `dry_run`: which hosts it would have now.")
}

fn looks() -> Vec<Operation> {
    vec![
        get("/v1/fanouts", "listFanouts", "List fan-outs")
            .role(Role::Viewer)
            .query::<fanouts::ListFanouts>()
            .refused(422, &["bad_cursor"])
            .answers::<Page<FanoutView>>(200, "A page of fan-outs, newest first."),
        one(get(ONE, "showFanout", "Show a fan-out"))
            .says("With `wait`, it is answered when the fan-out has ended.")
            .role(Role::Viewer)
            .query::<fanouts::ShowFanout>()
            .answers::<FanoutView>(200, "The fan-out."),
        one(get(
            "/v1/fanouts/{fanout_id}/hosts",
            "listFanoutHosts",
            "List the hosts of a fan-out",
        ))
        .says("In the order in which they were found: by id, then those that joined later. A page may have fewer items than `limit`, and even none, while `next` says that there is more.")
        .role(Role::Viewer)
        .query::<fanouts::ListFanoutHosts>()
        .refused(422, &["bad_cursor"])
        .answers::<Page<FanoutHostView>>(200, "A page of hosts, each with its outcome."),
    ]
}

fn changes() -> Vec<Operation> {
    vec![
        one(put(PAUSE, "pauseFanout", "Let a fan-out begin on no more hosts"))
            .says("Open jobs go on. It lasts over restarts. Again: another `reason`.")
            .role(Role::Operator)
            .body::<SetPause>()
            .refused(409, &["fanout_ended"])
            .refused(422, &["bad_reason"])
            .answers::<FanoutView>(200, "The fan-out."),
        one(delete(PAUSE, "resumeFanout", "Let a fan-out go on"))
            .says("Whoever or whatever paused it. What failed before is not counted again.")
            .role(Role::Operator)
            .refused(409, &["fanout_ended", "pipeline_paused", "too_many_changes"])
            .answers::<FanoutView>(200, "The fan-out, also when it was not paused."),
        one(post(
            "/v1/fanouts/{fanout_id}/cancel",
            "cancelFanout",
            "Cancel a fan-out",
        ))
        .says("Hosts that wait end as `cancelled`; open jobs are cancelled.")
        .role(Role::Operator)
        .answers::<FanoutView>(200, "The fan-out, also when it had ended."),
        one(post(
            "/v1/fanouts/{fanout_id}/retry",
            "retryFanout",
            "Give the hosts that did not succeed another turn",
        ))
        .says("A fan-out that has ended is open again, and ends again with another summary.")
        .role(Role::Operator)
        .body::<RetryFanout>()
        .refused(
            409,
            &[
                "nothing_to_retry",
                "fanout_resolving",
                "fanout_cancelling",
                "too_many_changes",
            ],
        )
        .refused(422, &["bad_fanout"])
        .answers::<FanoutView>(200, "The fan-out."),
    ]
}

/// The fan-out of the path may be none.
fn one(operation: Operation) -> Operation {
    operation
        .refused(400, &["bad_parameter"])
        .refused(404, &["not_found"])
}
