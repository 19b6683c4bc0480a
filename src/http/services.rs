//! `/v1/services`: LimaCharlie services that Tripline calls. A token of one org sees what concerns that org.

use super::HttpState;
use super::auth::{Admin, Operator, Viewer};
use super::body::{Body, page_limit, parameter, path_part};
use super::problem::ApiError;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use tripline_actors::{Refusal, ServiceJobFilter};
use tripline_protocol::api::{Page, ServiceBody, ServiceJobView, ServiceResource, ServiceView};
use tripline_protocol::{Name, Org};
use utoipa::IntoParams;

/// Who changes a service changes what its token may do in all of its orgs.
const CHANGING: &str = "changing services";

/// Query of what may be asked of one org.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrg {
    org: Option<String>,
}

impl OfOrg {
    fn org(&self) -> Result<Option<Org>, ApiError> {
        parameter("org", self.org.as_deref())
    }
}

/// `GET /v1/services`: by name.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<OfOrg>,
) -> Result<web::Json<Page<ServiceView>>, ApiError> {
    let org = caller.org_for(query.org()?.as_ref())?;
    let all = state.core.list_services(org).await?;
    let items = all.into_iter().map(|view| seen(view, caller.org.as_ref()));
    Ok(web::Json(Page {
        items: items.collect(),
        next: None,
    }))
}

/// `GET /v1/services/{service}`
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    service: web::Path<String>,
) -> Result<web::Json<ServiceView>, ApiError> {
    let org = caller.org_for(None)?;
    let view = state.core.get_service(org, path_part(&service)?).await?;
    Ok(web::Json(seen(view, caller.org.as_ref())))
}

/// Without the orgs that are not the caller's concern.
fn seen(mut view: ServiceView, own: Option<&Org>) -> ServiceView {
    if let Some(own) = own {
        view.spec.orgs.retain(|org| org == own);
        view.installations.retain(|org, _| org == own);
        // It may be about a message of another org.
        view.last_failure = None;
    }
    view
}

/// `POST /v1/services`: registers one.
pub(super) async fn register(
    caller: Admin,
    state: web::Data<HttpState>,
    Body(service): Body<ServiceBody>,
) -> Result<HttpResponse, ApiError> {
    caller.require_all_orgs(CHANGING)?;
    let made = state.core.by(&caller).register_service(service).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/services/{}", made.spec.name)))
        .json(made))
}

/// `PUT /v1/services/{service}`: changes one.
pub(super) async fn change(
    caller: Admin,
    state: web::Data<HttpState>,
    service: web::Path<String>,
    Body(body): Body<ServiceBody>,
) -> Result<web::Json<ServiceView>, ApiError> {
    caller.require_all_orgs(CHANGING)?;
    let name: Name = path_part(&service)?;
    if body.spec.name != name {
        let detail = format!("name: the path says {name}; a service keeps its name");
        let code = "bad_service";
        return Err(Refusal::Invalid { code, detail }.into());
    }
    Ok(web::Json(state.core.by(&caller).change_service(body).await?))
}

/// `DELETE /v1/services/{service}`
pub(super) async fn remove(
    caller: Admin,
    state: web::Data<HttpState>,
    service: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require_all_orgs(CHANGING)?;
    let name = path_part(&service)?;
    state.core.by(&caller).remove_service(name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/services/{service}/retry`: asks for its health, and delivers what waits, at once.
pub(super) async fn retry(
    caller: Admin,
    state: web::Data<HttpState>,
    service: web::Path<String>,
) -> Result<web::Json<ServiceView>, ApiError> {
    caller.require_all_orgs("calling a service again")?;
    let name = path_part(&service)?;
    Ok(web::Json(state.core.by(&caller).retry_service(name).await?))
}

/// Query of a service's jobs, and of requests to it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListJobs {
    pub(super) org: Option<String>,
    pub(super) after: Option<String>,
    pub(super) limit: Option<String>,
}

/// `GET /v1/services/{service}/jobs`: the one last heard of first.
pub(super) async fn jobs(
    caller: Viewer,
    state: web::Data<HttpState>,
    service: web::Path<String>,
    query: web::Query<ListJobs>,
) -> Result<web::Json<Page<ServiceJobView>>, ApiError> {
    let query = query.into_inner();
    let filter = ServiceJobFilter {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        service: path_part(&service)?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_service_jobs(filter).await?))
}

/// `GET /v1/services/{service}/jobs/{id}`
pub(super) async fn job(
    caller: Viewer,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<ServiceJobView>, ApiError> {
    let (service, id) = path.into_inner();
    let org = caller.org_for(None)?;
    let job = state.core.get_service_job(org, path_part(&service)?, id);
    Ok(web::Json(job.await?))
}

/// `GET /v1/services/{service}/resources/{resource}`: a call goes out for it.
pub(super) async fn resource(
    caller: Operator,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
    query: web::Query<OfOrg>,
) -> Result<web::Json<ServiceResource>, ApiError> {
    let (service, name) = path.into_inner();
    let org = caller.org_for(query.org()?.as_ref())?;
    // By whom: what a service asks for with its token is one deeper than what it was told of.
    let core = state.core.by(&caller);
    let resource = core.service_resource(org, path_part(&service)?, name);
    Ok(web::Json(resource.await?))
}
