//! What operators do with the server as a whole and with pipelines, and what they are doing.

use super::Group;
use super::operation::{Operation, delete, get, post, put};
use tripline_protocol::api::{
    DrainView, LittlebrotherSettings, PauseView, PipelinePauseView, PipelinesView, Role, SetPause, SlotsView,
    StatusView,
};

pub(super) const GROUP: Group = Group {
    tag: "control",
    about: "The server as a whole: what it is doing, and letting it pause or end.",
    operations,
};

fn operations() -> Vec<Operation> {
    [looks(), pause(), pause_of_a_pipeline(), drain()]
        .into_iter()
        .flatten()
        .collect()
}

fn looks() -> Vec<Operation> {
    vec![
        get("/v1/status", "showStatus", "Show everything at one moment")
            .says("Rates are differences of `totals` between two looks.")
            .role(Role::Viewer)
            .all_orgs()
            .answers::<StatusView>(200, "The server at this moment."),
        get("/v1/slots", "showSlots", "Show the slots and who holds them")
            .role(Role::Viewer)
            .answers::<SlotsView>(200, "All slots."),
        get(
            "/v1/pipelines",
            "showPipelines",
            "Show the pipelines and named jobs in force",
        )
        .role(Role::Viewer)
        .answers::<PipelinesView>(200, "The set in force, and why a newer one was refused."),
        get(
            "/v1/littlebrother",
            "showLittlebrother",
            "Show the settings of LittleBrother clients",
        )
        .says("For tokens of the clients' org and of all orgs.")
        .role(Role::Viewer)
        .answers::<LittlebrotherSettings>(200, "The settings in force."),
    ]
}

fn pause() -> Vec<Operation> {
    vec![
        get("/v1/pause", "showPause", "Show whether new jobs start")
            .role(Role::Viewer)
            .answers::<PauseView>(200, "Whether, since when, by whom and why."),
        put("/v1/pause", "pause", "Let no new jobs start")
            .says("It lasts over restarts. Again: another `reason` and `by`, the same `since`.")
            .role(Role::Admin)
            .all_orgs()
            .body::<SetPause>()
            .refused(422, &["bad_reason"])
            .answers::<PauseView>(200, "As `GET`."),
        delete("/v1/pause", "resume", "Let jobs start again")
            .role(Role::Admin)
            .all_orgs()
            .answers::<PauseView>(200, "As `GET`, also when nothing was paused."),
    ]
}

fn pause_of_a_pipeline() -> Vec<Operation> {
    const PATH: &str = "/v1/pipelines/{pipeline}/pause";
    vec![
        put(PATH, "pausePipeline", "Let a pipeline not act")
            .says("It lasts over restarts. Again: another `reason` and `by`, the same `since`. Its jobs go on.")
            .role(Role::Admin)
            .all_orgs()
            .body::<SetPause>()
            .refused(400, &["bad_parameter"])
            .refused(404, &["not_found"])
            .refused(422, &["bad_reason"])
            .answers::<PipelinePauseView>(200, "The pause."),
        delete(PATH, "resumePipeline", "Let a pipeline act again")
            .says("Whoever paused it, it itself included. How its jobs ended before counts no more for `auto_pause`.")
            .role(Role::Admin)
            .all_orgs()
            .refused(400, &["bad_parameter"])
            .refused(404, &["not_found"])
            .answers::<PipelinePauseView>(200, "No pause, also when there was none."),
    ]
}

fn drain() -> Vec<Operation> {
    vec![
        get("/v1/drain", "showDrain", "Show how far the orderly end has come")
            .role(Role::Viewer)
            .answers::<DrainView>(200, "How far."),
        post("/v1/drain", "drain", "End the server in order, as SIGTERM does")
            .role(Role::Admin)
            .all_orgs()
            .answers::<DrainView>(202, "As `GET`."),
    ]
}
