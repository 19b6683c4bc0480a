//! What became of a job: its times, its steps, its result.

use crate::ground::Ground;
use crate::outbox::PublishedResult;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use tripline_protocol::api::{ExplainedJob, ExplainedResult, JobView};

/// A job as it is told; `view`: as it is now.
pub(crate) fn explained(
    ground: &Ground,
    record: &JobRecord,
    mut view: JobView,
) -> Result<ExplainedJob, Refusal> {
    for step in &mut view.steps {
        step.output = None;
        if let Some(error) = &mut step.error {
            error.detail = None;
        }
    }
    Ok(ExplainedJob {
        submitted_by: record.by.as_ref().and_then(|by| by.who.name.clone()),
        last_session_at: record.attempt_at,
        resumed: record.pauses.saturating_add(record.rests),
        retries: record.retries,
        traceparent: record.traceparent.clone(),
        result: result(ground, &view)?,
        job: view,
    })
}

fn result(ground: &Ground, job: &JobView) -> Result<Option<ExplainedResult>, Refusal> {
    let Some((outcome, staged_at)) = job.state.outcome().zip(job.finished_at) else {
        return Ok(None);
    };
    let published = PublishedResult::of_job(&ground.store, job.job_id)?;
    let subjects = &ground.config.subjects;
    Ok(Some(ExplainedResult {
        subject: subjects.result(&job.org, &job.name, outcome, job.host.host_id),
        staged_at,
        published_at: published.map(|published| published.at),
        sequence: published.map(|published| published.sequence),
    }))
}
