//! Decisions not to act: a pipeline matched, and something was in the way.
//!
//! A new reason is a line in [`Why`], and where it is found `Withheld::new(pipeline, Why::…, text)`: it is counted and
//! recorded ([`record`]) like the others.

mod dry_run;
mod read;
mod record;

pub(crate) use read::decisions;
pub(crate) use record::{DecisionRecord, Of, Records, TallyRecord, by_time, of_row};

use tripline_protocol::Name;
use tripline_protocol::api::DryRun;

/// Declares the reasons: variant and word.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// Why a pipeline that an event matches does not act.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Why { $($(#[$doc])* $variant,)* }

        impl Why {
            /// Its word, in records and metrics.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Why::$variant => $word,)* }
            }
        }

        /// The words of all reasons, as `tripline_router_withheld_total` has them.
        pub const WITHHELD_REASONS: &[&str] = &[$($word,)*];
    };
}

reasons! {
    /// It acted as often as `suppress` allows.
    Suppressed = "suppressed";
    /// It did not match as often as `suppress` wants.
    BelowThreshold = "below_threshold";
    /// No more can be counted for `suppress`.
    SuppressFull = "suppress_full";
    /// It acted on as many hosts as `max_hosts` allows.
    MaxHosts = "max_hosts";
    /// As many of its jobs are open as `max_in_flight` allows.
    MaxInFlight = "max_in_flight";
    /// Too many of its jobs failed.
    AutoPaused = "auto_paused";
    /// A person paused it.
    Paused = "paused";
    /// Only people touch its host.
    ProtectedHost = "protected_host";
    /// The event is older than it takes.
    Stale = "stale";
    /// It only says what it would do.
    DryRun = "dry_run";
}

impl Why {
    /// Whether the event is handled with it. The others change nothing, so that a flood of them costs nothing.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Suppressed | Self::SuppressFull | Self::Stale)
    }
}

/// A decision not to act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) pipeline: Name,
    pub(crate) why: Why,
    /// One sentence.
    pub(crate) text: String,
    /// The rendered key of `suppress`, where it was asked.
    pub(crate) key: Option<String>,
    /// What it would have done, of a dry run.
    pub(crate) would: Option<Box<DryRun>>,
}

impl Withheld {
    pub(crate) fn new(pipeline: &Name, why: Why, text: impl Into<String>) -> Self {
        Self {
            pipeline: pipeline.clone(),
            why,
            text: text.into(),
            key: None,
            would: None,
        }
    }
}
