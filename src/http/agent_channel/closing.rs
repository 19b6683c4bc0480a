//! Why a connection ends, and what its agent is told: the word of `bye` and the WebSocket close code.

use actix_ws::{CloseCode, ProtocolError};
use std::time::Duration;

/// What an agent did that the protocol does not allow.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    /// A text or binary frame over its limit.
    #[error("a frame is longer than allowed")]
    TooLarge,
    /// Text that is no frame.
    #[error("a text frame is not understood: {0}")]
    NotAFrame(String),
    /// A binary frame that is no chunk.
    #[error("a binary frame is not understood: {0}")]
    NotAChunk(#[from] tripline_protocol::frame::InvalidChunk),
    /// The first frame is something else.
    #[error("the first frame is not hello")]
    NotHello,
    /// What it says of its host is not legal.
    #[error("its hello is refused: {0}")]
    BadHello(String),
    /// A second hello.
    #[error("hello came twice")]
    HelloAgain,
    /// The connection stayed silent at its beginning.
    #[error("no hello within {0:?}")]
    HelloLate(Duration),
    /// It asks faster than it reads the answers.
    #[error("it does not read what it asked for")]
    Deaf,
    /// WebSocket itself was broken.
    #[error("the WebSocket is broken: {0}")]
    WebSocket(String),
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The agent closed it, or the network did.
    Gone,
    /// Nothing was heard for too long.
    Dead,
    /// The agent broke the protocol.
    Violation(Violation),
    /// The server wants it: the word of `bye`.
    Told(&'static str),
    /// The actors dropped the link.
    Unlinked,
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<ProtocolError> for End {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::Overflow => Self::Violation(Violation::TooLarge),
            ProtocolError::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => Self::Gone,
            other => Self::Violation(Violation::WebSocket(other.to_string())),
        }
    }
}

impl End {
    /// What the agent is told, where there is anybody to tell.
    pub(super) fn farewell(&self) -> Option<(&'static str, CloseCode)> {
        match self {
            Self::Gone | Self::Dead => None,
            Self::Violation(Violation::TooLarge) => Some(("protocol_error", CloseCode::Size)),
            Self::Violation(_) => Some(("protocol_error", CloseCode::Protocol)),
            Self::Told("shutdown") | Self::Unlinked => Some(("shutdown", CloseCode::Away)),
            Self::Told("protocol_error") => Some(("protocol_error", CloseCode::Protocol)),
            Self::Told(reason) => Some((reason, CloseCode::Policy)),
        }
    }

    /// A word for the log and the metric.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Dead => "dead",
            Self::Violation(_) => "protocol_error",
            Self::Told(reason) => reason,
            Self::Unlinked => "unlinked",
        }
    }
}
