//! Who calls: bearer tokens to principals, and the role each route asks for.
//!
//! A handler names the role in its signature, as `caller: Viewer`, and cannot run without it.

use super::HttpState;
use super::place::{note_forbidden, note_unknown, place};
use super::problem::ApiError;
use super::strangers;
use crate::limits::{Limits, Origin, TooEarly};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{HttpRequest, web};
use std::net::IpAddr;
use tripline_actors::Refusal;
use tripline_actors::access::{Access, Principal};
use tripline_protocol::api::Role;
use tripline_protocol::audit::Dialect;

/// The token of `Authorization: Bearer <token>`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A caller with a token that is in force.
#[derive(Debug)]
pub(super) struct Caller(Principal);

/// Who calls.
pub(super) fn authenticate(request: &HttpRequest, state: &HttpState) -> Result<Caller, ApiError> {
    let address = request.peer_addr().map(|address| address.ip());
    let caller = authenticated(request.headers(), address, &state.access, &state.limits)?;
    strangers::prove(request);
    Ok(caller)
}

fn authenticated(
    headers: &HeaderMap,
    address: Option<IpAddr>,
    access: &Access,
    limits: &Limits,
) -> Result<Caller, ApiError> {
    let token = bearer(headers).ok_or(ApiError::Unauthenticated { presented: false })?;
    let principal = log_in(address, limits, token, |token| {
        Ok::<_, ApiError>(access.caller(token))
    })?;
    let principal = principal.ok_or(ApiError::Unauthenticated { presented: true })?;
    limits.request(&principal.token_id)?;
    Ok(Caller(principal))
}

/// Looks a credential up, unless too many wrong ones came from this address; `None`: it is wrong.
pub(super) fn log_in<T, E: From<TooEarly>>(
    address: Option<IpAddr>,
    limits: &Limits,
    credential: &str,
    look: impl FnOnce(&str) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    limits.log_in(address.map(Origin::Address), credential, look)
}

impl Caller {
    /// Refuses who has not the rights of `role`.
    pub(super) fn require(self, role: Role) -> Result<Principal, ApiError> {
        match self.0.may(role) {
            true => Ok(self.0),
            false => {
                let detail = format!(
                    "this needs a token of role {role}; yours is of role {}",
                    self.0.role
                );
                Err(Refusal::Forbidden { detail }.into())
            }
        }
    }
}

fn with_role(request: &HttpRequest, role: Role) -> Result<Principal, ApiError> {
    let state = request.app_data::<web::Data<HttpState>>().ok_or_else(|| {
        ApiError::internal("know its callers", "the application was built without its state")
    })?;
    let mut caller = authenticate(request, state).inspect_err(|error| {
        if matches!(error, ApiError::Unauthenticated { presented: true }) {
            note_unknown(state, request, Dialect::V1, "unauthenticated");
        }
    })?;
    caller.0.place = Some(place(request, Dialect::V1));
    if !caller.0.may(role) {
        note_forbidden(state, &caller.0);
    }
    caller.require(role)
}

