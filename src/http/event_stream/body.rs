//! What goes down a stream of events: those that are wanted, and gaps.

use super::super::problem::ApiError;
use super::super::sse::{self, Source};
use super::wire;
use crate::feed::Piece;
use actix_web::web::Bytes;
use tokio::sync::mpsc;
use tripline_actors::{Core, Delivery};
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{HostId, Org};

/// Who follows what.
pub(super) struct Following {
    pub(super) core: Core,
    pub(super) etypes: Vec<EtypePattern>,
    pub(super) org: Option<Org>,
    pub(super) host: Option<HostId>,
    pub(super) first: Option<Piece>,
    pub(super) pieces: mpsc::Receiver<Piece>,
    /// The last sequence that was read and not shown, when nothing was shown after it.
    pub(super) passed: Option<u64>,
}

impl Source for Following {
    type Place = u64;

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let piece = match self.first.take() {
                Some(first) => Some(first),
                None => self.pieces.recv().await,
            };
            let Some(piece) = piece else { return Ok(None) };
            if let Some(bytes) = self.write(piece)? {
                return Ok(Some(bytes));
            }
        }
    }

    fn passed(&mut self) -> Option<u64> {
        self.passed.take()
    }
}

impl Following {
    fn write(&mut self, piece: Piece) -> Result<Option<Bytes>, ApiError> {
        let passed = match &piece {
            Piece::Event(delivery) => Some(delivery.sequence),
            Piece::Reached(_) | Piece::Gap(_) => None,
        };
        let written = match piece {
            Piece::Event(delivery) => self.event(delivery)?,
            Piece::Gap(gap) => Some(wire::gap(&gap)?),
            Piece::Reached(sequence) => Some(sse::reached(sequence)),
        };
        self.passed = passed.filter(|_| written.is_none());
        Ok(written)
    }

    /// The event as text, if it is wanted.
    fn event(&self, delivery: Delivery) -> Result<Option<Bytes>, ApiError> {
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
}
