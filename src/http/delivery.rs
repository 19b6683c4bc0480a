//! A body that says whether it was handed to the operating system whole.

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tripline_actors::littlebrother::Receipt;

/// The connection takes the bytes into a buffer of its own, writes that out whenever the body has nothing for it, and drops
/// the body when it cannot. So the body pauses after its bytes: when it is asked again, they were written out without an error,
/// and the receipt is told. Of a large body whose client reads slowly less than one buffer of the connection may still be left.
pub(super) struct Delivery {
    bytes: Option<Bytes>,
    receipt: Option<Receipt>,
    /// For as long as the body lives.
    _place: Option<OwnedSemaphorePermit>,
    has_paused: bool,
}

impl Delivery {
    pub(super) fn new(bytes: Vec<u8>, receipt: Receipt) -> Self {
        Self::holding(bytes, Some(receipt), None)
    }

    /// Holds a place until it is written, or its connection has gone.
    pub(super) fn holding(
        bytes: Vec<u8>,
        receipt: Option<Receipt>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            bytes: Some(bytes.into()),
            receipt,
            _place: place,
            has_paused: false,
        }
    }
}

impl MessageBody for Delivery {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if !self.has_paused {
            self.has_paused = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(receipt) = self.receipt.take() {
            receipt.written();
        }
        Poll::Ready(None)
    }
}
