//! An answer's body, which knows whether it was handed to the operating system whole.

use super::super::delivery::Delivery;
use actix_web::HttpResponse;
use tripline_actors::littlebrother::Answer;

/// The response with the events of an answer.
pub(super) fn response(answer: Answer) -> HttpResponse {
    // Texts, numbers and JSON values always serialise.
    let bytes = serde_json::to_vec(&answer.events).unwrap_or_default();
    let body = Delivery::new(bytes, answer.receipt);
    HttpResponse::Ok().content_type("application/json").body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use tripline_actors::littlebrother::Receipt;

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
