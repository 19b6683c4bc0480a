//! `/v1/hosts`: forgetting hosts.

use super::HttpState;
use super::auth::Admin;
use super::body::parameter;
use super::problem::ApiError;
use actix_web::web;
use serde::Deserialize;
use tripline_protocol::api::ForgottenHost;

/// Query of `DELETE /v1/hosts/{host}`.
#[derive(Debug, Deserialize)]
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
