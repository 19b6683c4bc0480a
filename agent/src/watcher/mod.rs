//! The pure state machine of a LittleBrother client: which processes count, what is reported of them, and which
//! of them are ended.
//!
//! Its driver scans processes, sends messages and ends processes, in a loop like this:
//!
//! - at start: [`Watcher::new`] with what was saved, then a first [`Watcher::scan`], then a first message;
//! - every scan interval (10 s): [`Watcher::looks`] and, with what was seen, [`Watcher::scan`], which may come later;
//! - every message interval (5 s), also when nothing waits: [`Watcher::next_message`], and then exactly one of
//!   [`Watcher::answered`] and [`Watcher::failed`];
//! - at [`Watcher::next_due`], or every second: [`Watcher::tick`];
//! - whenever the loop wakes later than it wanted: [`Watcher::overslept`], before anything else;
//! - when a process was ended or not: [`Watcher::kill_ended`];
//! - at a clean stop: [`Watcher::stop`], then messages while [`Watcher::has_waiting`].
//!
//! Each input returns effects to carry out in order. Delays are kept here: an [`Effect::Kill`] is due at once.
//!
//! Deliberately not here: I/O, clocks, async, `/proc`, signals, HTTP, frames and the statistics of a message.

mod answer;
mod effect;
mod input;
mod kills;
mod knowledge;
mod notice;
mod open;
mod outgoing;
mod present;
mod saved;
mod scanning;
mod settle;
mod silence;
#[cfg(test)]
mod tests;

pub use effect::{Effect, Kill, Why};
pub use input::{Failure, KillOutcome, Moment, Options, ProcessKey, Seen};
pub use notice::{Level, Notice};
pub use saved::Saved;

use crate::platform::Look;
use kills::Kills;
use knowledge::Knowledge;
use notice::Notices;
use open::{Open, Told};
use outgoing::Outgoing;
use present::Present;
use silence::Silence;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tripline_protocol::littlebrother::{ClientMessage, ClientStats, WireEvent};

/// How late a loop may wake without anything having happened.
const OVERSLEPT_MAX: Duration = Duration::from_secs(5);

/// A LittleBrother client without hands and clock.
#[derive(Debug)]
pub struct Watcher {
    options: Options,
    knowledge: Knowledge,
    open: Open,
    present: Present,
    outgoing: Outgoing,
    kills: Kills,
    silence: Silence,
    /// Uids that the scan looks at which is under way.
    looking_at: HashSet<u32>,
    /// Processes that counted at the last scan and were too many.
    left_out: usize,
    /// Of the outgoing events given up, how many were mentioned.
    dropped_said: u64,
    stopped: bool,
}

/// One input, with what it causes.
struct Turn {
    moment: Moment,
    notices: Notices,
    kills: Vec<Kill>,
    save: bool,
}

impl Turn {
    fn new(moment: Moment) -> Self {
        Self {
            moment,
            notices: Notices::default(),
            kills: Vec::new(),
            save: false,
        }
    }
}

impl Watcher {
    /// A client that starts now with what it was told in an earlier run, if it was. Its first message begins with
    /// `START_CLIENT`.
    pub fn new(options: Options, saved: Option<Saved>, moment: Moment) -> Self {
        let mut outgoing = Outgoing::new(&options.hostname);
        outgoing.start_client(moment.local);
        Self {
            knowledge: Knowledge::restore(&options.server_group, saved.unwrap_or_default()),
            open: Open::default(),
            present: Present::new(options.own_pid),
            outgoing,
            kills: Kills::default(),
            silence: Silence::new(moment.up),
            looking_at: HashSet::new(),
            left_out: 0,
            dropped_said: 0,
            stopped: false,
            options,
        }
    }

    /// How closely a scan that begins now has to look at whose processes; uids that are not in it need no look. One
    /// scan at a time: the next [`Self::scan`] is taken for this one.
    pub fn looks(&mut self) -> HashMap<u32, Look> {
        let looks = self.knowledge.looks(&self.options);
        self.looking_at = looks.keys().copied().collect();
        looks
    }

    /// The processes that the scan found which began with [`Self::looks`]. Those that began or ceased to count are
    /// reported, and what must not run.
    pub fn scan(&mut self, seen: &[Seen], moment: Moment) -> Vec<Effect> {
        let mut turn = Turn::new(moment);
        if !self.stopped {
            self.take_scan(seen, &mut turn);
        }
        self.finish(turn)
    }

    /// The loop woke so much later than it wanted: the machine was suspended or the agent stopped. Up to 5 s is
    /// nothing; more is downtime of all open processes, does not count as silence, and delays of kills wait as
    /// much longer.
    pub fn overslept(&mut self, by: Duration, moment: Moment) -> Vec<Effect> {
        let turn = Turn::new(moment);
        if by > OVERSLEPT_MAX && !self.stopped {
            self.silence.overslept(by, moment.up);
            self.kills.overslept(by);
            for (key, entry) in &mut self.open.0 {
                entry.downtime = entry.downtime.saturating_add(by);
                // An announcement says it too.
                if entry.told != Told::Nothing {
                    self.outgoing.downtime(*key, entry, moment.local);
                }
            }
        }
        self.finish(turn)
    }

