//! Finds an event in its stream: at its place, or by a search back from the end.
//!
//! It reads as everybody does who follows the events, so the broker knows no other way to read them.

use crate::feed::{Feed, Follow, Piece};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tripline_actors::{Core, Delivery, FoundEvent, LookedUp};
use tripline_protocol::api::{EventLookup, EventSearch, LookupState};
use tripline_protocol::{EventKey, Org, Timestamp};

/// Most messages that a search looks at.
pub(in crate::http) const MESSAGES_MAX: u64 = 50_000;
/// How long a search goes on.
const SEARCH_WAIT: Duration = Duration::from_secs(10);
/// How long the broker may take until something comes.
const PIECE_WAIT: Duration = Duration::from_secs(5);
/// Messages of the first piece of the stream that is searched; each one before is twice as long, up to the last.
const WINDOW_MIN: u64 = 500;
const WINDOW_MAX: u64 = 8_000;

/// The event that is looked for.
pub(super) struct Look<'a> {
    pub(super) feed: &'a dyn Feed,
    pub(super) core: &'a Core,
    /// The only org whose events the caller sees.
    pub(super) org: Option<&'a Org>,
    pub(super) key: EventKey,
}

/// What a piece of the stream held.
#[derive(Debug, Default)]
struct Window {
    found: Option<Box<FoundEvent>>,
    /// Messages that are not too old.
    messages: u64,
    /// The oldest of their sequences.
    first: Option<u64>,
    /// What is before it is too old, or there is nothing.
    is_last: bool,
}

/// The broker did not answer.
struct Away;

impl Look<'_> {
    /// The event of this sequence.
    pub(super) async fn at(&self, sequence: u64) -> LookedUp {
        let mut pieces = self.follow(Some(sequence.saturating_sub(1)));
        loop {
            match next(&mut pieces).await {
                Ok(Piece::Reached(reached)) if reached < sequence => {}
                Ok(Piece::Event(delivery)) if delivery.sequence == sequence => {
                    return match self.wanted(delivery) {
                        Some(found) => looked_up(Some(found), LookupState::Read, None),
                        None => looked_up(None, LookupState::Gone, None),
                    };
                }
                // It begins behind the event, or goes on there.
                Ok(_) => return looked_up(None, LookupState::Gone, None),
                Err(Away) => return looked_up(None, LookupState::BrokerAway, None),
            }
        }
    }

    /// Searches back from the end of the stream, to what was stored at `since`.
    pub(super) async fn search(&self, since: Timestamp) -> LookedUp {
        let Ok(Piece::Reached(last)) = next(&mut self.follow(None)).await else {
            return looked_up(None, LookupState::BrokerAway, None);
        };
        let deadline = Instant::now() + SEARCH_WAIT;
        let (mut top, mut length) = (last, WINDOW_MIN);
        let mut searched = EventSearch {
            since,
            messages: 0,
            first_sequence: 0,
            last_sequence: last,
            complete: false,
        };
        while !searched.complete && searched.messages < MESSAGES_MAX && Instant::now() < deadline {
            let bottom = (top + 1).saturating_sub(length).max(1);
            let Ok(window) = self.window(bottom, top, since).await else {
                return looked_up(None, LookupState::BrokerAway, Some(searched));
            };
            searched.messages += window.messages;
            searched.first_sequence = window.first.unwrap_or(searched.first_sequence);
            if window.found.is_some() {
                return looked_up(window.found, LookupState::Read, Some(searched));
            }
            searched.complete = window.is_last || bottom == 1;
            top = bottom - 1;
            length = (length * 2).min(WINDOW_MAX);
        }
        looked_up(None, LookupState::NotFound, Some(searched))
    }

    /// Reads from sequence `bottom` to `top`. Of an event that is there more than once, the last counts.
    async fn window(&self, bottom: u64, top: u64, since: Timestamp) -> Result<Window, Away> {
        let mut window = Window::default();
        if top < bottom {
            window.is_last = true;
            return Ok(window);
        }
        let mut pieces = self.follow(Some(bottom - 1));
        loop {
            match next(&mut pieces).await? {
                Piece::Event(delivery) if delivery.sequence <= top => {
                    let is_top = delivery.sequence == top;
                    self.take(delivery, since, &mut window);
                    if is_top {
                        return Ok(window);
                    }
                }
                // What is before is gone.
                Piece::Gap(gap) => {
                    window.is_last = true;
                    if gap.next > top {
                        return Ok(window);
                    }
                }
                Piece::Reached(reached) if reached < top => {}
                Piece::Event(_) | Piece::Reached(_) => return Ok(window),
            }
        }
    }

    fn take(&self, delivery: Delivery, since: Timestamp, window: &mut Window) {
        if delivery.stored_at < since {
            window.is_last = true;
            return;
        }
        window.messages += 1;
        window.first.get_or_insert(delivery.sequence);
        if let Some(found) = self.wanted(delivery) {
            window.found = Some(found);
        }
    }

    fn wanted(&self, delivery: Delivery) -> Option<Box<FoundEvent>> {
        let found = self.core.understand(delivery)?;
        let is_visible = self.org.is_none_or(|org| *org == found.event.org);
        (is_visible && found.event.key == self.key).then(|| Box::new(found))
    }

    fn follow(&self, after: Option<u64>) -> mpsc::Receiver<Piece> {
        self.feed.follow(Follow {
            org: None,
            etypes: Vec::new(),
            after,
        })
    }
}

async fn next(pieces: &mut mpsc::Receiver<Piece>) -> Result<Piece, Away> {
    match timeout(PIECE_WAIT, pieces.recv()).await {
        Ok(Some(piece)) => Ok(piece),
        Ok(None) | Err(_) => Err(Away),
    }
}

fn looked_up(found: Option<Box<FoundEvent>>, state: LookupState, searched: Option<EventSearch>) -> LookedUp {
    LookedUp {
        found,
        lookup: EventLookup { state, searched },
    }
}

#[cfg(test)]
mod tests;
