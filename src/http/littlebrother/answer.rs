//! An answer's body, which knows whether it was handed to the connection whole.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tripline_actors::littlebrother::{Answer, Receipt};

/// The response with the events of an answer.
pub(super) fn response(answer: Answer) -> HttpResponse {
    // Texts, numbers and JSON values always serialise.
    let bytes = serde_json::to_vec(&answer.events).unwrap_or_default();
    let body = Delivery {
        bytes: Some(bytes.into()),
        receipt: Some(answer.receipt),
    };
    HttpResponse::Ok().content_type("application/json").body(body)
}

/// The receipt is told when the connection has taken the bytes and asked for more. A connection whose client has
/// gone drops the body before that.
struct Delivery {
    bytes: Option<Bytes>,
    receipt: Option<Receipt>,
}

impl MessageBody for Delivery {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if let Some(receipt) = self.receipt.take() {
            receipt.written();
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn told() -> (Answer, Arc<Mutex<Option<bool>>>) {
        let told = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&told);
        let receipt = Receipt::new(move |written| *hears.lock().unwrap() = Some(written));
        let events = Vec::new();
        (Answer { events, receipt }, told)
    }

    #[actix_web::test]
    async fn a_body_that_was_taken_whole_is_written() {
        let (answer, told) = told();
        let body = actix_web::body::to_bytes(response(answer).into_body()).await;
        assert_eq!(&*body.unwrap(), b"[]");
        assert_eq!(*told.lock().unwrap(), Some(true));
    }

    #[actix_web::test]
    async fn a_body_that_was_not_asked_for_its_end_is_lost() {
        let (answer, told) = told();
        let mut body = response(answer).into_body();
        let first = std::future::poll_fn(|context| Pin::new(&mut body).poll_next(context)).await;
        assert!(first.is_some_and(|piece| piece.is_ok()));
        assert_eq!(*told.lock().unwrap(), None);
        drop(body);
        assert_eq!(*told.lock().unwrap(), Some(false));
    }
}
