//! What a host does with a command: the script that a test writes for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tripline_protocol::Fault;
use tripline_protocol::verb::Verb;

/// What a host does with one command.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Carries it out at once. What is not scripted is done like this.
    Answer,
    /// Carries it out when this time has passed; a deadline or a cancellation before that ends it.
    After(Duration),
    /// Carries it out when it gets a permit, which it keeps; ends like [`Self::After`].
    When(Arc<Semaphore>),
    /// Fails with this, and changes nothing.
    Fail(Fault),
    /// Begins and does not end, not even at its deadline; confirms a cancellation.
    Never,
    /// Begins, loses the connection without a word, carries it out meanwhile, and comes back with the result.
    DropConnection,
    /// Loses the connection with the command unread, and comes back not knowing of it: it is sent again.
    Miss,
    /// Begins, and dies of it; what comes back is another agent, without the journal of the first.
    Die,
    /// Loses the connection when so many bytes of the file are through, in either direction.
    CutAfter(u64),
    /// Says that what it sent or wrote had another SHA-256.
    WrongHash,
}

/// The behaviours to come, of each verb.
#[derive(Debug, Default)]
pub(super) struct Script {
    once: HashMap<Verb, VecDeque<Behaviour>>,
    always: HashMap<Verb, Behaviour>,
}

impl Script {
    /// For the next commands of a verb, one each, after those that were said before.
    pub(super) fn next(&mut self, verb: Verb, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.once.entry(verb).or_default().extend(behaviours);
    }

    /// For all commands of a verb that nothing else is said for.
    pub(super) fn always(&mut self, verb: Verb, behaviour: Behaviour) {
        self.always.insert(verb, behaviour);
    }

    /// What to do with a command that has come.
    pub(super) fn take(&mut self, verb: Verb) -> Behaviour {
        let once = self.once.get_mut(&verb).and_then(VecDeque::pop_front);
        once.or_else(|| self.always.get(&verb).cloned())
            .unwrap_or(Behaviour::Answer)
    }
}
