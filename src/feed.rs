//! Events as they are in the stream, for who follows it: what the HTTP edge asks of the NATS edge.
//!
//! Deliberately not here: what an event means, and who may see it.

use tokio::sync::mpsc;
use tripline_actors::Delivery;
use tripline_protocol::Org;
use tripline_protocol::event::StreamGap;
use tripline_protocol::subject::EtypePattern;

/// What to follow.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Only of this org.
    pub org: Option<Org>,
    /// Of these etypes; none for all. More than these may come: whoever reads looks again.
    pub etypes: Vec<EtypePattern>,
    /// From behind this sequence on; `None` for what is stored from now on.
    pub after: Option<u64>,
}

/// What comes of it, in the order of the stream.
#[derive(Debug)]
pub enum Piece {
    /// An event.
    Event(Delivery),
    /// Up to this sequence there is nothing more to come. The first piece, or the second behind a gap, is one.
    Reached(u64),
    /// Some events are gone for ever.
    Gap(StreamGap),
}

/// Where events come from.
pub trait Feed: Send + Sync {
    /// Begins. The pieces end with the server, or at once when the broker cannot be asked; until then they come
    /// when there are some, also after the broker was away. Dropping the receiver ends it.
    fn follow(&self, follow: Follow) -> mpsc::Receiver<Piece>;
}
