//! What the ends of hosts mean for the others: canaries, the ramp, and pausing by itself.

use super::{Machine, canary_failed_reason};
use crate::fanout::record::{Phase, standing};
use tripline_protocol::HostId;
use tripline_protocol::fanout::{AutoPause, FanoutHostState};
use tripline_protocol::job::{Outcome, Reason};

impl Machine {
    /// A host's turn is over, as was written with its row up to entry `turn` of the history.
    pub(in crate::fanout) fn landed(&mut self, host: HostId, run: u32, outcome: Outcome, turn: u32) {
        let Some(member) = self.members.get(&host).copied() else {
            return;
        };
        // One whose row could not be read had an open job after all: what became of it is in its row again.
        let is_expected = member.run == run && !member.state.is_over();
        if !is_expected && !member.unreadable {
            return;
        }
        let is = standing(&self.record.history, turn, FanoutHostState::Ended(outcome), run);
        self.change(host, |member| {
            (member.state, member.run, member.unreadable) = (is.state, is.run, false);
        });
        if member.unreadable {
            return;
        }
        if turn >= self.record.counted_since() {
            self.note_end(outcome);
        }
        if self.is_canary(member.made_in) {
            self.canary_ended(outcome);
        } else if outcome == Outcome::Succeeded {
            self.wave += 1;
            self.widen();
        } else {
            self.wave = 0;
        }
        self.look_at_window();
    }

    fn canary_ended(&mut self, outcome: Outcome) {
        if outcome != Outcome::Succeeded {
            return self.pause_by_itself(canary_failed_reason());
        }
        self.canaries_well += 1;
        self.pass_canaries();
    }

    pub(super) fn pass_canaries(&mut self) {
        let canaries = self.record.plan.pace.canary.unwrap_or(0);
        if matches!(self.record.phase, Phase::Canary { .. }) && self.canaries_well >= canaries {
            self.leave_canaries();
        }
    }

    pub(super) fn leave_canaries(&mut self) {
        let width = self.record.plan.pace.canary.unwrap_or(1);
        self.wave = 0;
        self.record_mut().phase = Phase::Ramp { width };
    }

    /// Whether one of the canaries ended and did not succeed.
    pub(super) fn has_lost_a_canary(&self) -> bool {
        let mut canaries = self
            .members
            .values()
            .filter(|member| self.is_canary(member.made_in));
        canaries.any(
            |canary| matches!(canary.state, FanoutHostState::Ended(outcome) if outcome != Outcome::Succeeded),
        )
    }

    /// A wave as wide as it may be ended well: the next is wider.
    fn widen(&mut self) {
        let Phase::Ramp { width } = self.record.phase else {
            return;
        };
        if self.wave < width {
            return;
        }
        self.wave = 0;
        let wider = width.saturating_mul(self.record.plan.pace.ramp);
        let most = self.record.plan.pace.in_flight;
        self.record_mut().phase = match wider >= most {
            true => Phase::Wide,
            false => Phase::Ramp { width: wider },
        };
    }

    pub(super) fn note_end(&mut self, outcome: Outcome) {
        let Some(AutoPause { of, .. }) = self.record.plan.pace.auto_pause else {
            return;
        };
        match outcome {
            Outcome::Succeeded => self.window.push_back(false),
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => self.window.push_back(true),
            Outcome::Expired | Outcome::Cancelled => {}
        }
        while self.window.len() > of as usize {
            self.window.pop_front();
        }
    }

    pub(super) fn look_at_window(&mut self) {
        let Some(AutoPause { failed, .. }) = self.record.plan.pace.auto_pause else {
            return;
        };
        let count = self.window.iter().filter(|failed| **failed).count();
        if count >= failed as usize {
            let of = self.window.len();
            let text = format!("{count} of its last {of} jobs failed, timed out or were interrupted");
            self.pause_by_itself(Reason::new("auto_paused", text));
        }
    }

    /// Pauses, unless it is paused or there is nothing left to hold back.
    pub(super) fn pause_by_itself(&mut self, reason: Reason) {
        let goes_on = self.counts.pending > 0 || !self.record.resolved || self.record.plan.standing;
        if goes_on && self.record.paused.is_none() && self.record.closed().is_none() {
            self.pause(reason);
        }
    }
}