/// Declares callers with a role: what a handler names in its signature. `$with_role` finds the caller of a request
/// and refuses one without the role, in the dialect's own words.
macro_rules! callers {
    ($with_role:path, $error:ty; $($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(::tripline_actors::access::Principal);

        impl ::std::ops::Deref for $name {
            type Target = ::tripline_actors::access::Principal;
            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl ::actix_web::FromRequest for $name {
            type Error = $error;
            type Future = ::std::future::Ready<Result<Self, $error>>;
            fn from_request(
                request: &::actix_web::HttpRequest,
                _: &mut ::actix_web::dev::Payload,
            ) -> Self::Future {
                let role = ::tripline_protocol::api::Role::$name;
                ::std::future::ready($with_role(request, role).map(Self))
            }
        }
    )*};
}
pub(super) use callers;

callers! {
    with_role, ApiError;
    /// May enrol agents.
    Enrol;
    /// May read.
    Viewer;
    /// May run jobs and publish events.
    Operator;
    /// May do everything.
    Admin;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LimitOptions;
    use actix_web::http::header::HeaderValue;
    use std::sync::Arc;
    use tripline_actors::clock::SystemClock;
    use tripline_actors::store::{Options, Store};
    use tripline_protocol::api::CreateToken;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(authorization).expect("a header");
        headers.insert(AUTHORIZATION, value);
        headers
    }

    fn access(dir: &tempfile::TempDir) -> Access {
        let store = Store::open(&Options::new(dir.path())).expect("a store");
        Access::new(store, Arc::new(SystemClock::default()))
    }

    fn limits(options: LimitOptions) -> Limits {
        Limits::new(options)
    }

    fn known(headers: &HeaderMap, access: &Access) -> Result<Caller, ApiError> {
        let none = LimitOptions {
            requests_per_second: 0,
            requests_burst: 1,
            failed_logins_max: 0,
        };
        authenticated(headers, None, access, &limits(none))
    }

    async fn token(access: &Access, role: Role) -> String {
        let request = CreateToken {
            name: "ana".into(),
            role,
            org: None,
            uses: None,
            expires: None,
        };
        access.create(request).await.expect("a token").token
    }

    fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
        result.expect_err("refused").to_problem().code
    }

    #[test]
    fn the_token_is_found_whatever_the_case_of_its_scheme() {
        for text in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(bearer(&headers(text)), Some("abc"), "{text:?}");
        }
        for text in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(bearer(&headers(text)), None, "{text:?}");
        }
    }

    #[actix_web::test]
    async fn only_a_token_in_force_lets_in() {
        let dir = tempfile::tempdir().expect("a folder");
        let access = access(&dir);
        let token = token(&access, Role::Viewer).await;
        let caller = known(&headers(&format!("Bearer {token}")), &access).expect("let in");
        assert_eq!(caller.0.name, "ana");
        let unknown = known(&headers(&format!("Bearer {token}x")), &access);
        assert!(matches!(
            unknown,
            Err(ApiError::Unauthenticated { presented: true })
        ));
        let missing = known(&HeaderMap::new(), &access);
        assert!(matches!(
            missing,
            Err(ApiError::Unauthenticated { presented: false })
        ));
    }

    #[actix_web::test]
    async fn a_token_that_asks_too_often_and_an_address_with_too_many_wrong_ones_have_to_wait() {
        let dir = tempfile::tempdir().expect("a folder");
        let access = access(&dir);
        let bearer = headers(&format!("Bearer {}", token(&access, Role::Viewer).await));
        let other = headers(&format!("Bearer {}", token(&access, Role::Viewer).await));
        let limits = limits(LimitOptions {
            requests_per_second: 1,
            requests_burst: 2,
            failed_logins_max: 1,
        });
        let here = Some([10, 0, 0, 1].into());
        let ask = |headers: &HeaderMap, address| authenticated(headers, address, &access, &limits);
        assert!(ask(&bearer, here).is_ok() && ask(&bearer, None).is_ok());
        assert_eq!(code(ask(&bearer, here)), "too_many_requests");
        for wrong in ["a", "b"] {
            let wrong = headers(&format!("Bearer {wrong}"));
            assert_eq!(code(ask(&wrong, here)), "unauthenticated");
        }
        assert_eq!(
            code(ask(&other, here)),
            "too_many_requests",
            "it never came from there"
        );
        assert!(ask(&other, Some([10, 0, 0, 2].into())).is_ok());
    }

    #[actix_web::test]
    async fn each_role_may_what_it_may_and_no_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let access = access(&dir);
        let roles = [Role::Enrol, Role::Viewer, Role::Operator, Role::Admin];
        for (role, allowed) in [
            (Role::Enrol, [true, false, false, false]),
            (Role::Viewer, [false, true, false, false]),
            (Role::Operator, [false, true, true, false]),
            (Role::Admin, [true, true, true, true]),
        ] {
            let bearer = headers(&format!("Bearer {}", token(&access, role).await));
            for (needed, allowed) in roles.into_iter().zip(allowed) {
                let caller = known(&bearer, &access).expect("known");
                match allowed {
                    true => assert!(caller.require(needed).is_ok(), "{role} for {needed}"),
                    false => assert_eq!(code(caller.require(needed)), "forbidden", "{role} for {needed}"),
                }
            }
        }
    }
}
