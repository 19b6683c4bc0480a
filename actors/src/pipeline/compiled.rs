//! Conditions that wait for their step, compiled once: a condition is asked for every element of a list and at every
//! try, in every job with this text, while all actors wait.
//!
//! It is compiled where its file or its job is checked, and kept when a job with it is made. What is asked of those kept
//! depends on the text alone: which names are known where it stands was checked before.

use super::condition::Condition;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// About as many bytes are kept.
const COMPILED_BYTES_MAX: usize = 32 * 1024 * 1024;

static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(|| Mutex::new(Compiled::new(COMPILED_BYTES_MAX)));

/// Keeps it for when its step is about to run.
pub(super) fn keep(condition: &Arc<Condition>) {
    locked().keep(condition);
}

/// The condition with this text, if it is kept.
pub(super) fn kept(source: &str) -> Option<Arc<Condition>> {
    locked().get(source)
}

/// A panic in between cannot leave it in disorder: at worst the sum is too high, and less is kept.
fn locked() -> MutexGuard<'static, Compiled> {
    COMPILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Conditions by their texts, and when each was asked for last.
struct Compiled {
    conditions: HashMap<String, (Arc<Condition>, u64)>,
    bytes: usize,
    bytes_max: usize,
    /// How often one was asked for.
    asked: u64,
}

impl Compiled {
    fn new(bytes_max: usize) -> Self {
        Self {
            conditions: HashMap::new(),
            bytes: 0,
            bytes_max,
            asked: 0,
        }
    }

    fn get(&mut self, source: &str) -> Option<Arc<Condition>> {
        self.asked += 1;
        let (condition, asked) = self.conditions.get_mut(source)?;
        *asked = self.asked;
        Some(Arc::clone(condition))
    }

    fn keep(&mut self, condition: &Arc<Condition>) {
        if self.get(condition.source()).is_some() {
            return;
        }
        self.bytes += condition.len_bytes();
        while self.bytes > self.bytes_max && self.let_go() {}
        let kept = (Arc::clone(condition), self.asked);
        self.conditions.insert(condition.source().to_owned(), kept);
    }

    /// Lets go of the one that was asked for the longest ago.
    fn let_go(&mut self) -> bool {
        let oldest = self.conditions.iter().min_by_key(|(_, (_, asked))| *asked);
        let Some(source) = oldest.map(|(source, _)| source.clone()) else {
            return false;
        };
        if let Some((condition, _)) = self.conditions.remove(&source) {
            self.bytes -= condition.len_bytes();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::template::Scope;

    fn condition(source: &str) -> Arc<Condition> {
        let scope = Scope {
            item: true,
            ..Scope::default()
        };
        Arc::new(Condition::compile(source, &scope).unwrap())
    }

    #[test]
    fn so_many_bytes_of_conditions_are_kept_and_those_asked_for_last() {
        let [a, b, c] = ["index > 1", "index > 2", "index > 3"].map(condition);
        let mut compiled = Compiled::new(2 * a.len_bytes());
        compiled.keep(&a);
        compiled.keep(&b);
        compiled.keep(&a);
        assert_eq!(
            (compiled.conditions.len(), compiled.bytes),
            (2, 2 * a.len_bytes())
        );
        compiled.keep(&c);
        assert_eq!(
            (compiled.conditions.len(), compiled.bytes),
            (2, 2 * a.len_bytes())
        );
        assert!(
            compiled.get("index > 2").is_none(),
            "it was asked for the longest ago"
        );
        assert!(Arc::ptr_eq(&compiled.get("index > 1").unwrap(), &a));
        assert_eq!(COMPILED_BYTES_MAX, 32 * 1024 * 1024);
    }

    #[test]
    fn a_condition_with_large_patterns_weighs_as_much_as_they_do() {
        let (small, large) = (
            condition("re(item, \"^/tmp/\")"),
            condition("re(item, \"\\\\w{10}\")"),
        );
        assert!(large.len_bytes() > 4 * small.len_bytes(), "{}", large.len_bytes());
    }
}
