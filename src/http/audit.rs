//! `/v1/audit`: what is on record, for who may see it: of an org for its viewers, of the server itself for viewers
//! of all orgs.

use super::HttpState;
use super::auth::Viewer;
use super::body::{Body, page_limit, parameter, path_part};
use super::moment::moment;
use super::problem::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::value::RawValue;
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_actors::audit::{AuditFilter, chain_of};
use tripline_protocol::Org;
use tripline_protocol::api::Page;
use tripline_protocol::audit::{Action, AuditChain, AuditVerified};
use utoipa::IntoParams;

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListAudit {
    org: Option<String>,
    who: Option<String>,
    host: Option<String>,
    action: Option<String>,
    since: Option<String>,
    until: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// The chain that is asked for, if the caller may see it.
fn visible(caller: &Principal, chain: &str) -> Result<String, ApiError> {
    let chain = chain_of(chain)?;
    match &caller.org {
        Some(own) if own.as_str() != chain => {
            let detail = format!("this token acts in org {own} only, and may not see the audit of {chain}");
            Err(Refusal::Forbidden { detail }.into())
        }
        _ => Ok(chain),
    }
}

/// Newest first.
pub(super) async fn list(
    caller: Viewer,
    state: web::Data<HttpState>,
    query: web::Query<ListAudit>,
) -> Result<web::Json<Page<Box<RawValue>>>, ApiError> {
    let query = query.into_inner();
    let org = match (query.org.as_deref(), &caller.org) {
        (Some(org), _) if !org.is_empty() => Some(visible(&caller, org)?),
        (_, own) => own.as_ref().map(Org::to_string),
    };
    let filter = AuditFilter {
        org,
        who: query.who,
        host: query.host,
        action: query.action,
        since: moment("since", query.since.as_deref(), &state)?,
        until: moment("until", query.until.as_deref(), &state)?,
        after: query.after,
        limit: page_limit(query.limit.as_deref())?,
    };
    Ok(web::Json(state.core.list_audit(filter).await?))
}

/// What is kept of each chain.
pub(super) async fn chains(
    caller: Viewer,
    state: web::Data<HttpState>,
) -> Result<web::Json<Page<AuditChain>>, ApiError> {
    let mut items = state.core.audit_chains().await?;
    items.retain(|chain| visible(&caller, &chain.org).is_ok());
    Ok(web::Json(Page { items, next: None }))
}

/// Query of a chain's records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListRecords {
    from: Option<String>,
    limit: Option<String>,
}

/// Oldest first, a line each, exactly as they are kept and hashed.
pub(super) async fn records(
    caller: Viewer,
    state: web::Data<HttpState>,
    chain: web::Path<String>,
    query: web::Query<ListRecords>,
) -> Result<HttpResponse, ApiError> {
    let chain = visible(&caller, &chain)?;
    let from = parameter("from", query.from.as_deref())?.unwrap_or(0);
    let limit = page_limit(query.limit.as_deref())?;
    let records = state.core.audit_records(chain, from, limit).await?;
    let mut lines = Vec::new();
    for (_, record) in records {
        lines.extend_from_slice(&record);
        lines.push(b'\n');
    }
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .body(lines))
}

/// One record, exactly as it is kept and hashed.
pub(super) async fn show(
    caller: Viewer,
    state: web::Data<HttpState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let chain = visible(&caller, &path.0)?;
    let record = state.core.audit_record(chain, path_part(&path.1)?).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(record))
}

/// A caller verified a chain, and says what it found.
pub(super) async fn verified(
    caller: Viewer,
    state: web::Data<HttpState>,
    chain: web::Path<String>,
    Body(verified): Body<AuditVerified>,
) -> Result<HttpResponse, ApiError> {
    let chain = visible(&caller, &chain)?;
    let org: Option<Org> = chain.parse().ok();
    let core = state.core.by(&caller);
    let noted = core.put_on_record(Action::AuditVerify, org.as_ref(), |entry| {
        let entry = entry.detail("source", &verified.source);
        let entry = entry
            .detail("first", verified.first)
            .detail("last", &verified.last);
        match verified.broken {
            Some(number) => entry.detail("broken", number).outcome("failed", Some("broken")),
            None => entry,
        }
    });
    noted.await?;
    Ok(HttpResponse::NoContent().finish())
}
