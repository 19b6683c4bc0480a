//! `GET /v1/jobs/{job_id}/artifacts/{sha256}`: a file's content, streamed from disk, whole or one range.
//!
//! Artifacts are reached through their job, so that who may not see the job cannot guess a hash.

use super::HttpState;
use super::auth::Viewer;
use super::body::path_part;
use super::content::{self, Fetch};
use super::problem::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use tripline_actors::{FetchedFrom, Refusal};
use tripline_protocol::Sha256;
use tripline_protocol::api::JobView;
use tripline_protocol::step::ArtifactRef;

pub(super) async fn fetch(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (job_id, sha256) = path.into_inner();
    let (job_id, sha256) = (path_part(&job_id)?, path_part(&sha256)?);
    let job = state.core.get_job(caller.org_for(None)?, job_id).await?;
    let artifact = artifact_of(&job, &sha256).ok_or_else(|| not_found(&sha256))?;
    let fetch = Fetch {
        caller: &caller,
        from: FetchedFrom::Job(&job.org, job.job_id),
    };
    content::serve(&state, &request, fetch, (sha256, &artifact.name), None).await
}

fn artifact_of<'a>(job: &'a JobView, sha256: &Sha256) -> Option<&'a ArtifactRef> {
    job.steps
        .iter()
        .filter_map(|step| step.artifact.as_ref())
        .find(|artifact| artifact.sha256 == *sha256)
}

fn not_found(sha256: &Sha256) -> ApiError {
    Refusal::NotFound {
        what: "artifact",
        id: sha256.to_string(),
    }
    .into()
}
