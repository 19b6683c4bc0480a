//! The decisions of a service's actor: what goes out when, what becomes of it, and when its health is asked for. Pure: no
//! actor, no clock, no calls; chance is handed in.
//!
//! The breaker: calls that fail in a row open it, and then nothing goes out but `health`, after pauses that grow. Once that
//! is answered, one message is tried; when that is answered, all go out again.

use super::queue::{Item, Queue};
use super::verdict::Verdict;
use crate::retry::spread;
use tripline_protocol::api::{Breaker, ServiceSpec, ServiceState};
use tripline_protocol::{Span, Timestamp};

/// Calls that fail in a row before no more are made.
pub(crate) const FAILURES_MAX: u32 = 5;
/// Messages that are given up at once because they are too old.
const EXPIRED_MAX: usize = 64;
/// How often a service that answers is asked for its health.
pub(crate) const HEALTH_EVERY: Span = Span::from_secs(300);
/// The first pause before a message is delivered again, or a service that failed is asked again; each further one is
/// twice as long,
const PAUSE: Span = Span::from_secs(1);
/// up to this.
const PAUSE_MAX: Span = Span::from_secs(300);

/// What is to go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// `health`.
    Health,
    /// The message of this number.
    Deliver(u64),
}

/// What becomes of a message after a call, or after too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Delivered.
    Delivered,
    /// Delivered, and the service will not do it.
    Refused,
    /// Never delivered; the word says why.
    GivenUp(&'static str),
    /// It waits until then, after so many attempts.
    Rests { not_before: Timestamp, attempts: u32 },
    /// It waits as before: the call says nothing about it.
    Held,
    /// It is none that waits.
    Unknown,
}

/// What stands in the way of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { failures: u32 },
    Open,
    HalfOpen,
    Misconfigured,
}

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    attempts: u32,
    give_up_after: Span,
    in_flight: usize,
}

impl From<&ServiceSpec> for Patience {
    fn from(spec: &ServiceSpec) -> Self {
        Self {
            attempts: spec.attempts,
            give_up_after: spec.give_up_after,
            in_flight: spec.in_flight as usize,
        }
    }
}

/// The state of a service's actor.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) queue: Queue,
    patience: Patience,
    phase: Phase,
    /// Pauses in a row.
    troubles: u32,
    health_at: Timestamp,
    is_asking: bool,
    /// Whether it said what it wants. Before that nothing goes out.
    pub(crate) is_known: bool,
    /// Since when its state is what it is.
    pub(crate) since: Timestamp,
}

impl Machine {
    /// Nothing waits yet, and its health is wanted at once.
    pub(crate) fn new(patience: Patience, now: Timestamp) -> Self {
        Self {
            queue: Queue::default(),
            patience,
            phase: Phase::Closed { failures: 0 },
            troubles: 0,
            health_at: now,
            is_asking: false,
            is_known: true,
            since: now,
        }
    }

    /// The service is another one from now on: what was known of it counts no more.
    pub(crate) fn change(&mut self, patience: Patience, now: Timestamp) {
        self.patience = patience;
        self.troubles = 0;
        self.enter(Phase::Closed { failures: 0 }, now);
        self.hurry(now);
    }

    /// What waits for its time waits no more.
    pub(crate) fn hurry(&mut self, now: Timestamp) {
        self.health_at = now;
        self.queue.wake(now);
    }

