//! The connection behind a stream of events: made again whenever it is lost, behind the last thing that was told.

use super::Heard;
use super::wire::{Reader, Told};
use crate::client::Client;
use crate::error::{Error, Result, unreachable};
use crate::http::{Backoff, Repeat, Request};
use reqwest::Response;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;
use tripline_protocol::event::{GAP, StreamGap, StreamedEvent};

/// The place to go on from.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The server gives a sign of life every 15 s.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long somebody is patient who does not say: years.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What was told, and the place behind it.
pub(super) struct News {
    pub(super) place: u64,
    /// Nothing when only the place has moved.
    pub(super) heard: Option<Result<Heard>>,
}

/// A stream of events.
pub(super) struct Feed {
    client: Client,
    request: Request,
    patience: Duration,
    place: u64,
    response: Option<Response>,
    reader: Reader,
    told: VecDeque<Told>,
    /// Since the last thing that was heard.
    backoff: Option<Backoff>,
    over: bool,
}

impl Feed {
    /// One that has begun: where it begins is known.
    pub(super) async fn connect(
        client: Client,
        request: Request,
        after: Option<u64>,
        patience: Option<Duration>,
    ) -> Result<Self> {
        let mut backoff = client.http().backoff();
        let mut feed = Self {
            client,
            request,
            patience: patience.unwrap_or(FOR_EVER),
            place: after.unwrap_or_default(),
            response: None,
            reader: Reader::default(),
            told: VecDeque::new(),
            backoff: None,
            over: false,
        };
        while let Err(error) = feed.begin(after).await {
            backoff.again(Repeat::Freely, error).await?;
        }
        Ok(feed)
    }

    async fn begin(&mut self, after: Option<u64>) -> Result<()> {
        self.open(after).await?;
        while self.told.is_empty() {
            self.read().await?;
        }
        // Without a place of its own it has that one from the beginning.
        if let (None, Some(Told::Place(id))) = (after, self.told.front()) {
            self.place = place(id)?;
            self.told.pop_front();
        }
        Ok(())
    }

    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// What is told next; `None` after the end.
    pub(super) async fn next(&mut self) -> Option<Result<News>> {
        if self.over {
            return None;
        }
        let news = self.news().await;
        self.over = news.is_err();
        Some(news)
    }

    async fn news(&mut self) -> Result<News> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return self.understand(told);
            }
            if let Err(error) = self.read().await {
                self.reopen(error).await?;
            }
        }
    }

    fn understand(&mut self, told: Told) -> Result<News> {
        let heard = match told {
            Told::Place(id) => {
                self.place = place(&id)?;
                None
            }
            Told::Message { id, name, data } => {
                self.place = place(&id.unwrap_or_default())?;
                Some(heard(&name, &data))
            }
        };
        Ok(News {
            place: self.place,
            heard,
        })
    }

    async fn open(&mut self, after: Option<u64>) -> Result<()> {
        self.response = None;
        self.reader = Reader::default();
        self.told.clear();
        let request = match after {
            Some(after) => self
                .request
                .clone()
                .header(LAST_EVENT_ID, HeaderValue::from(after)),
            None => self.request.clone(),
        };
        self.response = Some(self.client.http().open(&request).await?);
        Ok(())
    }

    /// Reads a piece.
    async fn read(&mut self) -> Result<()> {
        let http = self.client.http();
        let ended = || {
            Error::server(
                "unreachable",
                format!("{} ended the stream of events", http.server()),
            )
        };
        let response = self.response.as_mut().ok_or_else(ended)?;
        let piece = timeout(SILENCE_MAX, response.chunk()).await;
        let piece = piece
            .map_err(|late| http.silent().because(late))?
            .map_err(|error| unreachable(http.server(), error))?
            .ok_or_else(ended)?;
        self.told.extend(self.reader.read(&piece).map_err(|_| {
            let text = format!("{} sent an event that is too long", http.server());
            Error::server("bad_answer", text)
        })?);
        self.backoff = None;
        Ok(())
    }

    /// After the connection was lost by `error`: another one, behind what was told last.
    async fn reopen(&mut self, mut error: Error) -> Result<()> {
        loop {
            let mut backoff = self.backoff.take().unwrap_or_else(|| Backoff::new(self.patience));
            backoff.again(Repeat::Freely, error).await?;
            self.backoff = Some(backoff);
            match self.open(Some(self.place)).await {
                Ok(()) => return Ok(()),
                Err(another) => error = another,
            }
        }
    }
}

fn place(id: &str) -> Result<u64> {
    id.parse().map_err(|error| {
        let text = format!("the server named an event {id:?}, which is no place to go on from");
        Error::server("bad_answer", text).because(error)
    })
}

fn heard(name: &str, data: &str) -> Result<Heard> {
    let bad = |error: serde_json::Error| {
        let text = format!("the server sent an event {name} that cannot be read: {error}");
        Error::server("bad_answer", text).because(error)
    };
    let value: Value = serde_json::from_str(data).map_err(bad)?;
    if name == GAP && value.get("specversion").is_none() {
        return serde_json::from_value::<StreamGap>(value)
            .map(Heard::Gap)
            .map_err(bad);
    }
    // From the text: numbers keep all their digits.
    let event: StreamedEvent = serde_json::from_str(data).map_err(bad)?;
    Ok(Heard::Event(Box::new(event)))
}
