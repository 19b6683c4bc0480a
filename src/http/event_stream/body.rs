//! What goes down a stream: events, gaps, signs of life, until the server stops or the token is in force no more.

use super::super::problem::ApiError;
use super::super::server::Stopping;
use super::places::Place;
use super::wire;
use crate::feed::Piece;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tripline_actors::access::Access;
use tripline_actors::{Core, Delivery};
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{HostId, Org};

/// How often there is a sign of life, and the token is looked at.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Who follows what.
pub(super) struct Following {
    pub(super) core: Core,
    pub(super) access: Arc<Access>,
    pub(super) token: String,
    pub(super) etypes: Vec<EtypePattern>,
    pub(super) org: Option<Org>,
    pub(super) host: Option<HostId>,
    /// Free again when the stream ends.
    pub(super) _place: Place,
}

/// A stream that has begun.
struct Open {
    following: Following,
    first: Option<Piece>,
    pieces: mpsc::Receiver<Piece>,
    stopping: Option<Stopping>,
    alive: Interval,
    /// The last sequence that was read and not shown, when nothing was shown after it.
    passed: Option<u64>,
}

impl Following {
    /// The body of the answer.
    pub(super) fn stream(
        self,
        first: Piece,
        pieces: mpsc::Receiver<Piece>,
        stopping: Option<Stopping>,
    ) -> impl Stream<Item = Result<Bytes, ApiError>> + use<> {
        let mut alive = interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let open = Open {
            following: self,
            first: Some(first),
            pieces,
            stopping,
            alive,
            passed: None,
        };
        stream::try_unfold(open, async |mut open| {
            Ok(open.next().await?.map(|bytes| (bytes, open)))
        })
    }

    /// The event as text, if it is wanted.
    fn write(&self, delivery: Delivery) -> Result<Option<Bytes>, ApiError> {
        let sequence = delivery.sequence;
        let Some(event) = self.core.read_event(delivery)? else {
            return Ok(None);
        };
        let wanted = self.org.as_ref().is_none_or(|org| *org == event.org)
            && self.host.is_none_or(|host| event.hostid == Some(host))
            && (self.etypes.is_empty() || self.etypes.iter().any(|pattern| pattern.matches(&event.etype)));
        match wanted {
            true => wire::event(sequence, &event).map(Some),
            false => Ok(None),
        }
    }

    fn may_go_on(&self) -> bool {
        self.access.authenticate(&self.token).is_some()
    }
}

impl Open {
    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let piece = match self.first.take() {
                Some(first) => Some(first),
                None => tokio::select! {
                    () = stopped(&mut self.stopping) => return Ok(None),
                    _ = self.alive.tick() => {
                        let alive = self.following.may_go_on();
                        return Ok(alive.then(|| wire::alive(self.passed.take())));
                    }
                    piece = self.pieces.recv() => piece,
                },
            };
            let Some(piece) = piece else { return Ok(None) };
            if let Some(bytes) = self.write(piece)? {
                return Ok(Some(bytes));
            }
        }
    }

    fn write(&mut self, piece: Piece) -> Result<Option<Bytes>, ApiError> {
        let passed = match &piece {
            Piece::Event(delivery) => Some(delivery.sequence),
            Piece::Reached(_) | Piece::Gap(_) => None,
        };
        let written = match piece {
            Piece::Event(delivery) => self.following.write(delivery)?,
            Piece::Gap(gap) => Some(wire::gap(&gap)?),
            Piece::Reached(sequence) => Some(wire::reached(sequence)),
        };
        self.passed = passed.filter(|_| written.is_none());
        Ok(written)
    }
}

async fn stopped(stopping: &mut Option<Stopping>) {
    match stopping {
        Some(stopping) => stopping.stopped().await,
        None => std::future::pending().await,
    }
}
