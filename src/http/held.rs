//! Requests that are held until there is something to say, or until what is asked for has ended: for so long, and no
//! longer than the server runs.

use super::body::parameter;
use super::problem::ApiError;
use super::server::Stopping;
use actix_web::HttpRequest;
use std::time::Duration;
use tokio::time::Instant;
use tripline_protocol::Span;

/// A waiting caller is looked after first and at most this often.
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(20);
/// And later this often.
const LOOK_AGAIN_LATER: Duration = Duration::from_millis(500);

/// Longest `wait`.
const WAIT_MAX: Span = Span::from_secs(60);

/// Asks with `wait`, and once more without when the server stops.
pub(super) async fn held<F: Future>(
    request: &HttpRequest,
    wait: Option<Span>,
    ask: impl Fn(Option<Span>) -> F,
) -> F::Output {
    let stopping = request.app_data::<Stopping>().cloned();
    let (Some(_), Some(mut stopping)) = (wait, stopping) else {
        return ask(wait).await;
    };
    tokio::select! {
        answer = ask(wait) => answer,
        () = stopping.stopped() => ask(None).await,
    }
}

/// What `look` finds: when it has ended, or as it is after `wait` or when the server stops.
pub(super) async fn ended<T>(
    request: &HttpRequest,
    wait: Option<Span>,
    look: impl AsyncFn() -> Result<T, ApiError>,
    has_ended: impl Fn(&T) -> bool,
) -> Result<T, ApiError> {
    let until = Instant::now() + wait.map(Span::to_duration).unwrap_or_default();
    let mut stopping = request.app_data::<Stopping>().cloned();
    let mut pause = LOOK_AGAIN_FIRST;
    loop {
        let found = look().await?;
        if has_ended(&found) || Instant::now() >= until {
            return Ok(found);
        }
        // Ends are announced to nobody here: they are looked for, with growing pauses.
        let next = tokio::time::sleep_until(until.min(Instant::now() + pause));
        match stopping.as_mut() {
            None => next.await,
            Some(stopping) => tokio::select! {
                () = next => {}
                () = stopping.stopped() => return Ok(found),
            },
        }
        pause = (pause * 2).min(LOOK_AGAIN_LATER);
    }
}

/// The query parameter `wait`: a span (`30s`), or a number of seconds.
pub(super) fn wait(text: Option<&str>) -> Result<Option<Span>, ApiError> {
    let span = match text {
        None | Some("") => None,
        Some(text) => match text.parse::<u64>() {
            Ok(seconds) => Some(Span::from_secs(seconds.min(WAIT_MAX.as_millis()))),
            Err(_) => parameter("wait", Some(text))?,
        },
    };
    match span {
        Some(span) if span > WAIT_MAX => Err(ApiError::Parameter(format!(
            "query parameter wait: at most {WAIT_MAX}"
        ))),
        span => Ok(span.filter(|span| *span > Span::ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use tokio::sync::watch;

    #[actix_web::test]
    async fn a_request_that_is_held_is_answered_when_the_server_stops() {
        let (stop, told) = watch::channel(false);
        let request = TestRequest::default()
            .app_data(Stopping::told_by(told))
            .to_http_request();
        let ask = async |wait: Option<Span>| match wait {
            Some(_) => std::future::pending().await,
            None => "as it is",
        };
        let hold = held(&request, Some(WAIT_MAX), ask);
        let (answer, _) = tokio::join!(hold, async { stop.send_replace(true) });
        assert_eq!(answer, "as it is");
    }

    #[actix_web::test]
    async fn what_is_asked_for_is_looked_at_until_it_has_ended_or_the_server_stops() {
        tokio::time::pause();
        let looks = std::cell::Cell::new(0);
        let look = async || {
            looks.set(looks.get() + 1);
            Ok(looks.get())
        };
        let request = TestRequest::default().to_http_request();
        let third = ended(&request, Some(WAIT_MAX), look, |found| *found == 3).await;
        assert_eq!(third.expect("it ended"), 3);
        let next = ended(&request, None, look, |_| false).await;
        assert_eq!(next.expect("as it is"), 4);
        let (stop, told) = watch::channel(false);
        let request = TestRequest::default()
            .app_data(Stopping::told_by(told))
            .to_http_request();
        let hold = ended(&request, Some(WAIT_MAX), look, |_| false);
        let (answer, _) = tokio::join!(hold, async { stop.send_replace(true) });
        assert_eq!(answer.expect("as it is"), 5);
    }

    #[test]
    fn a_wait_is_a_span_or_seconds_and_bounded() {
        assert_eq!(wait(None).expect("none"), None);
        assert_eq!(wait(Some("0")).expect("none"), None);
        assert_eq!(wait(Some("60")).expect("the longest"), Some(Span::from_secs(60)));
        assert_eq!(wait(Some("500ms")).expect("short"), Some(Span::from_millis(500)));
        for wrong in ["61", "2m", "-1", "soon", "99999999999999999999"] {
            assert!(wait(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
