//! What a client is to end: the commands of live response, the prohibited processes it reports, and when it was
//! last told.
//!
//! A scan of the client is measured by its own reports: the time between two reports of one process, by the
//! times in them, at least the check interval and at most a minute; ten seconds, the real client's default, before
//! two came. A process counts as reported for three scans.

use super::saved::{SavedKill, SentKill};
use super::table::Table;
use super::{Context, Key};
use tripline_protocol::littlebrother::{LocalTime, WireEvent};
use tripline_protocol::{CommandId, Span, Timestamp};

/// A scan before one was measured.
const SCAN_DEFAULT: Span = Span::from_secs(10);
/// No scan is taken to be longer.
const SCAN_MAX: Span = Span::from_secs(60);
/// Scans without a report after which a process is gone.
const SCANS_MISSED: u64 = 3;
/// How long a report is kept, so that the next one can be measured by it.
const REPORT_KEPT: Span = Span::from_secs(120);
/// Most prohibited processes remembered, the latest.
pub(super) const REPORTS_MAX: usize = 256;

/// A prohibited process that was reported.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) key: Key,
    pub(super) username: Option<Box<str>>,
    pub(super) at: Timestamp,
    event_time: LocalTime,
}

/// When a `KILL_PROCESS` was put into an answer.
#[derive(Debug)]
struct Sent {
    key: Key,
    at: Timestamp,
    answer: u64,
    /// For a command, so that a restart must not forget it.
    command: bool,
}

#[derive(Debug, Default)]
pub(super) struct Kills {
    kills: Vec<SavedKill>,
    sent: Vec<Sent>,
    reports: Vec<Report>,
    scan: Option<Span>,
}

impl Kills {
    pub(super) fn load(kills: Vec<SavedKill>, sent: Vec<SentKill>) -> Self {
        let sent = sent.into_iter().map(|SentKill { key, at }| Sent {
            key,
            at,
            answer: 0,
            command: true,
        });
        Self {
            kills,
            sent: sent.collect(),
            ..Self::default()
        }
    }

    pub(super) fn to_saved(&self) -> (Vec<SavedKill>, Vec<SentKill>) {
        let sent = self.sent.iter().filter(|sent| sent.command);
        let sent = sent.map(|Sent { key, at, .. }| SentKill { key: *key, at: *at });
        (self.kills.clone(), sent.collect())
    }

    pub(super) fn get(&self, command_id: CommandId) -> Option<&SavedKill> {
        self.kills.iter().find(|kill| kill.command_id == command_id)
    }

    pub(super) fn len(&self) -> usize {
        self.kills.len()
    }

    pub(super) fn add(&mut self, kill: SavedKill) {
        self.kills.push(kill);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, command_id: CommandId) -> bool {
        let before = self.kills.len();
        self.kills.retain(|kill| kill.command_id != command_id);
        self.kills.len() != before
    }

    /// Nothing waits for the client.
    pub(super) fn is_idle(&self) -> bool {
        self.kills.iter().all(|kill| kill.done)
    }

    /// How long a process counts as reported.
    pub(super) fn scans(&self) -> Span {
        let scan = self.scan.unwrap_or(SCAN_DEFAULT);
        Span::from_millis(scan.as_millis().saturating_mul(SCANS_MISSED))
    }

    /// The prohibited processes with this pid that are still reported.
    pub(super) fn reported_with(&self, pid: u32, now: Timestamp) -> impl Iterator<Item = &Report> {
        let scans = self.scans();
        self.reports
            .iter()
            .filter(move |report| report.key.pid == pid && now.since(report.at) <= scans)
    }

    pub(super) fn is_reported(&self, key: &Key, now: Timestamp) -> bool {
        self.reported_with(key.pid, now).any(|report| report.key == *key)
    }

    /// A prohibited process was reported.
    pub(super) fn report(&mut self, key: Key, event: &WireEvent, context: &Context<'_>) {
        let report = Report {
            key,
            username: event.username.as_deref().map(Box::from),
            at: context.now,
            event_time: event.event_time,
        };
        if let Some(at) = self.reports.iter().position(|known| known.key == key) {
            let last = self.reports.remove(at).event_time;
            self.measure(last, event.event_time, context.settings.check_interval);
        }
        if self.reports.len() >= REPORTS_MAX {
            self.reports.remove(0);
        }
        self.reports.push(report);
        for kill in self.kills.iter_mut().filter(|kill| kill.key == key && !kill.done) {
            if kill.reported_at.is_some() {
                kill.reported_at = Some(context.now);
                kill.quiet_since = Some(context.now);
            }
        }
    }

