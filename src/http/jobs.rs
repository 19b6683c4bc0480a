//! `/v1/jobs`.

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, page_limit, parameter, path_part};
use super::held::{ended, wait};
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tripline_actors::JobFilter;
use tripline_protocol::JobId;
use tripline_protocol::api::{JobView, Page, SubmitJob};
use utoipa::IntoParams;

pub(super) async fn submit(
    caller: Operator,
    state: web::Data<HttpState>,
    key: IdempotencyKey,
    Body(mut request): Body<SubmitJob>,
) -> Result<HttpResponse, ApiError> {
    request.org = caller.org_for(request.org.as_ref())?;
    let once = key.once(&caller, "jobs", &request)?;
    let job = state.core.by(&caller).submit_job_once(request, once).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/jobs/{}", job.job_id)))
        .json(job))
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListJobs {
    org: Option<String>,
    state: Option<String>,
    host: Option<String>,
    name: Option<String>,
    fanout: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListJobs>,
) -> Result<web::Json<Page<JobView>>, ApiError> {
    let query = query.into_inner();
    let org = caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?;
    let host = match query.host.filter(|host| !host.is_empty()) {
        None => None,
        Some(host) => Some(state.core.get_host(org.clone(), host).await?.host_id),
    };
    let filter = JobFilter {
        org,
        state: parameter("state", query.state.as_deref())?,
        host,
        name: parameter("name", query.name.as_deref())?,
        fanout: parameter("fanout", query.fanout.as_deref())?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_jobs(filter).await?))
}

/// Query of one job.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowJob {
    wait: Option<String>,
}

pub(super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    job_id: web::Path<String>,
    query: web::Query<ShowJob>,
) -> Result<web::Json<JobView>, ApiError> {
    let org = caller.org_for(None)?;
    let job_id: JobId = path_part(&job_id)?;
    let look = async || Ok(state.core.get_job(org.clone(), job_id).await?);
    let has_ended = |job: &JobView| job.state.outcome().is_some();
    let job = ended(&request, wait(query.wait.as_deref())?, look, has_ended).await?;
    Ok(web::Json(job))
}

pub(super) async fn cancel(
    caller: Operator,
    state: web::Data<HttpState>,
    job_id: web::Path<String>,
) -> Result<web::Json<JobView>, ApiError> {
    let org = caller.org_for(None)?;
    Ok(web::Json(
        state
            .core
            .by(&caller)
            .cancel_job(org, path_part(&job_id)?)
            .await?,
    ))
}
