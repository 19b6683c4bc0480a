//! `/v1/fanouts`.

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, page_limit, parameter, path_part};
use super::held::{ended, wait};
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tripline_actors::{Core, FanoutFilter, FanoutHostFilter, Refusal};
use tripline_protocol::api::{Page, SetPause};
use tripline_protocol::fanout::{FanoutHostView, FanoutView, RetryFanout, SubmitFanout};
use tripline_protocol::{FanoutId, Org};
use utoipa::IntoParams;

/// Query of a submission.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    dry_run: Option<String>,
}

pub(super) async fn submit(
    caller: Operator,
    state: web::Data<HttpState>,
    query: web::Query<Submission>,
    key: IdempotencyKey,
    Body(mut request): Body<SubmitFanout>,
) -> Result<HttpResponse, ApiError> {
    request.org = caller.org_for(request.org.as_ref())?;
    if parameter("dry_run", query.dry_run.as_deref())?.unwrap_or(false) {
        return Ok(HttpResponse::Ok().json(state.core.preview_fanout(request).await?));
    }
    let once = key.once(&caller, "fanouts", &request)?;
    let core = state.core.by(&caller);
    let fanout = core.submit_fanout_once(request, once).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/fanouts/{}", fanout.fanout_id)))
        .json(fanout))
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFanouts {
    org: Option<String>,
    state: Option<String>,
    name: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListFanouts>,
) -> Result<web::Json<Page<FanoutView>>, ApiError> {
    let query = query.into_inner();
    let filter = FanoutFilter {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        state: parameter("state", query.state.as_deref())?,
        name: parameter("name", query.name.as_deref())?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_fanouts(filter).await?))
}

/// Query of one fan-out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowFanout {
    wait: Option<String>,
}

pub(super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
    query: web::Query<ShowFanout>,
) -> Result<web::Json<FanoutView>, ApiError> {
    let org = caller.org_for(None)?;
    let fanout_id: FanoutId = path_part(&fanout_id)?;
    let look = async || Ok(state.core.get_fanout(org.clone(), fanout_id).await?);
    let has_ended = |fanout: &FanoutView| fanout.state.outcome().is_some();
    let fanout = ended(&request, wait(query.wait.as_deref())?, look, has_ended).await?;
    Ok(web::Json(fanout))
}

/// Query of a fan-out's hosts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFanoutHosts {
    state: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn hosts(
    caller: Viewer,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
    query: web::Query<ListFanoutHosts>,
) -> Result<web::Json<Page<FanoutHostView>>, ApiError> {
    let query = query.into_inner();
    let org = caller.org_for(None)?;
    let filter = FanoutHostFilter {
        state: parameter("state", query.state.as_deref())?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    let hosts = state.core.list_fanout_hosts(org, path_part(&fanout_id)?, filter);
    Ok(web::Json(hosts.await?))
}

pub(super) async fn pause(
    caller: Operator,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
    Body(pause): Body<SetPause>,
) -> Answer {
    let change = async |core: Core, org, id| core.pause_fanout(org, id, pause.reason).await;
    changed(&caller, &state, &fanout_id, change).await
}

pub(super) async fn resume(
    caller: Operator,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
) -> Answer {
    let change = async |core: Core, org, id| core.resume_fanout(org, id).await;
    changed(&caller, &state, &fanout_id, change).await
}

pub(super) async fn cancel(
    caller: Operator,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
) -> Answer {
    let change = async |core: Core, org, id| core.cancel_fanout(org, id).await;
    changed(&caller, &state, &fanout_id, change).await
}

pub(super) async fn retry(
    caller: Operator,
    state: web::Data<HttpState>,
    fanout_id: web::Path<String>,
    Body(request): Body<RetryFanout>,
) -> Answer {
    let change = async |core: Core, org, id| core.retry_fanout(org, id, request).await;
    changed(&caller, &state, &fanout_id, change).await
}

/// A fan-out as it is after a change.
type Answer = Result<web::Json<FanoutView>, ApiError>;

/// Does with the fan-out of a path what `change` says, on behalf of the caller.
async fn changed(
    caller: &Operator,
    state: &HttpState,
    fanout_id: &str,
    change: impl AsyncFnOnce(Core, Option<Org>, FanoutId) -> Result<FanoutView, Refusal>,
) -> Answer {
    let org = caller.org_for(None)?;
    let fanout = change(state.core.by(caller), org, path_part(fanout_id)?);
    Ok(web::Json(fanout.await?))
}
