//! Ending a command before its time: deadlines, cancellation, a host that is gone.

use super::*;

impl Session {
    /// Ends the job for the reason it was stopped for.
    pub(super) fn stopped(&mut self, stop: Stop, ack: Option<CommandId>) -> Vec<Effect> {
        match stop {
            Stop::Cancelled => {
                let text = match self.is_closing() {
                    false => "it was cancelled while it ran",
                    true => "they were cancelled",
                };
                self.end(Outcome::Cancelled, Reason::new("cancelled", text), ack)
            }
            Stop::JobTimeout => self.end(Outcome::TimedOut, self.timeout_reason(), ack),
            Stop::StepTimeout => {
                let reason = Reason::new("step_failed", "a step's outcome is unknown after its timeout");
                self.end(Outcome::Failed, reason, ack)
            }
        }
    }

    /// Begins to end the command under way. A stronger reason replaces a step's timeout.
    pub(super) fn stop(&mut self, stop: Stop) -> Vec<Effect> {
        let Some(in_flight) = &mut self.in_flight else {
            return self.stopped(stop, None);
        };
        match &mut in_flight.flight.stopping {
            Some((present @ Stop::StepTimeout, _)) => {
                *present = stop;
                Vec::new()
            }
            Some(_) => Vec::new(),
            None => {
                in_flight.flight.stop(stop, self.moment.now);
                let cancel = ToHostEffect::Cancel(in_flight.flight.command_id);
                vec![self.host(cancel)]
            }
        }
    }

    pub(super) fn tick(&mut self, grace: Span) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        match in_flight.flight.due(grace, self.moment.now) {
            Due::Nothing => Vec::new(),
            Due::HostGone => self.host_gone(),
            Due::Unconfirmed(stop) => self.unconfirmed(stop),
            // A step's deadline is never later than its job's.
            Due::Deadline if self.moment.now >= self.deadline.after(DEADLINE_MARGIN) => {
                self.stop(Stop::JobTimeout)
            }
            Due::Deadline => self.stop(Stop::StepTimeout),
        }
    }

    /// The host did not come back in time.
    pub(super) fn host_gone(&mut self) -> Vec<Effect> {
        let Some(in_flight) = &self.in_flight else {
            return Vec::new();
        };
        let abandon = self.host(ToHostEffect::Abandon(in_flight.flight.command_id));
        let mut effects = vec![abandon];
        let read_only = self.record.intent.is_none();
        if let Some((stop, _)) = in_flight.flight.stopping {
            let in_flight = self.in_flight.take();
            if let Some(in_flight) = in_flight {
                self.note_end(&in_flight, End::with_code("unknown", "host_gone"));
                if !read_only {
                    self.mark_interrupted(&in_flight, "host_gone");
                    self.record.intent = None;
                }
            }
            effects.extend(self.stopped(stop, None));
        } else if self.may_repeat(in_flight.step) {
            if let Some(in_flight) = self.in_flight.take() {
                self.note_end(&in_flight, End::with_code("unknown", "host_gone"));
            }
            // The last steps have waited for it as long as they do.
            effects.extend(match self.is_closing() {
                true => {
                    self.unbegin();
                    self.end(
                        Outcome::Interrupted,
                        Reason::new("host_gone", "its host is away"),
                        None,
                    )
                }
                false => self.give_back(None),
            });
        } else {
            effects.extend(self.unknown_outcome("host_gone", None));
        }
        effects
    }

    /// The host never confirmed the end of the command; it keeps the next job waiting until it does.
    pub(super) fn unconfirmed(&mut self, stop: Stop) -> Vec<Effect> {
        let Some(in_flight) = self.in_flight.take() else {
            return Vec::new();
        };
        let mut effects = vec![self.host(ToHostEffect::Abandon(in_flight.flight.command_id))];
        self.note_end(&in_flight, End::with_code("unknown", "not_confirmed"));
        let mutates = self.record.intent.take().is_some();
        if let Some(report) = self.record.reports.get_mut(in_flight.step) {
            report.status = if mutates {
                StepStatus::Interrupted
            } else {
                StepStatus::Failed
            };
            report.finished_at = Some(self.moment.now);
            report.error = Some(in_flight.flight.timeout());
        }
        effects.extend(match self.goes_on_after(in_flight.step, Some(stop)) {
            true => self.go_on_quietly(None),
            false => self.stopped(stop, None),
        });
        effects
    }
}
