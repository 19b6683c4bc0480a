//! `/v1/tokens`: administrators make, list and revoke tokens. A secret is told once, by the answer that
//! makes it.

use super::HttpState;
use super::auth::Admin;
use super::body::Body;
use super::problem::ApiError;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, web};
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_protocol::api::{CreateToken, Page, TokenView};

pub(super) async fn create(
    caller: Admin,
    state: web::Data<HttpState>,
    Body(mut request): Body<CreateToken>,
) -> Result<HttpResponse, ApiError> {
    request.org = caller.org_for(request.org.as_ref())?;
    let created = state.access.by(&caller).create(request).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/tokens/{}", created.view.id)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(created))
}

pub(super) async fn list(
    caller: Admin,
    state: web::Data<HttpState>,
) -> Result<web::Json<Page<TokenView>>, ApiError> {
    Ok(web::Json(Page {
        items: visible(&caller, state.access.list()?),
        next: None,
    }))
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
}
