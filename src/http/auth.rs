//! Who calls: bearer tokens to principals, and the role each route asks for.
//!
//! A handler names the role in its signature, as `caller: Viewer`, and cannot run without it.

use super::HttpState;
use super::problem::ApiError;
use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use std::future::{Ready, ready};
use std::ops::Deref;
use tripline_actors::Refusal;
use tripline_actors::access::Principal;
use tripline_protocol::api::Role;

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
pub(super) fn principal(request: &HttpRequest, state: &HttpState) -> Result<Caller, ApiError> {
    let token = bearer(request.headers()).ok_or(ApiError::Unauthenticated { presented: false })?;
    state
        .access
        .authenticate(token)
        .map(Caller)
        .ok_or(ApiError::Unauthenticated { presented: true })
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
    principal(request, state)?.require(role)
}

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(Principal);

        impl Deref for $name {
            type Target = Principal;
            fn deref(&self) -> &Principal {
                &self.0
            }
        }

        impl FromRequest for $name {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;
            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(with_role(request, Role::$name).map(Self))
            }
        }
    )*};
}

callers! {
    /// May enrol agents.
    Enrol;
    /// May read.
    Viewer;
    /// May run jobs and publish events.
    Operator;
    /// May do everything.
    Admin;
}
