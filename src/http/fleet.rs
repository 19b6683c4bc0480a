//! `/v1/hosts` and `/v1/keys`: forgetting hosts; their agents' keys listed, revoked and rotated.

use super::HttpState;
use super::auth::Admin;
use super::body::{page_limit, parameter};
use super::problem::ApiError;
use actix_web::web;
use serde::Deserialize;
use tripline_actors::KeyFilter;
use tripline_protocol::api::{ForgottenHost, HostView, KeyView, Page};
use utoipa::IntoParams;

/// Query of `DELETE /v1/hosts/{host}`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Forget {
    force: Option<String>,
}

/// `DELETE /v1/hosts/{host}`: nothing is kept of it but its ended jobs and sessions.
pub(super) async fn forget(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
    query: web::Query<Forget>,
) -> Result<web::Json<ForgottenHost>, ApiError> {
    let org = caller.org_for(None)?;
    let force = parameter("force", query.force.as_deref())?.unwrap_or(false);
    Ok(web::Json(
        state
            .core
            .by(&caller)
            .forget_host(org, host.into_inner(), force)
            .await?,
    ))
}

/// Query of `GET /v1/keys`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListKeys {
    org: Option<String>,
    host: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/keys`: the keys of agents, by their hashes.
pub(super) async fn list_keys(
    caller: Admin,
    state: web::Data<HttpState>,
    query: web::Query<ListKeys>,
) -> Result<web::Json<Page<KeyView>>, ApiError> {
    let query = query.into_inner();
    let filter = KeyFilter {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        host: query.host.filter(|host| !host.is_empty()),
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_agent_keys(filter).await?))
}

/// `DELETE /v1/hosts/{host}/key`: the agent's key is valid no longer.
pub(super) async fn revoke_key(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
) -> Result<web::Json<HostView>, ApiError> {
    let org = caller.org_for(None)?;
    Ok(web::Json(
        state
            .core
            .by(&caller)
            .revoke_agent_key(org, host.into_inner())
            .await?,
    ))
}

/// `POST /v1/hosts/{host}/key/rotate`: the agent is to replace its key.
pub(super) async fn rotate_key(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
) -> Result<web::Json<Page<KeyView>>, ApiError> {
    let org = caller.org_for(None)?;
    Ok(web::Json(
        state
            .core
            .by(&caller)
            .rotate_agent_key(org, host.into_inner())
            .await?,
    ))
}
