//! `/v1/hosts`.

use super::HttpState;
use super::auth::{Admin, Viewer};
use super::body::{Body, page_limit, parameter};
use super::problem::ApiError;
use actix_web::web;
use serde::Deserialize;
use tripline_actors::access::Principal;
use tripline_actors::{HostFilter, LabelChange};
use tripline_protocol::api::{ChangeLabels, HostView, LinkHost, Page, SetLabels};
use tripline_protocol::selector::HostSelector;
use utoipa::IntoParams;

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListHosts {
    org: Option<String>,
    label: Option<String>,
    platform: Option<String>,
    hostname: Option<String>,
    attached: Option<String>,
    seen_within: Option<String>,
    unseen_for: Option<String>,
    agent_version: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListHosts>,
) -> Result<web::Json<Page<HostView>>, ApiError> {
    let query = query.into_inner();
    let filter = HostFilter {
        org: caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?,
        selector: HostSelector {
            labels: HostSelector::labels_of(query.label.as_deref().unwrap_or_default())
                .map_err(|why| ApiError::Parameter(format!("query parameter label: {why}")))?,
            platform: parameter("platform", query.platform.as_deref())?,
            hostname: parameter("hostname", query.hostname.as_deref())?,
            attached: parameter("attached", query.attached.as_deref())?,
            seen_within: parameter("seen_within", query.seen_within.as_deref())?,
            unseen_for: parameter("unseen_for", query.unseen_for.as_deref())?,
            agent_version: parameter("agent_version", query.agent_version.as_deref())?,
        },
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_hosts(filter).await?))
}

/// Query of one host: in which org its name is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowHost {
    org: Option<String>,
}

pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    host: web::Path<String>,
    query: web::Query<ShowHost>,
) -> Result<web::Json<HostView>, ApiError> {
    let org = caller.org_for(parameter("org", query.org.as_deref())?.as_ref())?;
    Ok(web::Json(state.core.get_host(org, host.into_inner()).await?))
}

/// `POST /v1/hosts/{host}/link`: the host reports as this LittleBrother client from now on.
pub(super) async fn link(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
    Body(LinkHost { littlebrother }): Body<LinkHost>,
) -> Result<web::Json<HostView>, ApiError> {
    let org = caller.org_for(None)?;
    let host = host.into_inner();
    Ok(web::Json(
        state.core.by(&caller).link_host(org, host, littlebrother).await?,
    ))
}

/// `DELETE /v1/hosts/{host}/link`: the client's own record stands for itself again.
pub(super) async fn unlink(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
) -> Result<web::Json<HostView>, ApiError> {
    let org = caller.org_for(None)?;
    Ok(web::Json(
        state.core.by(&caller).unlink_host(org, host.into_inner()).await?,
    ))
}

/// `PUT /v1/hosts/{host}/labels`: these are the labels that administrators gave it.
pub(super) async fn set_labels(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
    Body(SetLabels { labels }): Body<SetLabels>,
) -> Result<web::Json<HostView>, ApiError> {
    label(&caller, &state, host, LabelChange::Set(labels)).await
}

/// `PATCH /v1/hosts/{host}/labels`: some more, some no longer.
pub(super) async fn change_labels(
    caller: Admin,
    state: web::Data<HttpState>,
    host: web::Path<String>,
    Body(change): Body<ChangeLabels>,
) -> Result<web::Json<HostView>, ApiError> {
    label(&caller, &state, host, LabelChange::Change(change)).await
}

async fn label(
    caller: &Principal,
    state: &HttpState,
    host: web::Path<String>,
    change: LabelChange,
) -> Result<web::Json<HostView>, ApiError> {
    let org = caller.org_for(None)?;
    Ok(web::Json(
        state
            .core
            .by(caller)
            .label_host(org, host.into_inner(), change)
            .await?,
    ))
}
