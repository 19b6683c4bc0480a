//! Lists that come page by page.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::Request;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tripline_protocol::api::Page;

/// Items of a page; the server gives no more.
pub(crate) const ROWS: usize = 1000;

/// Many items of the server, which are asked for a page at a time: as a stream, or all at once.
#[must_use = "it asks nobody before it is polled or listed"]
pub struct Listing<T> {
    items: BoxStream<'static, Result<T>>,
}

impl<T> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listing")
    }
}

impl<T> Stream for Listing<T> {
    type Item = Result<T>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(context)
    }
}

impl<T> Listing<T> {
    /// All of them.
    pub async fn list(self) -> Result<Vec<T>> {
        self.try_collect().await
    }

    /// The next one, without a need for a stream's own methods.
    pub async fn next_item(&mut self) -> Option<Result<T>> {
        self.items.next().await
    }

    /// What other items these are.
    pub(crate) fn map<U>(self, to: impl FnMut(T) -> Option<U> + Send + 'static) -> Listing<U>
    where
        T: Send + 'static,
        U: Send + 'static,
    {
        let mut to = to;
        let items = self
            .items
            .try_filter_map(move |item| std::future::ready(Ok(to(item))));
        Listing { items: items.boxed() }
    }
}

/// Where a list is.
enum Place {
    First,
    After(String),
    End,
}

impl<T: DeserializeOwned + Send + 'static> Listing<T> {
    /// The items of all pages of `request`, of so many items each.
    pub(crate) fn new(client: Client, request: Request, rows: usize) -> Self {
        let request = request.query("limit", rows);
        let pages = stream::try_unfold(
            (client, request, Place::First),
            |(client, request, place)| async move {
                let page: Page<T> = match &place {
                    Place::First => client.http().ask(&request).await?,
                    Place::After(after) => client.http().ask(&request.clone().query("after", after)).await?,
                    Place::End => return Ok::<_, Error>(None),
                };
                let next = page.next.map_or(Place::End, Place::After);
                let items = stream::iter(page.items.into_iter().map(Ok::<_, Error>));
                Ok(Some((items, (client, request, next))))
            },
        );
        Self {
            items: pages.try_flatten().boxed(),
        }
    }
}