    /// Time went on.
    pub fn tick(&mut self, moment: Moment) -> Vec<Effect> {
        self.finish(Turn::new(moment))
    }

    /// When [`Self::tick`] has something to do, if nothing else happens before.
    pub fn next_due(&self) -> Option<Duration> {
        if self.stopped {
            return None;
        }
        let max = self.knowledge.silence_max(&self.options);
        let silence = if self.knowledge.has_users() {
            self.silence.next_due(max, &self.options)
        } else {
            None
        };
        self.kills.next_due().into_iter().chain(silence).min()
    }

    /// The message to send now; its events are under way until [`Self::answered`] or [`Self::failed`]. A message
    /// taken while one is under way makes that one a failed one.
    pub fn next_message(&mut self, stats: Option<ClientStats>, moment: Moment) -> ClientMessage {
        self.outgoing.put_back(&mut self.open);
        ClientMessage {
            hostname: self.options.hostname.clone(),
            events: self.outgoing.take(&mut self.open, moment.local),
            client_stats: stats,
        }
    }

    /// The message was delivered, and this came back.
    pub fn answered(&mut self, events: &[WireEvent], moment: Moment) -> Vec<Effect> {
        let mut turn = Turn::new(moment);
        let fresh = self.outgoing.delivered();
        if self.silence.succeeded(moment.up, &mut turn.notices) {
            self.open.announce_all(&fresh);
        }
        if !self.stopped {
            self.take_answer(events, &mut turn);
        }
        self.finish(turn)
    }

    /// The message was not delivered, or could not even be sent. Its events go again with the next one.
    pub fn failed(&mut self, failure: Failure, moment: Moment) -> Vec<Effect> {
        let mut turn = Turn::new(moment);
        self.silence.failed(failure, &mut turn.notices);
        match failure {
            Failure::Refused => self.outgoing.refused(&mut self.open),
            Failure::Unreachable | Failure::WrongSecret => self.outgoing.put_back(&mut self.open),
        }
        self.finish(turn)
    }

    /// An [`Effect::Kill`] came to an end.
    pub fn kill_ended(&mut self, process: ProcessKey, outcome: KillOutcome, moment: Moment) -> Vec<Effect> {
        let mut turn = Turn::new(moment);
        self.take_outcome(process, outcome, &mut turn);
        self.finish(turn)
    }

    /// The server does not want processes watched any more (another `welcome`): forgets users, mappings and open
    /// processes. Should it want them again, the first message begins with `START_CLIENT`.
    pub fn dismissed(&mut self, moment: Moment) -> Vec<Effect> {
        let mut turn = Turn::new(moment);
        self.knowledge = Knowledge::nothing(&self.options.server_group);
        self.open = Open::default();
        self.present.replace(&[], HashSet::new());
        self.kills.clear();
        self.silence = Silence::new(moment.up);
        self.outgoing.clear();
        self.outgoing.start_client(moment.local);
        turn.save = true;
        self.finish(turn)
    }

    /// A clean stop: every open process is reported as ended, though it lives on, and nothing is ended any more.
    pub fn stop(&mut self, moment: Moment) {
        self.stopped = true;
        self.kills.clear();
        self.outgoing.put_back(&mut self.open);
        let turn = Turn::new(moment);
        let open: Vec<ProcessKey> = self.open.0.keys().copied().collect();
        for key in open {
            self.close(key, &turn);
        }
    }

    /// Whether events wait to be sent.
    pub fn has_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Events given up since the start, because too many waited or because the server refused them.
    pub fn dropped(&self) -> u64 {
        self.outgoing.dropped()
    }

    /// Processes that count and live, as far as the last scan knows.
    pub fn open_processes(&self) -> usize {
        self.open.0.len()
    }

    fn finish(&mut self, mut turn: Turn) -> Vec<Effect> {
        self.settle(&mut turn);
        self.outgoing.trim(&mut self.open);
        self.say_dropped(&mut turn.notices);
        let save = turn.save.then(|| Effect::Save(self.knowledge.to_saved()));
        let logs = turn.notices.into_list().into_iter().map(Effect::Log);
        let kills = turn.kills.into_iter().map(Effect::Kill);
        save.into_iter().chain(logs).chain(kills).collect()
    }

    fn say_dropped(&mut self, notices: &mut Notices) {
        let total = self.outgoing.dropped();
        if total > self.dropped_said {
            let events = total - self.dropped_said;
            notices.add(Notice::Dropped { events, total });
            self.dropped_said = total;
        }
    }
}
