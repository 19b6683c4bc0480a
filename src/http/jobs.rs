//! `/v1/jobs`.

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, page_limit, parameter, path_part};
use super::held::wait;
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use super::server::Stopping;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;
use tripline_actors::{Core, JobFilter};
use tripline_protocol::api::{JobView, Page, SubmitJob};
use tripline_protocol::{JobId, Org, Span};
use utoipa::IntoParams;

/// A waiting caller is looked after first and at most this often.
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(20);
/// And later this often.
const LOOK_AGAIN_LATER: Duration = Duration::from_millis(500);

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
    let job_id = path_part(&job_id)?;
    let wait = wait(query.wait.as_deref())?;
    let until = Instant::now() + wait.map(Span::to_duration).unwrap_or_default();
    let mut stopping = request.app_data::<Stopping>().cloned();
    Ok(web::Json(
        ended_or_late(&state.core, org, job_id, until, stopping.as_mut()).await?,
    ))
}

/// The job when it has ended, or as it is at `until` or when the server stops.
async fn ended_or_late(
    core: &Core,
    org: Option<Org>,
    job_id: JobId,
    until: Instant,
    mut stopping: Option<&mut Stopping>,
) -> Result<JobView, ApiError> {
    let mut pause = LOOK_AGAIN_FIRST;
    loop {
        let job = core.get_job(org.clone(), job_id).await?;
        if job.state.outcome().is_some() || Instant::now() >= until {
            return Ok(job);
        }
        // A job's end is announced to nobody here: it is looked for, with growing pauses.
        let next = tokio::time::sleep_until(until.min(Instant::now() + pause));
        match stopping.as_deref_mut() {
            None => next.await,
            Some(stopping) => tokio::select! {
                () = next => {}
                () = stopping.stopped() => return Ok(job),
            },
        }
        pause = (pause * 2).min(LOOK_AGAIN_LATER);
    }
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
