//! What is due after each input: kills whose time has come, and what too long a silence means.

use super::present::{Living, Target};
use super::{Kill, KillOutcome, Notice, ProcessKey, Turn, Watcher, Why};

impl Watcher {
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        if self.stopped {
            return;
        }
        self.check_silence(turn);
        for process in self.kills.without_outcome(turn.moment.up) {
            let problem = "nobody says how it went".to_owned();
            turn.notices.add(Notice::NotKilled { process, problem });
        }
        for due in self.kills.take_due(turn.moment.up) {
            match self.present.target(due.process, &due.username, &self.knowledge) {
                Target::Found(living) => self.fire(due.process, living, due.username, due.why, turn),
                Target::Gone => self.give_up_kill(due.process, &due.username, turn),
                Target::Unknown => self.spare(due.process, "the last scan did not look at it", turn),
                Target::Spared(why) => self.spare(due.process, why, turn),
            }
        }
    }

    fn spare(&mut self, process: ProcessKey, why: &str, turn: &mut Turn) {
        self.kills.forget(process);
        let problem = why.to_owned();
        turn.notices.add(Notice::NotKilled { process, problem });
    }

    /// Open processes are ended at every opportunity while there is no server. What must not run is not among
    /// them: whether it is ended is the server's choice, and it may have chosen to be told only.
    fn check_silence(&mut self, turn: &mut Turn) {
        let max = self.knowledge.silence_max(&self.options);
        let now = turn.moment.up;
        let watches = self.knowledge.has_users();
        if !watches || !self.silence.check(now, max, &self.options, &mut turn.notices) {
            return;
        }
        for key in self.open.0.keys() {
            let living = self.present.get(*key);
            if let Some(login) = living.and_then(|living| self.knowledge.watched(living.uid)) {
                self.kills.plan(*key, login, Why::Silence, now);
            }
        }
    }

    fn fire(&mut self, process: ProcessKey, living: Living, username: String, why: Why, turn: &mut Turn) {
        let kill_delay = self.options.kill_delay;
        self.kills.begun(process, turn.moment.up, kill_delay);
        turn.notices.add(Notice::Killing {
            process,
            username: username.clone(),
            why,
        });
        turn.kills.push(Kill {
            process,
            start_exact: living.start_exact,
            uid: living.uid,
            username,
            kill_delay,
            why,
        });
    }

    /// There is nothing to end: whoever ordered it is told so.
    pub(super) fn give_up_kill(&mut self, key: ProcessKey, username: &str, turn: &Turn) {
        match self.kills.forget(key) {
            Some(Why::Ordered) => self.is_gone(key, username, turn),
            Some(Why::Silence) | None => {
                self.close(key, turn);
            }
        }
    }

    pub(super) fn take_outcome(&mut self, process: ProcessKey, outcome: KillOutcome, turn: &mut Turn) {
        let Some(username) = self.kills.under_way(process) else {
            return;
        };
        match outcome {
            KillOutcome::Ended => {
                self.present.remove(process);
                self.kills.forget(process);
                self.close(process, turn);
            }
            KillOutcome::Gone => {
                self.present.remove(process);
                self.give_up_kill(process, &username, turn);
            }
            KillOutcome::Failed(problem) => {
                self.kills.failed(process, turn.moment.up);
                turn.notices.add(Notice::NotKilled { process, problem });
            }
        }
    }
}
