//! How a session goes on: resume, take the next command, send it, end it.

use super::*;

impl Session {
    pub(super) fn end(&self, code: &str, text: impl Into<String>, given: bool) -> Effect {
        Effect::End {
            session_id: self.record.session_id,
            reason: Reason::new(code, text),
            given,
        }
    }

    /// The command that was under way when the server stopped is made known to its host again. It was perhaps
    /// sent: its outcome is still to come.
    pub(super) fn resume(&mut self, now: Timestamp) -> Vec<Effect> {
        let running = |record: &CommandRecord| record.state == CommandState::Running;
        if !self.queue.front().is_some_and(running) {
            return Vec::new();
        }
        let Some(record) = self.queue.pop_front() else {
            return Vec::new();
        };
        let deadline = now.after(record.timeout);
        let flight = Flight::new(
            record.command_id,
            record.transfer_id(),
            record.call.clone(),
            deadline,
        );
        let cancelled = record.cancel_requested;
        self.current = Some(Current {
            record,
            place: Place::Flying(Box::new(flight)),
        });
        let mut effects = self.adopt_again(now);
        if cancelled {
            effects.extend(self.stop(Stop::Cancelled, now));
        }
        effects
    }

    /// Makes a command under way known to a Host actor that does not know it.
    pub(super) fn adopt_again(&mut self, now: Timestamp) -> Vec<Effect> {
        let session_id = Some(self.record.session_id);
        let Some(Current {
            record,
            place: Place::Flying(flight),
        }) = &mut self.current
        else {
            return Vec::new();
        };
        let adopt = flight.adopt(session_id, record.journal_id, now);
        adopt
            .map(|adopt| Effect::Host(ToHostEffect::Adopt(adopt)))
            .into_iter()
            .collect()
    }

    pub(super) fn submit(&mut self, record: CommandRecord, journal: Journal, now: Timestamp) -> Vec<Effect> {
        self.number_last = record.number;
        let idle = self.current.is_none();
        self.queue.push_back(record.clone());
        let mut effects = self.next(journal, now);
        if !idle || journal.is_none() {
            effects.insert(0, Effect::Persist(Box::new(record)));
        }
        effects
    }

    /// Begins with the next command, unless one is under way.
    pub(super) fn next(&mut self, journal: Journal, now: Timestamp) -> Vec<Effect> {
        if self.current.is_some() {
            return Vec::new();
        }
        match self.queue.pop_front() {
            Some(record) => self.start(record, journal, now, None),
            None => Vec::new(),
        }
    }

    /// Sends a command, or waits for its host; `ack` is an attempt of it whose end is in the record.
    pub(super) fn start(
        &mut self,
        mut record: CommandRecord,
        journal: Journal,
        now: Timestamp,
        ack: Option<CommandId>,
    ) -> Vec<Effect> {
        let ack = ack.map(|ack| Effect::Host(ToHostEffect::Ack(ack)));
        let Some(journal_id) = journal else {
            let waiting = CommandState::Pending;
            let changed = std::mem::replace(&mut record.state, waiting) != waiting;
            let persist = changed.then(|| Effect::Persist(Box::new(record.clone())));
            self.current = Some(Current {
                record,
                place: Place::Waiting { since: now },
            });
            return persist.into_iter().chain(ack).collect();
        };
        record.attempt += 1;
        record.command_id = CommandId::derive_interactive(record.session_id, record.number, record.attempt);
        record.state = CommandState::Running;
        record.started_at = Some(now);
        record.journal_id = record.mutates().then_some(journal_id);
        let execute = Execute {
            command_id: record.command_id,
            session_id: Some(record.session_id),
            transfer_id: record.transfer_id(),
            call: record.call.clone(),
            deadline: now.after(record.timeout),
            journal_id: record.journal_id,
        };
        let flight = Flight::new(
            execute.command_id,
            execute.transfer_id,
            execute.call.clone(),
            execute.deadline,
        );
        let persist = Effect::Persist(Box::new(record.clone()));
        self.current = Some(Current {
            record,
            place: Place::Flying(Box::new(flight)),
        });
        std::iter::once(persist)
            .chain(ack)
            .chain([Effect::Host(ToHostEffect::Execute(execute))])
            .collect()
    }

    /// Writes how the command under way ended, and goes on. `ack`: its host may forget it then.
    pub(super) fn finish(
        &mut self,
        state: CommandState,
        error: Option<Fault>,
        ack: Option<CommandId>,
        journal: Journal,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(Current { mut record, .. }) = self.current.take() else {
            return Vec::new();
        };
        end_record(&mut record, state, error, now);
        self.busy_until = now;
        let mut effects = vec![Effect::Persist(Box::new(record))];
        effects.extend(ack.map(|ack| Effect::Host(ToHostEffect::Ack(ack))));
        if self.closing {
            effects.push(self.closed());
        } else {
            effects.extend(self.next(journal, now));
        }
        effects
    }

    /// Ends at its caller's wish; the scheduler knows whose.
    pub(super) fn closed(&self) -> Effect {
        self.end("closed", "it was closed", false)
    }
}

/// Ends a command.
pub(super) fn end_record(
    record: &mut CommandRecord,
    state: CommandState,
    error: Option<Fault>,
    now: Timestamp,
) {
    record.state = state;
    record.error = error;
    record.journal_id = None;
    record.finished_at = Some(now);
}
