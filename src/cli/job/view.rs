//! Jobs as tables.

use crate::cli::output::{fields, or_dash, table};
use crate::cli::watch::step_detail;
use tripline_protocol::api::JobView;
use tripline_protocol::step::StepReport;

/// Why it waits, or why it ended so.
fn why(job: &JobView) -> String {
    match (&job.waiting, &job.reason) {
        (Some(waiting), _) => format!("position {}: {}", waiting.position, waiting.reason.text),
        (None, Some(reason)) => reason.text.clone(),
        (None, None) => String::new(),
    }
}

pub(super) fn list(jobs: &[JobView]) -> String {
    let rows = jobs.iter().map(|job| {
        [
            job.job_id.to_string(),
            job.name.to_string(),
            job.state.to_string(),
            job.host.hostname.clone(),
            job.queued_at.to_string(),
            why(job),
        ]
    });
    table(["JOB ID", "NAME", "STATE", "HOST", "QUEUED", "WHY"], rows)
}

pub(super) fn show(job: &JobView) -> String {
    let head = fields([
        ("job id", job.job_id.to_string()),
        ("name", job.name.to_string()),
        ("org", job.org.to_string()),
        ("state", job.state.to_string()),
        ("why", why(job)),
        ("host", format!("{} ({})", job.host.hostname, job.host.host_id)),
        (
            "pipeline",
            or_dash(job.pipeline.as_ref().map(|pipeline| &pipeline.name)),
        ),
        (
            "fan-out",
            or_dash(job.fanout.as_ref().map(|fanout| fanout.fanout_id)),
        ),
        (
            "event",
            or_dash(
                job.event
                    .as_ref()
                    .map(|event| format!("{} {} of {}", event.etype, event.id, event.source)),
            ),
        ),
        ("run, attempt", format!("{}, {}", job.run, job.attempt)),
        ("queued", job.queued_at.to_string()),
        ("started", or_dash(job.started_at)),
        ("finished", or_dash(job.finished_at)),
        ("expires", job.expires_at.to_string()),
    ]);
    let steps = table(["STEP", "VERB", "STATUS", "RESULT"], job.steps.iter().map(step));
    format!("{head}\n\n{steps}")
}

fn step(step: &StepReport) -> [String; 4] {
    let status = serde_json::to_value(step.status).ok();
    let status = status
        .as_ref()
        .and_then(|status| status.as_str())
        .unwrap_or_default()
        .to_owned();
    [
        step.id.clone(),
        step.verb.to_string(),
        status,
        step_detail(step).chars().take(200).collect(),
    ]
}
