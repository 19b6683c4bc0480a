//! `/v1/tokens`: administrators make, list and revoke tokens. A secret is told once, by the answer that
//! makes it.

use super::HttpState;
use super::auth::Admin;
use super::body::{Body, page_limit};
use super::problem::ApiError;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_protocol::api::{CreateToken, Page, TokenView};
use utoipa::IntoParams;

pub(super) async fn create(
    caller: Admin,
    state: web::Data<HttpState>,
    Body(mut request): Body<CreateToken>,
) -> Result<HttpResponse, ApiError> {
    request.org = caller.org_for(request.org.as_ref())?;
    if caller.depth.is_some() {
        let detail = "the token of a service makes no others: they would outlive it".to_owned();
        return Err(Refusal::Forbidden { detail }.into());
    }
    let created = state.access.by(&caller).create(request).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/tokens/{}", created.view.id)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(created))
}

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTokens {
    after: Option<String>,
    limit: Option<String>,
}

/// Longest id of a token, in bytes.
const ID_BYTES_MAX: usize = 64;

pub(super) async fn list(
    caller: Admin,
    state: web::Data<HttpState>,
    query: web::Query<ListTokens>,
) -> Result<web::Json<Page<TokenView>>, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let tokens = visible(&caller, state.access.list()?);
    Ok(web::Json(page(tokens, query.after.as_deref(), limit)?))
}

/// The tokens behind the one with the id `after`, which need not be there any more.
fn page(tokens: Vec<TokenView>, after: Option<&str>, limit: usize) -> Result<Page<TokenView>, Refusal> {
    let is_id = |id: &str| {
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if after.is_some_and(|after| !is_id(after)) {
        return Err(Refusal::bad_cursor());
    }
    let behind = |token: &TokenView| after.is_none_or(|after| token.id.as_str() > after);
    let mut items: Vec<TokenView> = tokens.into_iter().filter(behind).collect();
    items.sort_by(|a, b| a.id.cmp(&b.id));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|token| token.id.clone());
    Ok(Page { items, next })
}

pub(super) async fn revoke(
    caller: Admin,
    state: web::Data<HttpState>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    if !visible(&caller, state.access.list()?)
        .iter()
        .any(|token| token.id == id)
    {
        return Err(Refusal::NotFound { what: "token", id }.into());
    }
    state.access.by(&caller).revoke(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// An administrator of one org sees the tokens of that org only.
fn visible(caller: &Principal, tokens: Vec<TokenView>) -> Vec<TokenView> {
    match &caller.org {
        None => tokens,
        Some(own) => tokens
            .into_iter()
            .filter(|token| token.org.as_ref() == Some(own))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::Timestamp;
    use tripline_protocol::api::Role;

    fn token(id: &str, org: Option<&str>) -> TokenView {
        TokenView {
            id: id.into(),
            name: id.into(),
            role: Role::Viewer,
            org: org.map(|org| org.parse().expect("an org")),
            uses_left: None,
            created_at: Timestamp::default(),
            expires_at: None,
        }
    }

    fn seen_by(org: Option<&str>) -> Vec<String> {
        let caller = Principal {
            token_id: "a".into(),
            name: "a".into(),
            role: Role::Admin,
            org: org.map(|org| org.parse().expect("an org")),
            place: None,
            depth: None,
        };
        let tokens = vec![
            token("all", None),
            token("acme", Some("acme")),
            token("other", Some("other")),
        ];
        visible(&caller, tokens)
            .into_iter()
            .map(|token| token.id)
            .collect()
    }

    #[test]
    fn an_administrator_of_one_org_sees_no_other_tokens() {
        assert_eq!(seen_by(None), ["all", "acme", "other"]);
        assert_eq!(seen_by(Some("acme")), ["acme"]);
    }

    #[test]
    fn tokens_come_in_pages_by_their_ids() {
        let tokens = || ["c", "a", "b"].map(|id| token(id, None)).to_vec();
        let read = |after, limit| {
            let page = page(tokens(), after, limit).expect("a page");
            let ids: Vec<String> = page.items.into_iter().map(|token| token.id).collect();
            (ids.join(" "), page.next)
        };
        assert_eq!(read(None, 2), ("a b".to_owned(), Some("b".to_owned())));
        assert_eq!(read(Some("b"), 2), ("c".to_owned(), None));
        assert_eq!(read(None, 3), ("a b c".to_owned(), None));
        for wrong in ["", "a b", &"x".repeat(65)] {
            let refused = page(tokens(), Some(wrong), 2).expect_err("no id");
            assert_eq!(refused.code(), "bad_cursor", "{wrong:?}");
        }
    }

    #[test]
    fn an_id_in_a_query_is_taken_up_to_its_bound() {
        let behind = |bytes: usize| page(Vec::new(), Some(&"x".repeat(bytes)), 2);
        assert!(behind(ID_BYTES_MAX).is_ok());
        let refused = behind(ID_BYTES_MAX + 1).expect_err("too long");
        let problem = ApiError::from(refused).to_problem();
        assert_eq!((problem.status, &*problem.code), (422, "bad_cursor"));
    }
}