    /// What goes out now. To be asked until there is nothing.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Next> {
        if !self.is_asking && self.health_at <= now {
            self.is_asking = true;
            return Some(Next::Health);
        }
        let room = match self.phase {
            _ if !self.is_known => 0,
            Phase::Closed { .. } => self.patience.in_flight,
            Phase::HalfOpen => 1,
            Phase::Open | Phase::Misconfigured => 0,
        };
        if self.queue.flying() >= room {
            return None;
        }
        let next = match self.phase {
            Phase::HalfOpen => self.queue.newest(now),
            _ => self.queue.next(now),
        };
        next.map(Next::Deliver)
    }

    /// What a call about a message came to. `chance` spreads the pauses.
    pub(crate) fn ended(&mut self, seq: u64, verdict: &Verdict, now: Timestamp, chance: u64) -> End {
        self.learn(verdict, now, chance);
        let Some(item) = self.queue.get(seq) else {
            return End::Unknown;
        };
        match verdict {
            Verdict::Done => self.end(seq, End::Delivered),
            Verdict::Refused(_) => self.end(seq, End::Refused),
            Verdict::Rejected(_) => self.end(seq, End::GivenUp("rejected")),
            Verdict::Again(_) | Verdict::Failed(_) => {
                let attempts = item.attempts + 1;
                let not_before = now.after(spread(PAUSE, PAUSE_MAX, attempts, chance));
                self.again(seq, item.queued_at, attempts, not_before)
            }
            Verdict::Unsigned | Verdict::Forbidden(_) => {
                self.queue.rest(seq, now, false);
                End::Held
            }
        }
    }

    fn again(&mut self, seq: u64, queued_at: Timestamp, attempts: u32, not_before: Timestamp) -> End {
        if attempts >= self.patience.attempts {
            return self.end(seq, End::GivenUp("attempts"));
        }
        if not_before >= queued_at.after(self.patience.give_up_after) {
            return self.end(seq, End::GivenUp("too_old"));
        }
        let attempts = self.queue.rest(seq, not_before, true);
        End::Rests { not_before, attempts }
    }

    fn end(&mut self, seq: u64, end: End) -> End {
        self.queue.remove(seq);
        end
    }

    /// Messages that have waited for too long, some of them at once; they are removed.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<(u64, Item)> {
        let mut old = self.queue.older(now.before(self.patience.give_up_after));
        old.truncate(EXPIRED_MAX);
        self.remove(old)
    }

    /// Removes messages that are not under way.
    pub(crate) fn remove(&mut self, seqs: Vec<u64>) -> Vec<(u64, Item)> {
        let items = seqs.into_iter();
        items
            .filter_map(|seq| Some((seq, self.queue.remove(seq)?)))
            .collect()
    }

    /// What asking for its health came to.
    pub(crate) fn health_ended(&mut self, verdict: &Verdict, now: Timestamp, chance: u64) {
        self.is_asking = false;
        match verdict {
            Verdict::Done => {
                self.health_at = now.after(HEALTH_EVERY);
                // It is there: what fails now is likely a message that it cannot take, and others wait.
                self.troubles = self.troubles.min(1);
                match self.phase {
                    Phase::Closed { .. } => {}
                    // There is nothing to try it with.
                    _ if self.queue.is_empty() => self.close(now),
                    _ => self.enter(Phase::HalfOpen, now),
                }
            }
            Verdict::Unsigned => self.fail(Phase::Misconfigured, now, chance),
            _ if self.phase == Phase::Misconfigured => self.fail(Phase::Misconfigured, now, chance),
            _ => self.fail(Phase::Open, now, chance),
        }
    }

    /// It was asked for its health before it was changed: that says nothing of what it is now, and it is asked anew.
    pub(crate) fn health_of_before(&mut self, now: Timestamp) {
        self.is_asking = false;
        self.hurry(now);
    }

    /// What a call about a message says of the service.
    fn learn(&mut self, verdict: &Verdict, now: Timestamp, chance: u64) {
        match (verdict, self.phase) {
            (verdict, Phase::Closed { .. }) if verdict.is_answer() => {
                self.phase = Phase::Closed { failures: 0 };
            }
            (verdict, _) if verdict.is_answer() => self.close(now),
            (Verdict::Unsigned, Phase::Misconfigured) => {}
            (Verdict::Unsigned, _) => self.fail(Phase::Misconfigured, now, chance),
            (Verdict::Failed(_), Phase::Closed { failures }) if failures + 1 < FAILURES_MAX => {
                self.phase = Phase::Closed {
                    failures: failures + 1,
                };
            }
            (_, Phase::Closed { .. } | Phase::HalfOpen) => self.fail(Phase::Open, now, chance),
            // What was under way when the breaker opened.
            _ => {}
        }
    }

    fn close(&mut self, now: Timestamp) {
        self.troubles = 0;
        self.enter(Phase::Closed { failures: 0 }, now);
    }

    /// Nothing goes out until its health is answered, which is asked for after a pause.
    fn fail(&mut self, phase: Phase, now: Timestamp, chance: u64) {
        self.troubles = self.troubles.saturating_add(1);
        self.health_at = now.after(spread(PAUSE, PAUSE_MAX, self.troubles, chance));
        self.enter(phase, now);
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        if self.state() != state(phase) {
            self.since = now;
        }
        self.phase = phase;
    }

    pub(crate) const fn state(&self) -> ServiceState {
        state(self.phase)
    }

    pub(crate) const fn breaker(&self) -> Breaker {
        match self.phase {
            Phase::Closed { .. } => Breaker::Closed,
            Phase::HalfOpen => Breaker::HalfOpen,
            Phase::Open | Phase::Misconfigured => Breaker::Open,
        }
    }
}

const fn state(phase: Phase) -> ServiceState {
    match phase {
        Phase::Closed { .. } => ServiceState::Up,
        Phase::Open | Phase::HalfOpen => ServiceState::Down,
        Phase::Misconfigured => ServiceState::Misconfigured,
    }
}
