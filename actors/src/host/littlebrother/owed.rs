//! What waits for a client, and what of it is under way in answers.
//!
//! Not a list of events but of reasons for them: an answer that was lost gives its reasons back, and what has
//! lost its meaning since is not sent.

use super::{Key, OUTGOING_MAX};
use std::collections::{BTreeSet, VecDeque};
use tripline_protocol::Timestamp;

/// How many successive answers bring the configuration and the mapping: no answer is acknowledged.
const COPIES: u8 = 2;
/// Most answers under way; an older one counts as lost.
const UNDER_WAY_MAX: usize = 32;

/// A prohibited process to be ended because it was reported.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) key: Key,
    pub(super) username: Option<Box<str>>,
    /// When it was reported.
    pub(super) at: Timestamp,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Answers that are still to bring configuration and mapping.
    pub(super) config: u8,
    pub(super) start_master: bool,
    /// Processes to be announced to the client.
    pub(super) replay: BTreeSet<Key>,
    /// Prohibited processes that were just reported.
    pub(super) prohibited: VecDeque<Prompt>,
    /// All open processes are to be announced.
    pub(super) replay_all: bool,
}

impl Owed {
    /// Also when an answer with them was lost: the two that bring them have to follow each other.
    pub(super) fn config_again(&mut self) {
        self.config = COPIES;
    }

    /// Everything the client has to be told that has just been started, or was away.
    pub(super) fn introduce(&mut self) {
        self.config_again();
        self.replay_all = true;
    }

    /// A prohibited process to be ended now. `false`: too much waits.
    pub(super) fn prohibit(&mut self, prompt: Prompt) -> bool {
        if let Some(known) = self.prohibited.iter_mut().find(|known| known.key == prompt.key) {
            known.at = known.at.max(prompt.at);
            return true;
        }
        if self.prohibited.len() >= OUTGOING_MAX {
            return false;
        }
        self.prohibited.push_back(prompt);
        true
    }

    /// The process is gone.
    pub(super) fn ended(&mut self, key: &Key) {
        self.replay.remove(key);
        self.prohibited.retain(|prompt| prompt.key != *key);
    }
}

/// A `KILL_PROCESS` in an answer.
#[derive(Debug)]
pub(super) struct KillUnderWay {
    pub(super) key: Key,
    pub(super) username: Option<Box<str>>,
    /// Of the report it answers; `None`: it repeats a command.
    pub(super) reported_at: Option<Timestamp>,
    /// When the same was sent before.
    pub(super) before: Option<Timestamp>,
}

/// What is in an answer under way.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) config: bool,
    pub(super) start_master: bool,
    pub(super) replay: Vec<Key>,
    pub(super) kills: Vec<KillUnderWay>,
}

impl Content {
    fn is_empty(&self) -> bool {
        !self.config && !self.start_master && self.replay.is_empty() && self.kills.is_empty()
    }
}

/// The answers under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    last: u64,
    answers: VecDeque<(u64, Content)>,
}

impl UnderWay {
    /// The number of the next answer; none of them meant another answer before a restart.
    pub(super) fn next(&mut self, now: Timestamp) -> u64 {
        let now = u64::try_from(now.as_micros()).unwrap_or(0);
        self.last = now.max(self.last + 1);
        self.last
    }

    /// An answer goes out; one that has been under way for too long comes back.
    pub(super) fn add(&mut self, number: u64, content: Content) -> Option<(u64, Content)> {
        if content.is_empty() {
            return None;
        }
        self.answers.push_back((number, content));
        match self.answers.len() > UNDER_WAY_MAX {
            true => self.answers.pop_front(),
            false => None,
        }
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Content> {
        let at = self.answers.iter().position(|(known, _)| *known == number)?;
        let (_, content) = self.answers.remove(at)?;
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
        Some(content)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}
