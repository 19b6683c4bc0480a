//! Answers that were not taken whole: their client went away, or stopped reading for longer than it may.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body that is counted when it is dropped before its end.
pub(super) struct Whole {
    body: BoxBody,
    route: Option<String>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was asked of it, as with the answer to a HEAD.
    Untouched,
    Begun,
    Ended,
}

impl Whole {
    /// The body of an answer of this route. That of a WebSocket has no end to wait for.
    pub(super) fn new(body: BoxBody, route: Option<String>, is_socket: bool) -> Self {
        let state = match is_socket {
            true => State::Ended,
            false => State::Untouched,
        };
        Self { body, route, state }
    }
}

impl MessageBody for Whole {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_next(context);
        this.state = match &polled {
            Poll::Ready(None | Some(Err(_))) => State::Ended,
            _ if this.state == State::Ended => State::Ended,
            _ => State::Begun,
        };
        polled
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if self.state == State::Begun {
            let route = self.route.take().unwrap_or_else(|| "none".to_owned());
            metrics::counter!("tripline_http_answers_cut_total", "route" => route).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::{BodyStream, to_bytes};
    use futures_util::stream;
    use std::convert::Infallible;
    use std::future::poll_fn;

    fn body() -> Whole {
        let pieces = ["ab", "cd"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        Whole::new(BoxBody::new(BodyStream::new(stream::iter(pieces))), None, false)
    }

    #[actix_web::test]
    async fn an_answer_passes_as_it_is_and_knows_whether_it_ended() {
        assert_eq!(to_bytes(body()).await.map_err(|_| ()).expect("whole"), "abcd");
        let mut cut = body();
        assert!(cut.state == State::Untouched);
        let first = poll_fn(|context| Pin::new(&mut cut).poll_next(context)).await;
        assert_eq!(first.expect("more").map_err(|_| ()).expect("a piece"), "ab");
        assert!(cut.state == State::Begun);
        while poll_fn(|context| Pin::new(&mut cut).poll_next(context))
            .await
            .is_some()
        {}
        assert!(cut.state == State::Ended);
    }
}
