//! What a pipeline makes of an event, for people and for tests.

use crate::ingest::Dead;
use crate::pipeline::as_written;
use crate::router::Withheld;
use crate::scheduler::NewJob;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use tripline_protocol::Name;
use tripline_protocol::result::HostRef;

/// Longest text of a step in messages, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// What a pipeline makes of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether it wants it.
    pub matches: bool,
    /// What became of it.
    #[serde(flatten)]
    pub decided: Decided,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decided {
    /// It makes a job, or would if it were no dry run.
    Acts(Box<TriedJob>),
    /// It matches, and something is in the way.
    Withheld {
        /// Its word.
        reason: &'static str,
        /// One sentence.
        text: String,
        /// The rendered key of `suppress`, where that is the reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// The event becomes a dead letter.
    Dead {
        /// Its word.
        reason: &'static str,
        /// One sentence.
        text: String,
    },
    /// Its condition does not hold.
    Unmet {
        /// One sentence.
        text: String,
    },
    /// It is not enabled.
    Disabled,
    /// It is for events of other orgs.
    WrongOrg,
    /// The event's etype is none of its.
    NotListening,
    /// An event of the same org, source and id was handled before.
    Repeated,
}

/// The job that it makes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedJob {
    /// The name of the job.
    pub job: Name,
    /// Where it runs.
    pub host: HostRef,
    /// Whether the pipeline only says so.
    pub dry_run: bool,
    /// Its steps in the form of files, with rendered arguments.
    pub steps: Vec<Value>,
    /// Those for its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<Value>,
    /// Values of `let` that later templates may name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
}

impl Outcome {
    pub(super) fn yes(decided: Decided) -> Self {
        Self {
            matches: true,
            decided,
        }
    }

    pub(super) fn no(decided: Decided) -> Self {
        Self {
            matches: false,
            decided,
        }
    }

    /// The job that it makes.
    pub fn job(&self) -> Option<&TriedJob> {
        match &self.decided {
            Decided::Acts(job) => Some(job),
            _ => None,
        }
    }
}

impl Decided {
    /// A condition that does not hold, or has no value.
    pub(super) fn unmet(errors: Vec<(Name, String)>) -> Self {
        let error = errors.into_iter().next();
        let text = match error {
            Some((_, why)) => format!("its condition has no value: {why}"),
            None => "its condition does not hold".to_owned(),
        };
        Self::Unmet { text }
    }

    /// The word for what became of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Acts(job) if job.dry_run => "dry_run",
            Self::Acts(_) => "acts",
            Self::Withheld { reason, .. } | Self::Dead { reason, .. } => reason,
            Self::Unmet { .. } => "condition",
            Self::Disabled => "disabled",
            Self::WrongOrg => "wrong_org",
            Self::NotListening => "not_listening",
            Self::Repeated => "repeated",
        }
    }
}

/// Completes "the pipeline …" in one sentence.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acts(job) => job.fmt(f),
            Self::Withheld { reason, text, .. } => write!(f, "it matches and does not act, {reason}: {text}"),
            Self::Dead { reason, text } => write!(f, "the event becomes a dead letter, {reason}: {text}"),
            Self::Unmet { text } => f.write_str(text),
            Self::Disabled => f.write_str("it is disabled"),
            Self::WrongOrg => f.write_str("it is for events of other orgs"),
            Self::NotListening => f.write_str("it does not listen to the event's etype"),
            Self::Repeated => f.write_str("an event of the same org, source and id was handled before"),
        }
    }
}

impl fmt::Display for TriedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acts = if self.dry_run { "would act" } else { "acts" };
        write!(f, "it {acts}: job {} on {}", self.job, self.host.hostname)
    }
}

impl From<Withheld> for Decided {
    fn from(withheld: Withheld) -> Self {
        Self::Withheld {
            reason: withheld.why.word(),
            text: withheld.text,
            key: withheld.key.filter(|key| !key.is_empty()),
        }
    }
}

impl From<Dead> for Decided {
    fn from(dead: Dead) -> Self {
        Self::Dead {
            reason: dead.reason,
            text: dead.text,
        }
    }
}

impl TriedJob {
    pub(super) fn new(job: NewJob, dry_run: bool) -> Self {
        let named = job.spec.steps.iter().enumerate().map(|(index, step)| {
            let id = Some(crate::pipeline::step_id(step, index));
            as_written(&tripline_protocol::step::Step { id, ..step.clone() })
        });
        Self {
            job: job.spec.name.clone(),
            host: job.host,
            dry_run,
            steps: named.collect(),
            finally: job.spec.finally.iter().map(as_written).collect(),
            vars: job.vars,
        }
    }
}

/// A value in a message.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
