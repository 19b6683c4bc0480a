//! `Idempotency-Key`: a request that makes something can be sent again when its answer was lost.

use super::problem::ApiError;
use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use std::future::{Ready, ready};
use tripline_actors::access::Principal;
use tripline_actors::{Once, Refusal};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The header's value, if there is one.
#[derive(Debug)]
pub(super) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// The caller's request for `what`, which says `body`, as one that is to be carried out once.
    pub(super) fn once(
        &self,
        caller: &Principal,
        what: &str,
        body: &impl Serialize,
    ) -> Result<Option<Once>, ApiError> {
        let key = self.0.as_deref();
        let once = key.map(|key| Once::new(&caller.token_id, key, what, body));
        Ok(once.transpose()?)
    }
}

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(HEADER);
        let key = match (values.next(), values.next()) {
            (None, _) => Ok(None),
            // What is no text is refused like any other key that is none.
            (Some(value), None) => Ok(Some(String::from_utf8_lossy(value.as_bytes()).into_owned())),
            (Some(_), Some(_)) => Err(Refusal::Invalid {
                code: "bad_idempotency_key",
                detail: "Idempotency-Key can be there once only".to_owned(),
            }
            .into()),
        };
        ready(key.map(Self))
    }
}
