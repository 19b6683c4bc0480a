//! What the server answered: what was asked for, or why not.

use crate::error::{Error, Result, unreachable};
use bytes::BytesMut;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tripline_protocol::api::Problem;

/// Largest answer in JSON that is read. A page of the server's largest rows is far below.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Largest explanation of a refusal that is read.
pub(super) const PROBLEM_BYTES_MAX: usize = 1024 * 1024;

/// The answer's content.
pub(super) async fn read<T: DeserializeOwned>(server: &str, response: Response) -> Result<T> {
    read_up_to(server, response, BODY_BYTES_MAX).await
}

pub(super) async fn read_up_to<T: DeserializeOwned>(
    server: &str,
    response: Response,
    bytes_max: usize,
) -> Result<T> {
    let response = accepted(response).await?;
    let body = body(response, bytes_max).await;
    let body = body.map_err(|error| unreachable(server, error))?.ok_or_else(|| {
        let text = format!("{server} gave an answer of more than {bytes_max} bytes");
        Error::server("bad_answer", text)
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let text = format!("{server} gave an answer that cannot be read: {error}");
        Error::server("bad_answer", text).because(error)
    })
}

/// The same answer when it is a success, else what the server has against the request.
pub(super) async fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        let text = format!("the server answered with a redirect ({status}), which is not followed");
        return Err(Error::unsupported("redirect", text));
    }
    let retry_after = retry_after(&response);
    // Without its explanation a refusal is a refusal still.
    let body = body(response, PROBLEM_BYTES_MAX).await;
    let body = body.ok().flatten().unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(&body).ok();
    Err(Error::refused(status.as_u16(), problem, retry_after))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A whole body; nothing when it is larger.
async fn body(mut response: Response, bytes_max: usize) -> Result<Option<BytesMut>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if piece.len() > bytes_max - body.len() {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}