    fn measure(&mut self, last: LocalTime, this: LocalTime, least: Span) {
        let seconds = u64::try_from(this.naive_seconds() - last.naive_seconds()).unwrap_or(0);
        if seconds > 0 {
            self.scan = Some(Span::from_secs(seconds).min(SCAN_MAX).max(least));
        }
    }

    /// The process is gone: the commands that waited for it are done.
    pub(super) fn ended(&mut self, key: &Key) -> Vec<CommandId> {
        self.reports.retain(|report| report.key != *key);
        self.finish(|kill| kill.key == *key)
    }

    fn finish(&mut self, is_gone: impl Fn(&SavedKill) -> bool) -> Vec<CommandId> {
        let mut done = Vec::new();
        for kill in self.kills.iter_mut().filter(|kill| !kill.done) {
            if is_gone(kill) {
                kill.done = true;
                done.push(kill.command_id);
            }
        }
        done
    }

    /// Reports may have been missed: the client was started again, or was away since `last`.
    pub(super) fn note_gap(&mut self, last: Option<Timestamp>, restarted: bool, now: Timestamp) {
        let scan = self.scan.unwrap_or(SCAN_DEFAULT);
        let twice = Span::from_millis(scan.as_millis().saturating_mul(2));
        let away = last.is_none_or(|last| now.since(last) > twice);
        for kill in &mut self.kills {
            if away || restarted || kill.quiet_since.is_none() {
                kill.quiet_since = Some(now);
            }
        }
    }

    /// After a message: the commands whose processes are gone by what it did not hold.
    pub(super) fn missed(&mut self, table: &Table, now: Timestamp) -> Vec<CommandId> {
        let scans = self.scans();
        self.finish(|kill| {
            let quiet = kill.quiet_since.map_or(Span::ZERO, |since| now.since(since));
            // An entry that was there when the command came was ended since.
            !table.is_open(&kill.key) && (kill.reported_at.is_none() || quiet >= scans)
        })
    }

    /// What the client is to be told now because of commands.
    pub(super) fn due(&self, table: &Table, context: &Context<'_>) -> Vec<(Key, Option<Box<str>>)> {
        let (scans, spacing, now) = (self.scans(), context.settings.kill_process_delay, context.now);
        let mut due: Vec<(Key, Option<Box<str>>)> = Vec::new();
        for kill in self.kills.iter().filter(|kill| !kill.done) {
            let reported = kill.reported_at.is_some_and(|at| now.since(at) <= scans);
            let there = table.is_open(&kill.key) || reported;
            let early = self.sent_at(&kill.key).is_some_and(|at| at.after(spacing) > now);
            if there && !early && due.iter().all(|(key, _)| *key != kill.key) {
                due.push((kill.key, kill.username.clone()));
            }
        }
        due
    }

    /// A command waits for its end.
    pub(super) fn is_wanted(&self, key: &Key) -> bool {
        self.kills.iter().any(|kill| kill.key == *key && !kill.done)
    }

    fn sent_at(&self, key: &Key) -> Option<Timestamp> {
        self.sent.iter().find(|sent| sent.key == *key).map(|sent| sent.at)
    }

    /// Forgets what keeps nothing back any more.
    pub(super) fn forget_old(&mut self, context: &Context<'_>) {
        let (now, spacing) = (context.now, context.settings.kill_process_delay);
        self.sent.retain(|sent| sent.at.after(spacing) > now);
        let kept = self.scans().max(REPORT_KEPT);
        self.reports.retain(|report| now.since(report.at) <= kept);
        if self.reports.is_empty() && self.sent.is_empty() {
            (self.reports, self.sent) = (Vec::new(), Vec::new());
        }
    }

    /// It goes out with this answer.
    pub(super) fn note_sent(&mut self, key: Key, answer: u64, now: Timestamp) {
        let sent = Sent {
            key,
            at: now,
            answer,
            command: self.is_wanted(&key),
        };
        match self.sent.iter_mut().find(|sent| sent.key == key) {
            Some(known) => *known = sent,
            None => self.sent.push(sent),
        }
    }

    /// The answer was lost. `false`: the same went out again since.
    pub(super) fn unsend(&mut self, key: Key, answer: u64) -> bool {
        let again = self
            .sent
            .iter()
            .any(|sent| sent.key == key && sent.answer != answer);
        if !again {
            self.sent.retain(|sent| sent.key != key);
        }
        !again
    }
}
