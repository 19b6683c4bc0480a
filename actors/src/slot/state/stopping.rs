//! Ending a command before its time: deadlines, cancellation, a host that is gone.

use super::*;

impl Session {
    /// Ends the job for the reason it was stopped for.
    pub(super) fn stopped(&self, stop: Stop, ack: Option<CommandId>) -> Vec<Effect> {
        match stop {
            Stop::Cancelled => self.end(
                Outcome::Cancelled,
                Reason::new("cancelled", "it was cancelled while it ran"),
                ack,
            ),
            Stop::JobTimeout => self.end(Outcome::TimedOut, self.timeout_reason(), ack),
            Stop::StepTimeout => {
                let reason = Reason::new("step_failed", "a step's outcome is unknown after its timeout");
                self.end(Outcome::Failed, reason, ack)
            }
        }
    }

    /// Begins to end the command under way. A stronger reason replaces a step's timeout.
    pub(super) fn stop(&mut self, stop: Stop, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return self.stopped(stop, None);
        };
        match &mut in_flight.stopping {
            Some((present @ Stop::StepTimeout, _)) => {
                *present = stop;
                Vec::new()
            }
            Some(_) => Vec::new(),
            None => {
                in_flight.stopping = Some((stop, now.after(CONFIRM_WITHIN)));
                let cancel = ToHostEffect::Cancel(in_flight.command_id);
                vec![self.host(cancel)]
            }
        }
    }

    pub(super) fn tick(&mut self, grace: Span, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        if in_flight.spilling.is_some() {
            return Vec::new();
        }
        if in_flight
            .lost_since
            .is_some_and(|since| now.since(since) >= grace)
        {
            return self.host_gone(now);
        }
        if let Some((stop, until)) = in_flight.stopping {
            return if now >= until {
                self.unconfirmed(stop, now)
            } else {
                Vec::new()
            };
        }
        if now >= self.deadline.after(DEADLINE_MARGIN) {
            return self.stop(Stop::JobTimeout, now);
        }
        if now >= in_flight.deadline.after(DEADLINE_MARGIN) {
            return self.stop(Stop::StepTimeout, now);
        }
        Vec::new()
    }

    /// The host did not come back in time.
    pub(super) fn host_gone(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        let abandon = self.host(ToHostEffect::Abandon(in_flight.command_id));
        let mut effects = vec![abandon];
        let read_only = self.record.intent.is_none();
        if let Some((stop, _)) = in_flight.stopping {
            let in_flight = self.in_flight.take();
            if let Some(in_flight) = in_flight.filter(|_| !read_only) {
                self.mark_interrupted(&in_flight, "host_gone", now);
            }
            effects.extend(self.stopped(stop, None));
        } else if self.may_repeat(in_flight.step) {
            self.in_flight = None;
            effects.extend(self.give_back(None));
        } else {
            effects.extend(self.unknown_outcome("host_gone", None, now, None));
        }
        effects
    }

    /// The host never confirmed the end of the command; it keeps the next job waiting until it does.
    pub(super) fn unconfirmed(&mut self, stop: Stop, now: Timestamp) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        let mut effects = vec![self.host(ToHostEffect::Abandon(in_flight.command_id))];
        let mutates = self.record.intent.take().is_some();
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = if mutates {
                StepStatus::Interrupted
            } else {
                StepStatus::Failed
            };
            report.finished_at = Some(now);
            report.error = Some(step_timeout(&in_flight));
        }
        effects.extend(self.stopped(stop, None));
        effects
    }
}

pub(super) fn step_timeout(in_flight: &InFlight) -> Fault {
    Fault::timeout(
        "command_timeout",
        format!("{} did not end in time", in_flight.call.verb()),
    )
}
