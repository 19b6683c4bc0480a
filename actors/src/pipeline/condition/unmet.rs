//! Why a condition does not hold: the first of its parts that does not, and what that looks at.
//!
//! The parts are what `&&` joins at the top. Each is evaluated by itself, as the interpreter would have come to it.

mod looked;
mod parts;

use super::need::conjuncts;
use super::{Condition, Failed, Match, PANICKED, ROOT, Variables, value_of};
use crate::pipeline::HostFacts;
use crate::pipeline::facts::Facts;
use cel::common::ast::IdedExpr;
use looked::{missing_field, seen_fields};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tripline_protocol::Event;
use tripline_protocol::api::{Shortfall, Unmet};

impl Condition {
    /// The first part that does not hold over an event and its host, if it has one; `None`: it holds.
    ///
    /// Where the whole is no, a part without a value is passed over: one that is false decides.
    pub(in crate::pipeline) fn unmet(&self, event: &Event, host: Option<&HostFacts>) -> Option<Unmet> {
        let is_error = match self.matches(event, host) {
            Match::Yes => return None,
            Match::No => false,
            Match::Error(_) => true,
        };
        let facts = Facts {
            event: Some(event),
            host,
            values: None,
        };
        let parts = conjuncts(&self.expression);
        let mut failed: Vec<(usize, Failed)> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            failed.extend(self.failure(part, &facts).map(|why| (index, why)));
        }
        let decides = |(_, why): &(usize, Failed)| matches!(why, Failed::Error(_)) == is_error;
        let at = failed.iter().position(decides).unwrap_or(0);
        let (index, why) = failed.into_iter().nth(at)?;
        let part = parts.get(index)?;
        Some(self.told((index, parts.len()), part, &facts, why))
    }

    /// Why one part does not hold, if it does not.
    fn failure(&self, part: &IdedExpr, facts: &Facts<'_>) -> Option<Failed> {
        let variables = Variables::new(facts, &self.regexes, self.square);
        catch_unwind(AssertUnwindSafe(|| {
            let mut context = ROOT.new_inner_scope();
            context.set_variable_resolver(&variables);
            value_of(part, &context).err()
        }))
        .unwrap_or_else(|_| Some(Failed::Error(PANICKED.to_owned())))
    }

    fn told(&self, (index, of): (usize, usize), part: &IdedExpr, facts: &Facts<'_>, why: Failed) -> Unmet {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut unmet = Unmet {
            part: parts::text(&self.source, index, of),
            number: number(index + 1),
            of: number(of),
            why: Shortfall::False,
            field: None,
            error: None,
            seen: seen_fields(part, facts),
        };
        match why {
            Failed::False => {}
            Failed::Missing(name) => {
                unmet.why = Shortfall::Missing;
                unmet.field = name.map(|name| missing_field(part, facts, &name).unwrap_or(name));
            }
            Failed::Error(error) => {
                unmet.why = Shortfall::Error;
                unmet.error = Some(error);
            }
        }
        unmet
    }
}
