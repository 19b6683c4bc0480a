//! A body that says whether it was handed to the connection whole.

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tripline_actors::littlebrother::Receipt;

/// The receipt is told when the connection has taken the bytes and asked for more. A connection whose client has
/// gone drops the body before that.
pub(super) struct Delivery {
    bytes: Option<Bytes>,
    receipt: Option<Receipt>,
}

impl Delivery {
    pub(super) fn new(bytes: Vec<u8>, receipt: Receipt) -> Self {
        Self {
            bytes: Some(bytes.into()),
            receipt: Some(receipt),
        }
    }
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
