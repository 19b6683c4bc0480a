//! `/v1/services/{service}/requests`: what people and programs ask services, and what those answered.

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, page_limit, parameter, path_part};
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use super::services::ListJobs;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use tripline_actors::ServiceRequestFilter;
use tripline_protocol::Name;
use tripline_protocol::api::{AskService, Page, ServiceRequestView};

/// `POST /v1/services/{service}/requests`: durable when it is answered; the service answers in its time.
pub(super) async fn ask(
    caller: Operator,
    state: web::Data<HttpState>,
    service: web::Path<String>,
    key: IdempotencyKey,
    Body(mut asked): Body<AskService>,
) -> Result<HttpResponse, ApiError> {
    let service: Name = path_part(&service)?;
    asked.org = caller.org_for(asked.org.as_ref())?;
    let once = key.once(&caller, &format!("services/{service}/requests"), &asked)?;
    let view = state.core.by(&caller).ask_service(service, asked, once).await?;
    let place = format!("/v1/services/{}/requests/{}", view.service, view.id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, place))
        .json(view))
}

/// `GET /v1/services/{service}/requests`: the newest first.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    service: web::Path<String>,
    query: web::Query<ListJobs>,
) -> Result<web::Json<Page<ServiceRequestView>>, ApiError> {
    let query = query.into_inner();
    let filter = ServiceRequestFilter {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        service: path_part(&service)?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_service_requests(filter).await?))
}

/// `GET /v1/services/{service}/requests/{id}`
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<ServiceRequestView>, ApiError> {
    let (service, id) = path.into_inner();
    let (service, id) = (path_part(&service)?, path_part(&id)?);
    let org = caller.org_for(None)?;
    Ok(web::Json(state.core.get_service_request(org, service, id).await?))
}
