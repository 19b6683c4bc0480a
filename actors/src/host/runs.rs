//! Which processes came with one agent's key: one that comes back after another one came shows that both live, and so
//! that two machines have the key.
//!
//! A process that ends never comes back, and a process that lost its connection is the same one: neither is taken for
//! a clone. Deliberately not here: what is told of it, and to whom.

use std::collections::VecDeque;
use tripline_protocol::api::AgentPlace;
use tripline_protocol::{Span, Timestamp};
use uuid::Uuid;

/// How long the one that is served keeps its place against one that comes back.
pub(super) const HOLD: Span = Span::from_secs(60);
/// Processes that are remembered beside the present one.
const PAST_MAX: usize = 16;

#[derive(Debug)]
struct Run {
    run_id: Uuid,
    place: AgentPlace,
    since: Timestamp,
}

/// A process came back although another one came meanwhile.
#[derive(Debug, PartialEq)]
pub(super) struct Returned {
    /// The one that is served instead, or was until now.
    pub(super) other: AgentPlace,
    /// Whether that one keeps its place.
    pub(super) held: bool,
}

/// The processes that came.
#[derive(Debug, Default)]
pub(super) struct Runs {
    present: Option<Run>,
    past: VecDeque<Run>,
}

impl Runs {
    /// An agent says hello. Agents that name no run are not told apart.
    pub(super) fn arrive(
        &mut self,
        run_id: Option<Uuid>,
        place: AgentPlace,
        now: Timestamp,
    ) -> Option<Returned> {
        let run_id = run_id?;
        if let Some(present) = self.present.as_mut().filter(|run| run.run_id == run_id) {
            present.place = place;
            return None;
        }
        let known = self.past.iter().position(|run| run.run_id == run_id);
        let returned = known.and(self.present.as_ref()).map(|present| Returned {
            other: present.place.clone(),
            held: now.since(present.since) < HOLD,
        });
        if returned.as_ref().is_some_and(|returned| returned.held) {
            return returned;
        }
        if let Some(at) = known {
            self.past.remove(at);
        }
        let since = now;
        let run = Run { run_id, place, since };
        self.past.extend(self.present.replace(run));
        if self.past.len() > PAST_MAX {
            self.past.pop_front();
        }
        returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((1000 + seconds) * 1_000_000)
    }

    fn place(address: &str) -> AgentPlace {
        AgentPlace {
            address: Some(address.to_owned()),
            hostname: "amelie".to_owned(),
        }
    }

    fn arrive(runs: &mut Runs, run: u128, seconds: i64) -> Option<Returned> {
        runs.arrive(
            Some(Uuid::from_u128(run)),
            place(&format!("10.0.0.{run}")),
            at(seconds),
        )
    }

    #[test]
    fn a_restarted_agent_and_one_that_lost_its_connection_are_no_clones() {
        let mut runs = Runs::default();
        for (run, seconds) in [(1, 0), (1, 5), (2, 10), (2, 11), (3, 12), (4, 13)] {
            assert_eq!(arrive(&mut runs, run, seconds), None);
        }
        assert_eq!(runs.arrive(None, place("x"), at(14)), None);
    }

    #[test]
    fn one_that_comes_back_is_a_clone_and_waits_until_the_other_was_served_for_a_while() {
        let mut runs = Runs::default();
        assert_eq!(arrive(&mut runs, 1, 0), None);
        assert_eq!(arrive(&mut runs, 2, 10), None);
        let other = |n: u128, held| {
            Some(Returned {
                other: place(&format!("10.0.0.{n}")),
                held,
            })
        };
        assert_eq!(arrive(&mut runs, 1, 11), other(2, true));
        assert_eq!(arrive(&mut runs, 1, 69), other(2, true));
        assert_eq!(
            arrive(&mut runs, 2, 69),
            None,
            "the one that is served may come again"
        );
        assert_eq!(arrive(&mut runs, 1, 70), other(2, false));
        assert_eq!(arrive(&mut runs, 2, 71), other(1, true));
        assert_eq!(arrive(&mut runs, 2, 130), other(1, false));
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let mut runs = Runs::default();
        for run in 0..100 {
            arrive(&mut runs, run, 0);
        }
        assert_eq!(runs.past.len(), PAST_MAX);
        assert_eq!(arrive(&mut runs, 1, 1), None);
        assert!(arrive(&mut runs, 98, 2).is_some());
    }
}
