//! Sending a request again that came too often: the server said when, and did nothing.

use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, Result, StatusCode};
use std::time::Duration;

/// How often a request is sent at most.
const TRIES_MAX: usize = 5;
/// The longest wait that a command makes by itself; a longer one is told.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Sends it, and again when the answer is 429 and says to come again soon.
pub(super) async fn send(mut request: RequestBuilder) -> Result<Response> {
    for _ in 1..TRIES_MAX {
        let again = request.try_clone();
        let response = request.send().await?;
        let (Some(wait), Some(again)) = (wait(&response), again) else {
            return Ok(response);
        };
        // As long as the server wishes.
        tokio::time::sleep(wait).await;
        request = again;
    }
    request.send().await
}

/// How long to wait before it is sent again, if that is to be.
fn wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse();
    let wait = Duration::from_secs(seconds.ok()?);
    (response.status() == StatusCode::TOO_MANY_REQUESTS && wait <= WAIT_MAX).then_some(wait)
}
