//! Trying again what failed: after how long, and whether a job that ended so may begin anew.
//!
//! The wait grows with every try, up to a bound, and is spread by chance, so that what failed together is not tried
//! again together. The chance is handed in: it follows from the ids of the job and its step, so that a wait that is
//! decided again after a crash is the same.

use crate::clock::clock_text;
use crate::record::{Ending, JobRecord, Rest, reports};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::step::{Retry, Step, StepReport, StepStatus};
use tripline_protocol::{CommandId, JobId, Span, Timestamp};

/// Why a job waits out a back-off.
pub(crate) const BACKING_OFF: &str = "backing_off";

/// A number that is as good as one by chance, for try `tries` of a job's step; of the job itself without one.
pub(crate) fn chance(job_id: JobId, step: Option<usize>, tries: u32) -> u64 {
    let step = step.map_or(usize::MAX, |step| step);
    let id = CommandId::derive(job_id, step, tries);
    let (first, _) = id.as_bytes().split_at(8);
    first
        .iter()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// How long is waited after so many tries: the back-off, twice as long after each further try, at most the longest;
/// of that the half, and by `chance` up to the whole.
pub(crate) fn backoff(retry: &Retry, tries: u32, chance: u64) -> Span {
    spread(retry.backoff, retry.longest(), tries, chance)
}

/// The same of a pause that begins with `first` and grows up to `longest`.
pub(crate) fn spread(first: Span, longest: Span, tries: u32, chance: u64) -> Span {
    let doublings = tries.saturating_sub(1).min(32);
    let whole = first.as_millis().saturating_mul(1 << doublings);
    let whole = whole.min(longest.as_millis());
    let half = whole / 2;
    Span::from_millis(half + chance % (whole - half + 1))
}

impl JobRecord {
    /// Makes it begin anew after a while, if its end is one after which it is tried again. Never when nobody knows how
    /// a command ended that must not be run twice.
    pub(crate) fn begin_anew(&mut self, outcome: Outcome, reason: &Reason, now: Timestamp) -> Option<Rest> {
        self.fold_copies();
        let retry = self.retry.as_ref().filter(|retry| retry.takes(outcome))?;
        let tries = self.retries + 1;
        let over = self.started_at.is_none()
            || self.ending.is_some()
            || self.cancel_requested
            // It was sent before the server stopped, and nobody has asked for it since.
            || self.intent.is_some()
            || tries >= retry.attempts;
        if over || self.has_unknown_outcome() {
            return None;
        }
        let wait = backoff(retry, tries, chance(self.job_id, None, tries));
        let not_before = now.after(wait);
        if not_before >= self.begins_until() {
            return None;
        }
        let text = format!(
            "try {tries} of {}: {}; it begins anew at {}",
            retry.attempts,
            reason.text,
            clock_text(not_before)
        );
        self.retries = tries;
        self.last_try = Some(Ending {
            outcome,
            reason: reason.clone(),
            until: None,
        });
        self.reset();
        let rest = Rest {
            not_before,
            reason: Reason::new(BACKING_OFF, text),
        };
        self.rest = Some(rest.clone());
        Some(rest)
    }

    /// Whether nobody knows how one of its commands ended that must not be run twice.
    fn has_unknown_outcome(&self) -> bool {
        let unknown = |report: &StepReport| report.status == StepStatus::Interrupted;
        let may_repeat = |index| self.step(index).is_some_and(Step::may_repeat);
        let mut reports = self.reports.iter().enumerate();
        reports.any(|(index, report)| unknown(report) && !may_repeat(index))
    }

    /// As if none of its steps had begun. Its attempts count on, so that no command has an id of an earlier one.
    fn reset(&mut self) {
        self.loops.clear();
        let old = std::mem::replace(&mut self.reports, reports(&self.steps, self.finally));
        self.dropped
            .extend(old.into_iter().filter_map(|report| report.artifact));
        self.intent = None;
        self.deadline = None;
        self.rests = self.attempt.saturating_sub(self.pauses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn retry(backoff: u64, longest: Option<u64>) -> Retry {
        Retry {
            attempts: 10,
            backoff: Span::from_millis(backoff),
            backoff_max: longest.map(Span::from_millis),
            on: Vec::new(),
        }
    }

    /// Doubled one by one.
    fn slowly(backoff: u64, longest: u64, tries: u32) -> u64 {
        (1..tries).fold(backoff.min(longest), |wait, _| (wait * 2).min(longest))
    }

    proptest! {
        #[test]
        fn a_back_off_is_between_the_half_and_the_whole_of_what_doubling_gives(
            start in 1_u64..3_600_000, more in 0_u64..86_400_000, tries in 1_u32..60, chance in any::<u64>()
        ) {
            let longest = start + more;
            let whole = slowly(start, longest, tries);
            let wait = backoff(&retry(start, Some(longest)), tries, chance).as_millis();
            prop_assert!((whole / 2..=whole).contains(&wait), "{wait} of {whole}");
            let least = backoff(&retry(start, Some(longest)), tries, 0).as_millis();
            prop_assert_eq!(least, whole / 2);
        }
    }

    #[test]
    fn a_back_off_without_a_longest_one_has_its_default() {
        let wait = |start, tries| backoff(&retry(start, None), tries, 0).as_millis();
        assert_eq!(wait(10_000, 40), 150_000, "half of five minutes");
        assert_eq!(wait(3_600_000, 40), 1_800_000, "half of what it begins with");
    }

    #[test]
    fn jobs_that_fail_together_are_not_tried_again_together() {
        let waits = (0..100_u128).map(|n| {
            let chance = chance(JobId(Uuid::from_u128(n)), Some(0), 1);
            backoff(&retry(60_000, None), 1, chance).as_millis()
        });
        let mut waits: Vec<u64> = waits.collect();
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 90, "{} different waits", waits.len());
        assert!(waits.last().unwrap() - waits.first().unwrap() > 20_000);
    }

    #[test]
    fn the_same_try_of_the_same_step_waits_as_long_when_it_is_decided_again() {
        let job = JobId(Uuid::from_u128(7));
        assert_eq!(chance(job, Some(1), 2), chance(job, Some(1), 2));
        assert_ne!(chance(job, Some(1), 2), chance(job, Some(1), 3));
        assert_ne!(chance(job, Some(1), 2), chance(job, None, 2));
    }
}
