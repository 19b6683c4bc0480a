//! Traces: what was done for an event or a submitted job, as spans with a beginning, an end and a parent.
//!
//! Spans are made from what is durable, when it is: an event and the decision about it, a job, each attempt at it, each
//! command, and the publication of its result. Their ids follow from the ids of what they tell of, so nothing has to be
//! handed from one actor to another, and a job that goes on after a restart stays in its trace. Where nobody wants
//! traces nothing is made. Deliberately not here: sending them anywhere, which is a [`TraceSink`]'s; it never waits.

mod context;
mod spans;

pub(crate) use spans::{Decided, Passed, commit, decided, ended, given_back, passed, result};

use context::Context;
use std::sync::{Arc, OnceLock};
use tripline_protocol::Timestamp;

/// Which part a span has in an exchange with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// None: it is done here.
    Internal,
    /// It asks another program and waits for it.
    Client,
    /// It hands a message to others.
    Producer,
    /// It takes a message of others.
    Consumer,
}

/// A value that a span carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

/// Texts of others, such as the id of an event, are cut here: what waits to be sent has a bound in bytes, too.
const TEXT_CHARS_MAX: usize = 256;

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

impl From<String> for TraceValue {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&str> for TraceValue {
    fn from(text: &str) -> Self {
        Self::Text(short(text))
    }
}

impl From<u32> for TraceValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// Something that was done, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSpan {
    /// The trace it belongs to: that of the event's `traceparent`, if it has one.
    pub trace_id: [u8; 16],
    /// Its own id.
    pub span_id: [u8; 8],
    /// The span it is a part of.
    pub parent: Option<[u8; 8]>,
    /// `<component>.<verb>`
    pub name: &'static str,
    /// Which part it has.
    pub kind: TraceKind,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it tells: ids, names, codes; never arguments, outputs or contents.
    pub attributes: Vec<(&'static str, TraceValue)>,
    /// Why it failed, if it did: a code.
    pub failed: Option<String>,
}

/// Takes spans.
pub trait TraceSink: Send + Sync + 'static {
    /// Takes some. Returns at once; what finds no room is dropped and counted.
    fn take(&self, spans: Vec<TraceSpan>);
}

/// Where spans go, if anywhere. It outlives a generation of actors.
#[derive(Default)]
pub(crate) struct Traces(OnceLock<Wanted>);

struct Wanted {
    sink: Arc<dyn TraceSink>,
    ratio: f64,
}

impl Traces {
    /// From now on spans go to `sink`; of traces that nobody decided on yet, this part of 1. Only the first call counts.
    pub(crate) fn set(&self, sink: Arc<dyn TraceSink>, ratio: f64) {
        // Whoever came first stays.
        let _ = self.0.set(Wanted { sink, ratio });
    }

    /// The trace, if somebody wants its spans.
    fn wanted(&self, context: impl FnOnce() -> Context) -> Option<Context> {
        let wanted = self.0.get()?;
        Some(context()).filter(|context| context.is_sampled(wanted.ratio))
    }

    /// Hands over spans of what is durable.
    pub(crate) fn send(&self, spans: Vec<TraceSpan>) {
        if let Some(wanted) = self.0.get()
            && !spans.is_empty()
        {
            wanted.sink.take(spans);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_cut() {
        let whole = "ä".repeat(TEXT_CHARS_MAX);
        assert_eq!(TraceValue::from(whole.as_str()), TraceValue::Text(whole.clone()));
        assert_eq!(TraceValue::from(format!("{whole}x")), TraceValue::Text(whole));
    }
}
