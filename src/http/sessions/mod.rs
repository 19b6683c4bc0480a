//! `/v1/sessions`: interactive sessions. What a session does is `commands`, what it carries is `files`.

pub(super) mod commands;
pub(super) mod files;

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, page_limit, parameter};
use super::held::{held, wait};
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tripline_actors::access::Principal;
use tripline_actors::{Core, SessionFilter};
use tripline_protocol::SessionId;
use tripline_protocol::api::Page;
use tripline_protocol::session::{OpenSession, SessionView};
use utoipa::IntoParams;

pub(super) async fn open(
    caller: Operator,
    state: web::Data<HttpState>,
    key: IdempotencyKey,
    Body(request): Body<OpenSession>,
) -> Result<HttpResponse, ApiError> {
    let once = key.once(&caller, "sessions", &request)?;
    let session = state.core.open_session_once(&caller, request, once).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/sessions/{}", session.session_id)))
        .json(session))
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSessions {
    org: Option<String>,
    owner: Option<String>,
    host: Option<String>,
    state: Option<String>,
    open: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListSessions>,
) -> Result<web::Json<Page<SessionView>>, ApiError> {
    let query = query.into_inner();
    let org = caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?;
    let host = match query.host.filter(|host| !host.is_empty()) {
        None => None,
        Some(host) => Some(state.core.get_host(org.clone(), host).await?.host_id),
    };
    let filter = SessionFilter {
        org,
        owner: query.owner.filter(|owner| !owner.is_empty()),
        host,
        state: parameter("state", query.state.as_deref())?,
        open: parameter("open", query.open.as_deref())?.unwrap_or(false),
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_sessions(&caller, filter).await?))
}

/// Query of what may be waited for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<String>,
}

/// `wait`: until it is not pending any more.
pub(super) async fn show(
    caller: Viewer,
    request: HttpRequest,
    state: web::Data<HttpState>,
    session: web::Path<String>,
    query: web::Query<Wait>,
) -> Result<web::Json<SessionView>, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    let ask = |wait| state.core.get_session(&caller, session_id, wait);
    Ok(web::Json(
        held(&request, wait(query.wait.as_deref())?, ask).await?,
    ))
}

pub(super) async fn keep_alive(
    caller: Operator,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<SessionView>, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    Ok(web::Json(state.core.keep_alive(&caller, session_id).await?))
}

pub(super) async fn close(
    caller: Operator,
    state: web::Data<HttpState>,
    session: web::Path<String>,
) -> Result<web::Json<SessionView>, ApiError> {
    let session_id = named(&state.core, &caller, &session)?;
    Ok(web::Json(state.core.close_session(&caller, session_id).await?))
}

/// A session by its id or its number.
fn named(core: &Core, caller: &Principal, text: &str) -> Result<SessionId, ApiError> {
    if let Ok(number) = text.parse() {
        return Ok(core.session_by_number(caller, number)?);
    }
    text.parse()
        .map_err(|error| ApiError::Parameter(format!("path: a session's id or number: {error}")))
}
