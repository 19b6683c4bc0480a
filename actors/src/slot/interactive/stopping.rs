//! Ending before its time: a command that is cancelled or late, a session that is closed or that nobody uses,
//! a host that is gone.

use super::progress::end_record;
use super::reports::cancelled;
use super::*;

impl Session {
    /// Ends a command that waits, or begins to end the one under way. `None`: it is not open.
    pub(super) fn cancel(
        &mut self,
        number: u32,
        by: &str,
        journal: Journal,
        now: Timestamp,
    ) -> Option<(CommandRecord, Vec<Effect>)> {
        if let Some(index) = self.queue.iter().position(|record| record.number == number) {
            let mut record = self.queue.remove(index)?;
            record.cancelled_by = Some(by.to_owned());
            end_record(&mut record, CommandState::Cancelled, Some(cancelled()), now);
            let persist = Effect::Persist(Box::new(record.clone()));
            return Some((record, vec![persist]));
        }
        let current = self
            .current
            .as_mut()
            .filter(|current| current.record.number == number)?;
        // The first who wanted it is the one who had it ended.
        current.record.cancelled_by.get_or_insert_with(|| by.to_owned());
        let mut ended = current.record.clone();
        if matches!(current.place, Place::Waiting { .. }) {
            end_record(&mut ended, CommandState::Cancelled, Some(cancelled()), now);
            let effects = self.finish(CommandState::Cancelled, Some(cancelled()), None, journal, now);
            return Some((ended, effects));
        }
        current.record.cancel_requested = true;
        let record = current.record.clone();
        let mut effects = vec![Effect::Persist(Box::new(record.clone()))];
        effects.extend(self.stop(Stop::Cancelled, now));
        Some((record, effects))
    }

    /// Begins to end the command under way. A caller's wish is stronger than a deadline.
    pub(super) fn stop(&mut self, stop: Stop, now: Timestamp) -> Vec<Effect> {
        let Some(Current {
            place: Place::Flying(flight),
            ..
        }) = &mut self.current
        else {
            return Vec::new();
        };
        match &mut flight.stopping {
            Some((present, _)) => {
                if stop == Stop::Cancelled {
                    *present = stop;
                }
                Vec::new()
            }
            None => {
                flight.stop(stop, now);
                vec![Effect::Host(ToHostEffect::Cancel(flight.command_id))]
            }
        }
    }

    /// Takes nothing more, cancels what waits and what runs, and ends when nothing runs any more.
    pub(super) fn close(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.closing {
            return Vec::new();
        }
        self.closing = true;
        let mut effects = Vec::new();
        for mut record in std::mem::take(&mut self.queue) {
            end_record(&mut record, CommandState::Cancelled, Some(cancelled()), now);
            effects.push(Effect::Persist(Box::new(record)));
        }
        match &self.current {
            None => effects.push(self.closed()),
            Some(Current {
                place: Place::Waiting { .. },
                ..
            }) => effects.extend(self.finish(CommandState::Cancelled, Some(cancelled()), None, None, now)),
            Some(_) => effects.extend(self.stop(Stop::Cancelled, now)),
        }
        effects
    }

    pub(super) fn tick(
        &mut self,
        grace: Span,
        lease: Lease,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        match &self.current {
            None => self.idle(lease, now),
            Some(Current {
                place: Place::Waiting { since },
                ..
            }) => {
                let over = now.since(*since) >= grace;
                self.waited(over, journal, now)
            }
            Some(Current {
                place: Place::Flying(flight),
                ..
            }) => match flight.due(grace, now) {
                Due::Nothing => Vec::new(),
                Due::HostGone => self.host_gone(journal, now),
                Due::Unconfirmed(stop) => self.unconfirmed(stop, journal, now),
                Due::Deadline => self.stop(Stop::Deadline, now),
            },
        }
    }

    /// Nobody asked for anything for a while, and nothing runs.
    fn idle(&self, lease: Lease, now: Timestamp) -> Vec<Effect> {
        let used = lease.last_request.max(self.busy_until);
        let unused = now.since(used);
        let limit = self.record.idle_timeout;
        if unused >= limit {
            return vec![self.end("idle", format!("nobody used it for {limit}"), false)];
        }
        if lease.wanted && unused >= IDLE_WHEN_WANTED {
            let text = format!("nobody used it for {IDLE_WHEN_WANTED}, and others waited for a slot");
            return vec![self.end("idle", text, true)];
        }
        Vec::new()
    }

    /// The next command waits for its host.
    fn waited(&mut self, over: bool, journal: Journal, now: Timestamp) -> Vec<Effect> {
        if journal.is_some()
            && let Some(Current { record, .. }) = self.current.take()
        {
            return self.start(record, journal, now, None);
        }
        if over {
            let fault = host_offline();
            return self.finish(CommandState::Failed, Some(fault), None, journal, now);
        }
        Vec::new()
    }

    /// The host did not come back in time.
    fn host_gone(&mut self, journal: Journal, now: Timestamp) -> Vec<Effect> {
        let Some(Current {
            record,
            place: Place::Flying(flight),
        }) = &self.current
        else {
            return Vec::new();
        };
        let abandon = Effect::Host(ToHostEffect::Abandon(flight.command_id));
        let repeatable = record.may_repeat() && flight.stopping.is_none();
        let rest = if repeatable {
            self.finish(CommandState::Failed, Some(host_offline()), None, journal, now)
        } else {
            self.unknown_outcome("host_gone", None, journal, now)
        };
        std::iter::once(abandon).chain(rest).collect()
    }

    /// The host never confirmed the end of the command; it keeps the next one waiting until it does.
    fn unconfirmed(&mut self, stop: Stop, journal: Journal, now: Timestamp) -> Vec<Effect> {
        let Some(Current {
            record,
            place: Place::Flying(flight),
        }) = &self.current
        else {
            return Vec::new();
        };
        let abandon = Effect::Host(ToHostEffect::Abandon(flight.command_id));
        let rest = match stop {
            Stop::Deadline => {
                let fault = flight.timeout();
                self.finish(CommandState::Failed, Some(fault), None, journal, now)
            }
            Stop::Cancelled if record.mutates() => self.unknown_outcome("unconfirmed", None, journal, now),
            Stop::Cancelled => self.finish(CommandState::Cancelled, Some(cancelled()), None, journal, now),
        };
        std::iter::once(abandon).chain(rest).collect()
    }
}

fn host_offline() -> Fault {
    Fault::timeout("host_offline", "its host was away and did not come back in time")
}
