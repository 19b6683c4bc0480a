//! Publications that somebody wants in a trace, until the broker has what they publish.

use crate::ports::PublishError;
use crate::trace::TraceSpan;
use std::collections::HashMap;
use tripline_protocol::Timestamp;

/// How many are kept: a broker that is away must not cost memory for traces.
const KEPT_MAX: usize = 10_000;

/// Spans by the numbers of their messages.
#[derive(Debug, Default)]
pub(super) struct Spans(HashMap<u64, Box<TraceSpan>>);

impl Spans {
    /// A message is under way. Beyond [`KEPT_MAX`] its span is dropped and counted.
    pub(super) fn add(&mut self, seq: u64, span: Option<Box<TraceSpan>>) {
        let Some(span) = span else { return };
        if self.0.len() < KEPT_MAX {
            self.0.insert(seq, span);
        } else {
            metrics::counter!("tripline_tracing_spans_dropped_total", "reason" => "queue_full").increment(1);
        }
    }

    /// Nobody publishes it any more.
    pub(super) fn withdrawn(&mut self, seq: u64) {
        self.0.remove(&seq);
    }

    /// The broker answered, or did not: the span, if that ends it.
    pub(super) fn published(
        &mut self,
        seq: u64,
        result: &Result<u64, PublishError>,
        now: Timestamp,
    ) -> Option<TraceSpan> {
        let failed = match result {
            Ok(_) => None,
            Err(PublishError::Permanent(_)) => Some("quarantined".to_owned()),
            Err(PublishError::Transient(_) | PublishError::OutOfTurn) => return None,
        };
        let span = *self.0.remove(&seq)?;
        Some(TraceSpan {
            ended_at: now,
            failed,
            ..span
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TraceKind;

    fn span() -> Option<Box<TraceSpan>> {
        Some(Box::new(TraceSpan {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: None,
            name: "outbox.result",
            kind: TraceKind::Producer,
            began_at: Timestamp::from_micros(5),
            ended_at: Timestamp::from_micros(5),
            attributes: Vec::new(),
            failed: None,
        }))
    }

    #[test]
    fn a_publication_ends_when_the_broker_has_it_or_never_will() {
        let (mut spans, now) = (Spans::default(), Timestamp::from_micros(9));
        spans.add(1, span());
        spans.add(2, span());
        spans.add(3, None);
        let away = Err(PublishError::Transient("away".into()));
        assert_eq!(spans.published(1, &away, now), None);
        let done = spans.published(1, &Ok(1), now).unwrap();
        assert_eq!((done.began_at.as_micros(), done.ended_at.as_micros()), (5, 9));
        assert_eq!(done.failed, None);
        let never = Err(PublishError::Permanent("too large".into()));
        let refused = spans.published(2, &never, now).unwrap();
        assert_eq!(refused.failed.as_deref(), Some("quarantined"));
        assert_eq!(spans.published(3, &Ok(1), now), None);
        assert!(spans.0.is_empty());
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let mut spans = Spans::default();
        for seq in 0..=KEPT_MAX as u64 {
            spans.add(seq, span());
        }
        assert_eq!(spans.0.len(), KEPT_MAX);
        let now = Timestamp::from_micros(9);
        assert_eq!(spans.published(KEPT_MAX as u64, &Ok(1), now), None);
    }
}
