//! JSON bodies and query parameters: bounded in size and time, with errors that name what is wrong.

use super::bounds::Bounds;
use super::problem::ApiError;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use tripline_actors::Refusal;

/// Largest JSON body where a route does not say otherwise.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A route's own limit for its body, as `app_data`.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// A JSON body. Its content type is not looked at: whatever is sent must be JSON.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request
            .app_data::<BodyLimit>()
            .map_or(BODY_BYTES_MAX, |limit| limit.0);
        let body = bytes(request, payload.take(), limit);
        Box::pin(async move { body.await.and_then(|bytes| parse(&bytes)).map(Self) })
    }
}

/// A whole body of at most `limit` bytes.
pub(super) fn bytes(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> impl Future<Output = Result<web::BytesMut, ApiError>> + use<> {
    let announced = announced_length(request);
    let patience = Bounds::of(request).body_timeout;
    async move {
        if announced.is_some_and(|bytes| bytes > limit as u64) {
            return Err(ApiError::BodyTooLarge { limit });
        }
        tokio::time::timeout(patience, collect(payload, limit))
            .await
            .map_err(|_| ApiError::BodyTooSlow { patience })?
    }
}

pub(super) fn announced_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(mut payload: Payload, limit: usize) -> Result<web::BytesMut, ApiError> {
    let mut body = web::BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(ApiError::BodyBroken)?;
        if body.len() + piece.len() > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads JSON; the error says line, column and field.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Err(ApiError::Json("it is empty, and JSON is needed".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::Json(error.to_string()))
}

/// Reads a query parameter; absent and empty are the same.
pub(super) fn parameter<T>(name: &str, text: Option<&str>) -> Result<Option<T>, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    match text {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| ApiError::Parameter(format!("query parameter {name}: {error}"))),
    }
}

/// Most items on a page.
pub(super) const PAGE_ITEMS_MAX: usize = 1000;
/// Items on a page where the caller does not say.
pub(super) const PAGE_ITEMS_DEFAULT: usize = 100;

/// The query parameter `limit`, 1 to [`PAGE_ITEMS_MAX`].
pub(super) fn page_limit(text: Option<&str>) -> Result<usize, ApiError> {
    match parameter::<usize>("limit", text)? {
        None => Ok(PAGE_ITEMS_DEFAULT),
        Some(limit) if (1..=PAGE_ITEMS_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::Parameter(format!(
            "query parameter limit: expected 1 to {PAGE_ITEMS_MAX}"
        ))),
    }
}

/// The query parameter `after` of a list: what `next` of the page before said.
pub(super) fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Refusal::bad_cursor().into()),
    }
}

/// Reads a part of the path.
pub(super) fn path_part<T>(text: &str) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error| ApiError::Parameter(format!("path: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use tripline_protocol::api::SubmitJob;
    use tripline_protocol::job::JobState;

    async fn extract(body: &'static str, limit: usize) -> Result<SubmitJob, ApiError> {
        let (request, mut payload) = TestRequest::default()
            .app_data(BodyLimit(limit))
            .set_payload(body)
            .to_http_parts();
        Body::from_request(&request, &mut payload)
            .await
            .map(|Body(value)| value)
    }

    #[actix_web::test]
    async fn a_typo_in_a_body_is_named_with_its_place() {
        let error = extract("{\"host\": \"pc\",\n \"jobs\": {}}", 1000)
            .await
            .expect_err("a typo");
        let text = error.to_string();
        assert!(
            text.contains("`jobs`") && text.contains("line 2 column"),
            "{text}"
        );
    }

    #[actix_web::test]
    async fn an_empty_body_says_so() {
        assert!(
            extract("", 1000)
                .await
                .expect_err("empty")
                .to_string()
                .contains("empty")
        );
    }

    #[actix_web::test]
    async fn a_body_is_bounded_whether_or_not_it_announces_its_length() {
        let too_large = |result| matches!(result, Err(ApiError::BodyTooLarge { limit: 10 }));
        assert!(too_large(extract("{\"host\": \"pc\"}", 10).await));
        let (request, mut payload) = TestRequest::default()
            .app_data(BodyLimit(10))
            .insert_header((CONTENT_LENGTH, "11"))
            .to_http_parts();
        let announced = Body::<SubmitJob>::from_request(&request, &mut payload).await;
        assert!(too_large(announced.map(|Body(value)| value)));
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        let error = parameter::<JobState>("state", Some("done")).expect_err("no state");
        let text = error.to_string();
        assert!(text.contains("state") && text.contains("succeeded"), "{text}");
        assert_eq!(
            parameter::<JobState>("state", Some("queued")).expect("a state"),
            Some(JobState::Queued)
        );
        assert_eq!(parameter::<JobState>("state", Some("")).expect("nothing"), None);
    }

    #[test]
    fn what_is_no_place_in_a_list_is_a_bad_cursor() {
        assert_eq!(cursor(Some("7")).expect("a number"), Some(7));
        assert_eq!(cursor::<u32>(Some("")).expect("none"), None);
        for wrong in ["x", "-1", "99999999999"] {
            let refused = cursor::<u32>(Some(wrong)).expect_err(wrong).to_problem();
            assert_eq!(refused.code, "bad_cursor", "{wrong}");
        }
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(page_limit(None).expect("the default"), 100);
        assert_eq!(page_limit(Some("1000")).expect("the most"), 1000);
        for wrong in ["0", "1001", "-1", "ten"] {
            assert!(page_limit(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
