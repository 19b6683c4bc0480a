//! Which processes are to be ended and when. One process is ended once at a time, however often it is asked for.

use super::{ProcessKey, Why};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after a failed attempt the next one may follow.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long after it should have ended an attempt without an outcome is given up.
const OUTCOME_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Planned {
    username: String,
    why: Why,
    /// When it is asked for; `None` after an attempt.
    due: Option<Duration>,
    /// Not before.
    not_before: Duration,
    /// Under way until its outcome is known, at the latest then.
    under_way: Option<Duration>,
}

impl Planned {
    fn fires_at(&self) -> Option<Duration> {
        match self.under_way {
            Some(_) => None,
            None => self.due.map(|due| due.max(self.not_before)),
        }
    }
}

/// A kill whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) process: ProcessKey,
    pub(super) username: String,
    pub(super) why: Why,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Kills(BTreeMap<ProcessKey, Planned>);

impl Kills {
    /// Asks for an end at `due`. Repeats change nothing, but the earliest time asked for counts. What is asked for
    /// while an attempt is under way counts if that fails.
    pub(super) fn plan(&mut self, process: ProcessKey, username: &str, why: Why, due: Duration) {
        let planned = self.0.entry(process).or_insert_with(|| Planned {
            username: username.to_owned(),
            why,
            due: None,
            not_before: Duration::ZERO,
            under_way: None,
        });
        if planned.due.is_none_or(|earlier| due < earlier) {
            username.clone_into(&mut planned.username);
            planned.why = why;
            planned.due = Some(due);
        }
    }

    /// Takes out what is due. Each is followed by [`Self::begun`] or [`Self::forget`].
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<Due> {
        self.0.retain(|_, planned| {
            planned.due.is_some() || planned.under_way.is_some() || planned.not_before > now
        });
        let is_due = |planned: &Planned| planned.fires_at().is_some_and(|at| at <= now);
        let due = |(process, planned): (&ProcessKey, &Planned)| Due {
            process: *process,
            username: planned.username.clone(),
            why: planned.why,
        };
        self.0
            .iter()
            .filter(|(_, planned)| is_due(planned))
            .map(due)
            .collect()
    }

    /// An attempt begins that takes `duration` at most.
    pub(super) fn begun(&mut self, process: ProcessKey, now: Duration, duration: Duration) {
        if let Some(planned) = self.0.get_mut(&process) {
            planned.due = None;
            planned.under_way = Some(now.saturating_add(duration).saturating_add(OUTCOME_WITHIN));
        }
    }

    /// The login a kill that is under way was asked for with.
    pub(super) fn under_way(&self, process: ProcessKey) -> Option<String> {
        let planned = self.0.get(&process)?;
        planned.under_way.map(|_| planned.username.clone())
    }

    /// The attempt came to nothing.
    pub(super) fn failed(&mut self, process: ProcessKey, now: Duration) {
        if let Some(planned) = self.0.get_mut(&process) {
            planned.under_way = None;
            planned.not_before = now.saturating_add(RETRY_AFTER);
        }
    }

    /// There is nothing to end any more; who wanted it, if anybody did.
    pub(super) fn forget(&mut self, process: ProcessKey) -> Option<Why> {
        self.0.remove(&process).map(|planned| planned.why)
    }

    /// Attempts without an outcome in time: they count as failed.
    pub(super) fn without_outcome(&mut self, now: Duration) -> Vec<ProcessKey> {
        let late = |planned: &Planned| planned.under_way.is_some_and(|until| until <= now);
        let late: Vec<ProcessKey> = self
            .0
            .iter()
            .filter(|(_, planned)| late(planned))
            .map(|(process, _)| *process)
            .collect();
        late.iter().for_each(|process| self.failed(*process, now));
        late
    }

    /// What waits, by process, with the login it was asked for. Not what is under way.
    pub(super) fn waiting(&self) -> Vec<(ProcessKey, String)> {
        let waits = |planned: &&Planned| planned.due.is_some() && planned.under_way.is_none();
        self.0
            .iter()
            .filter(|(_, planned)| waits(planned))
            .map(|(process, planned)| (*process, planned.username.clone()))
            .collect()
    }

    /// Nobody ran so long: nobody could react either, so everything waits as much longer.
    pub(super) fn overslept(&mut self, by: Duration) {
        for planned in self.0.values_mut() {
            planned.due = planned.due.map(|due| due.saturating_add(by));
            planned.under_way = planned.under_way.map(|until| until.saturating_add(by));
        }
    }

    /// When the next is due, or an outcome overdue.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.0
            .values()
            .filter_map(|planned| planned.fires_at().or(planned.under_way))
            .min()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
