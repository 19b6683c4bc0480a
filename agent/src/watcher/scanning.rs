//! What a scan changes: which processes began to count, which no longer do, and which must not run.

use super::knowledge::Verdict;
use super::open::{Entry, Told};
use super::present::Target;
use super::{Notice, ProcessKey, Seen, Turn, Watcher};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is to be said of a process that was seen.
struct Found {
    login: String,
    name: String,
    verdict: Verdict,
}

impl Watcher {
    pub(super) fn take_scan(&mut self, seen: &[Seen], turn: &mut Turn) {
        self.present.replace(seen, std::mem::take(&mut self.looking_at));
        let found = self.judge(seen);
        self.end_missing(&found, turn);
        self.begin_new(&found, turn);
        self.report_prohibited(&found, turn);
        self.answer_gone(turn);
    }

    fn judge(&self, seen: &[Seen]) -> BTreeMap<ProcessKey, Found> {
        let mut found = BTreeMap::new();
        for seen in seen.iter().filter(|seen| !self.present.is_protected(seen.pid)) {
            if let Some((login, verdict)) = self.knowledge.verdict(seen, &self.options) {
                let is = Found {
                    login: login.to_owned(),
                    name: seen.name.clone(),
                    verdict,
                };
                found.insert(seen.key(), is);
            }
        }
        found
    }

    /// Open processes that are gone, do not count any more, or are another user's by now. Those of users whose
    /// processes were not looked at wait for the next scan.
    fn end_missing(&mut self, found: &BTreeMap<ProcessKey, Found>, turn: &Turn) {
        let later = self.knowledge.logins_with(|uid| !self.present.has_looked_at(uid));
        let stays = |key: &ProcessKey, entry: &Entry| match (found.get(key), &entry.username) {
            (Some(found), login) => {
                found.verdict == Verdict::Counts && login.as_ref().is_none_or(|login| *login == found.login)
            }
            (None, Some(login)) => later.contains(login.as_str()),
            (None, None) => !later.is_empty(),
        };
        let missing = self.open.0.iter().filter(|(key, entry)| !stays(key, entry));
        let missing: Vec<ProcessKey> = missing.map(|(key, _)| *key).collect();
        for key in missing {
            self.close(key, turn);
        }
    }

    fn begin_new(&mut self, found: &BTreeMap<ProcessKey, Found>, turn: &mut Turn) {
        let mut left_out = 0;
        let counting = found.iter().filter(|(_, found)| found.verdict == Verdict::Counts);
        for (key, Found { login, name, .. }) in counting {
            if let Some(entry) = self.open.0.get_mut(key) {
                entry.username.get_or_insert_with(|| login.clone());
                entry.name.get_or_insert_with(|| name.clone());
            } else if self.open.is_full() {
                left_out += 1;
            } else {
                self.open.0.insert(*key, new_entry(login, name));
                self.outgoing.process_start(*key, login, name, turn.moment.local);
            }
        }
        if left_out > 0 && self.left_out == 0 {
            turn.notices.add(Notice::TooManyProcesses { left_out });
        }
        self.left_out = left_out;
    }

    fn report_prohibited(&mut self, found: &BTreeMap<ProcessKey, Found>, turn: &Turn) {
        let prohibited = found
            .iter()
            .filter(|(_, found)| found.verdict == Verdict::Prohibited);
        for (key, Found { login, name, .. }) in prohibited {
            self.outgoing.prohibited(*key, login, name, turn.moment.local);
        }
    }

    /// Whoever waits for the end of a process that ended by itself is told so.
    fn answer_gone(&mut self, turn: &Turn) {
        for (key, username) in self.kills.waiting() {
            if let Target::Gone = self.present.target(key, &username, &self.knowledge) {
                self.give_up_kill(key, &username, turn);
            }
        }
    }
}

fn new_entry(login: &str, name: &str) -> Entry {
    Entry {
        username: Some(login.to_owned()),
        name: Some(name.to_owned()),
        downtime: Duration::ZERO,
        told: Told::Waiting,
        announce: false,
    }
}
