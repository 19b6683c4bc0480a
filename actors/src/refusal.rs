//! Why the actors say no to an edge. Edges map it to their dialect's status and body, nothing else.

use tripline_protocol::{Fault, FaultClass, Span};

/// A request that was refused and changed nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such thing, or not in the caller's org.
    #[error("no {what} {id:?}")]
    NotFound {
        /// `host`, `job`, `named job`, `token`, `artifact`.
        what: &'static str,
        /// As the caller named it.
        id: String,
    },
    /// A name that several hosts share.
    #[error("{name:?} names {count} hosts; use a host id")]
    AmbiguousHost {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// The request itself is wrong.
    #[error("{detail}")]
    Invalid {
        /// A stable word.
        code: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// It does not fit the present state.
    #[error("{detail}")]
    Conflict {
        /// A stable word.
        code: &'static str,
        /// What stands in the way.
        detail: String,
    },
    /// The caller may not.
    #[error("{detail}")]
    Forbidden {
        /// Which right is missing.
        detail: String,
    },
    /// A bound is reached; try again later.
    #[error("{what} is full; try again later")]
    Busy {
        /// `outbox`, `door`, `jobs of the host`, `disk`.
        what: &'static str,
        /// When to try again.
        retry_after: Span,
    },
    /// The server stops, restarts its actors, or cannot write.
    #[error("the server cannot take this now: {detail}")]
    Unavailable {
        /// Why.
        detail: &'static str,
    },
}

impl Refusal {
    /// What a list was asked to go on after is no place in it.
    pub fn bad_cursor() -> Self {
        Self::Invalid {
            code: "bad_cursor",
            detail: "after must be what next of the page before said".into(),
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::AmbiguousHost { .. } => "ambiguous_host",
            Self::Invalid { code, .. } | Self::Conflict { code, .. } => code,
            Self::Forbidden { .. } => "forbidden",
            Self::Busy { .. } => "busy",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let class = match refusal {
            Refusal::Invalid { .. } => FaultClass::Unsupported,
            _ => FaultClass::Server,
        };
        Fault {
            class,
            code: refusal.code().to_owned(),
            text: refusal.to_string(),
            detail: None,
        }
    }
}
