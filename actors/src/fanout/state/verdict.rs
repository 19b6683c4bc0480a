//! How a fan-out ends.

use super::Machine;
use crate::fanout::record::CHUNK_HOSTS_MAX;
use tripline_protocol::fanout::FanoutOutcome;
use tripline_protocol::job::{Outcome, Reason};

impl Machine {
    /// How it ends, when no host waits or is in flight, and none can come.
    pub(in crate::fanout) fn conclusion(&self) -> Option<(FanoutOutcome, Reason)> {
        let (record, counts) = (&self.record, &self.counts);
        let takes_more = record.closed().is_none() && (!record.resolved || record.plan.standing);
        match counts.pending + counts.in_flight > 0 || takes_more {
            true => None,
            false => Some(self.verdict()),
        }
    }

    fn verdict(&self) -> (FanoutOutcome, Reason) {
        let (record, counts, hosts) = (&self.record, &self.counts, self.members.len());
        let wrong = counts.failed + counts.timed_out + counts.interrupted;
        let ends = |outcome, code: &str, text: String| (outcome, Reason::new(code, text));
        if let Some(failure) = &record.failure {
            (FanoutOutcome::Failed, failure.clone())
        } else if record.closed() == Some(Outcome::Cancelled) {
            let text = match record.resolved {
                true => "it was cancelled",
                false => "it was cancelled before all of its hosts were found",
            };
            ends(FanoutOutcome::Cancelled, "cancelled", text.to_owned())
        } else if self.lost_lists > 0 {
            let text = format!(
                "{} lists of at most {CHUNK_HOSTS_MAX} of its hosts cannot be read: which had no turn is not known",
                self.lost_lists
            );
            ends(FanoutOutcome::Failed, "hosts_lost", text)
        } else if hosts == 0 && record.resolved && !record.plan.standing {
            let text = "its target selects no host".to_owned();
            ends(FanoutOutcome::Failed, "no_hosts", text)
        } else if wrong > 0 {
            let text = format!("on {wrong} of {hosts} hosts it went wrong");
            ends(FanoutOutcome::Failed, "hosts_failed", text)
        } else if !record.resolved {
            let text = "its time was over before all of its hosts were found".to_owned();
            ends(FanoutOutcome::Expired, "expired", text)
        } else if counts.expired > 0 && !record.plan.standing {
            let text = format!("{} hosts had no turn in time", counts.expired);
            ends(FanoutOutcome::Expired, "expired", text)
        } else {
            let full = record.full.as_ref().map(|full| format!("; {}", full.text));
            let text = format!("no host is left{}", full.unwrap_or_default());
            ends(FanoutOutcome::Succeeded, "completed", text)
        }
    }
}
