//! Which trace something belongs to, and the ids of its spans.

use crate::record::JobRecord;
use sha2::{Digest, Sha256};
use tripline_protocol::{Event, EventKey};

/// What a span tells of; with its id that is the span's id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Event,
    Decision,
    Job,
    Attempt,
    Command,
    Result,
}

impl Of {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Event => b"event",
            Self::Decision => b"decision",
            Self::Job => b"job",
            Self::Attempt => b"attempt",
            Self::Command => b"command",
            Self::Result => b"result",
        }
    }

    /// The same for the same thing, whoever asks.
    pub(super) fn id(self, parts: &[&[u8]]) -> [u8; 8] {
        let mut hash = Sha256::new_with_prefix(self.word());
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let id = digest.first_chunk::<8>().copied().unwrap_or_default();
        // The one id that is none.
        if id == [0; 8] { [1; 8] } else { id }
    }
}

/// A trace: its id, who began it, and whether that one wants its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace_id: [u8; 16],
    pub(super) parent: Option<[u8; 8]>,
    sampled: Option<bool>,
}

impl Context {
    /// An event without a trace begins one, whose id is the event's key.
    pub(super) fn of_event(event: &Event) -> Self {
        Self::of(event.traceparent.as_deref(), || *event.key.as_bytes())
    }

    /// The trace of its event; that of a submitted job has the job's id.
    pub(super) fn of_job(record: &JobRecord) -> Self {
        Self::of(record.traceparent.as_deref(), || match key(record) {
            Some(key) => *key.as_bytes(),
            None => *record.job_id.as_bytes(),
        })
    }

    fn of(traceparent: Option<&str>, begun: impl FnOnce() -> [u8; 16]) -> Self {
        traceparent.and_then(parse).unwrap_or_else(|| Self {
            trace_id: begun(),
            parent: None,
            sampled: None,
        })
    }

    /// Whether its spans are wanted: as whoever began the trace decided, otherwise `ratio` of all traces, by their id.
    pub(super) fn is_sampled(&self, ratio: f64) -> bool {
        self.sampled.unwrap_or_else(|| {
            let (_, low) = self.trace_id.split_at(8);
            let low = low.first_chunk::<8>().copied().unwrap_or_default();
            // 0 is none, and 1 is all: the largest number is below it.
            (u64::from_be_bytes(low) as f64) < ratio * 2f64.powi(64) || ratio >= 1.0
        })
    }
}

/// The key of the event that a job is for.
pub(super) fn key(record: &JobRecord) -> Option<EventKey> {
    let event = record.event.as_ref()?;
    Some(EventKey::derive(&record.org, &event.source, &event.id))
}

/// W3C Trace Context: `00-<trace id>-<parent id>-<flags>`; later versions may have more behind that.
fn parse(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let version: [u8; 1] = hex(parts.next()?)?;
    let trace_id: [u8; 16] = hex(parts.next()?)?;
    let parent: [u8; 8] = hex(parts.next()?)?;
    let [flags] = hex(parts.next()?)?;
    let is_whole = version != [0] || parts.next().is_none();
    let legal = version != [0xff] && trace_id != [0; 16] && parent != [0; 8] && is_whole;
    legal.then_some(Context {
        trace_id,
        parent: Some(parent),
        sampled: Some(flags & 1 == 1),
    })
}

fn hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    if text.len() != 2 * LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_gives_the_trace_its_parent_and_whether_it_is_wanted() {
        let context = parse(PARENT).unwrap();
        assert_eq!(context.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(context.parent.unwrap()[6..], [0x02, 0xb7]);
        assert!(context.is_sampled(0.0));
        let unwanted = PARENT.replace("-01", "-00");
        assert!(!parse(&unwanted).unwrap().is_sampled(1.0));
        assert!(parse(&format!("{}-more", PARENT.replacen("00", "01", 1))).is_some());
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-äääääääääääääääää-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_ratio_is_that_part_of_the_traces_nobody_decided_on() {
        let context = |low: u64| {
            let mut trace_id = [7; 16];
            trace_id[8..].copy_from_slice(&low.to_be_bytes());
            Context::of(None, || trace_id)
        };
        assert!(!context(0).is_sampled(0.0));
        assert!(context(u64::MAX).is_sampled(1.0));
        assert!(context(u64::MAX / 8).is_sampled(0.25));
        assert!(!context(u64::MAX / 2).is_sampled(0.25));
    }

    #[test]
    fn ids_differ_by_what_they_tell_of_and_by_how_it_is_cut_into_parts() {
        let ids = [
            Of::Event.id(&[b"ab", b"c"]),
            Of::Event.id(&[b"a", b"bc"]),
            Of::Decision.id(&[b"ab", b"c"]),
            Of::Job.id(&[b"ab", b"c"]),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(Of::Job.id(&[b"x"]), Of::Job.id(&[b"x"]));
    }
}
