//! Events: what agents and other systems tell Tripline, as it comes, going on where a lost connection was.
//!
//! How they are written is in `wire`, the connection behind a stream in `feed`. Deliberately not here: publishing.

mod feed;
mod wire;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::Request;
use feed::{Feed, News};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tripline_protocol::event::{StreamGap, StreamedEvent};

/// What comes on a stream of events.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An event.
    Event(Box<StreamedEvent>),
    /// Some events are gone for ever: the server has not kept them until this program asked for them.
    Gap(StreamGap),
}

impl Client {
    /// Follows events of these types, or patterns of types as a pipeline's `on` has them (`acme.alert.*`); none for
    /// all. Awaited, it is connected, and everything that is published from then on comes.
    ///
    /// ```no_run
    /// # use tripline_client::{Client, Error, Session};
    /// # async fn example(client: Client) -> tripline_client::Result<()> {
    /// let look = async |session: &Session| session.list_processes().await;
    /// let mut events = client.events(["PROHIBITED_PROCESS"]).await?;
    /// loop {
    ///     let event = events.next_event().await?;
    ///     let Some(host) = event.hostid else { continue };
    ///     println!("{} processes", client.submit_job(look, host).await?.processes.len());
    /// }
    /// # }
    /// ```
    pub fn events<E: ToString>(&self, etypes: impl IntoIterator<Item = E>) -> Events {
        let mut request = Request::get(&[&"events"]);
        for etype in etypes {
            request = request.query("etype", etype);
        }
        Events {
            client: self.clone(),
            request,
            org: self.org().map(ToString::to_string),
            after: None,
            patience: None,
        }
    }
}

/// Which events. Made by [`Client::events`]; await it.
#[derive(Debug)]
#[must_use = "it asks nobody before it is awaited"]
pub struct Events {
    client: Client,
    request: Request,
    org: Option<String>,
    after: Option<u64>,
    patience: Option<Duration>,
}

impl Events {
    /// Only those of this org. Default: the client's, else all that the token may see.
    pub fn org(mut self, org: impl Into<String>) -> Self {
        self.org = Some(org.into());
        self
    }

    /// Only those that mean this host, by its name, its host id or its sensor id.
    pub fn host(mut self, host: impl ToString) -> Self {
        self.request = self.request.query("host", host);
        self
    }

    /// From behind this place on, which is what [`EventStream::position`] said in another run of the program; 0 for
    /// all that is kept. Look at an event's `time` before you act: it may have been days ago. Default: what comes from now on.
    pub fn after(mut self, position: u64) -> Self {
        self.after = Some(position);
        self
    }

    /// How long a lost connection is tried to be made again before the stream ends with the error. Default: for
    /// ever. The first connection has the client's patience.
    pub fn give_up_after(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    async fn connect(self) -> Result<EventStream> {
        let request = self.request.query_if("org", self.org);
        let feed = Feed::connect(self.client, request, self.after, self.patience).await?;
        let position = feed.place();
        let news = futures_util::stream::unfold(feed, |mut feed| async move {
            let news = feed.next().await?;
            Some((news, feed))
        });
        Ok(EventStream {
            news: news.fuse().boxed(),
            position,
        })
    }
}

impl IntoFuture for Events {
    type Output = Result<EventStream>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.connect().boxed()
    }
}

/// Events as they come, one by one.
///
/// Nothing is left out and nothing comes twice, also when the connection is lost or the server restarts: then it goes
/// on by itself behind the last event that was read. What the server did not keep until then is told by a
/// [`Heard::Gap`]. Reading slowly is no harm: the server waits.
///
/// It ends after an error that does not pass, such as a token that was revoked. An event that cannot be understood is an
/// error (`bad_answer`) that does not end it.
pub struct EventStream {
    news: BoxStream<'static, Result<News>>,
    position: u64,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl EventStream {
    /// The next event. A gap is an error here, [`Error::Server`] `events_lost`; after it the stream goes on.
    pub async fn next_event(&mut self) -> Result<StreamedEvent> {
        match self.next().await {
            Some(Ok(Heard::Event(event))) => Ok(*event),
            Some(Ok(Heard::Gap(gap))) => Err(lost(gap)),
            Some(Err(error)) => Err(error),
            None => {
                Err(Error::server("stream_ended", "the stream of events has ended")
                    .advise("begin another one"))
            }
        }
    }

    /// The next event or gap, without a need for a stream's own methods.
    pub async fn next_heard(&mut self) -> Option<Result<Heard>> {
        self.next().await
    }

    /// The place to go on from, for [`Events::after`]: behind what was read last.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl Stream for EventStream {
    type Item = Result<Heard>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(news) = ready!(self.news.poll_next_unpin(context)) else {
                return Poll::Ready(None);
            };
            match news {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(News { place, heard }) => {
                    self.position = place;
                    if let Some(heard) = heard {
                        return Poll::Ready(Some(heard));
                    }
                }
            }
        }
    }
}

fn lost(gap: StreamGap) -> Error {
    let many = gap
        .lost
        .map_or_else(|| "events".to_owned(), |lost| format!("{lost} events"));
    let text = format!("{many} behind number {} are gone, of all types", gap.after);
    Error::server("events_lost", text).advise(
        "read on, and look up what was missed where it was published; Events::after earlier next time",
    )
}

#[cfg(test)]
mod tests;
