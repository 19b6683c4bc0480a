//! One fan-out: which host has its turn when, and what its hosts' ends mean for the others.
//!
//! Pure: takes `now`, knows no store. What it decides about many hosts changes its record ([`Machine::take_changed`]);
//! what happens to one host is a row that the shell and the scheduler write. From both [`Machine::restore`] makes it
//! again, wherever it stopped.

use super::record::{FanoutRecord, HostRow, Phase, Turn, standing};
use std::collections::{BTreeSet, HashMap, VecDeque};
use tripline_protocol::fanout::{AutoPause, FanoutCounts, FanoutHostState, FanoutOutcome};
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{HostId, Timestamp};

/// Microseconds of a minute.
const MINUTE_MICROS: i64 = 60_000_000;

/// A host of a fan-out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Its place among the hosts, as they were found.
    pub(super) order: u32,
    pub(super) state: FanoutHostState,
    pub(super) run: u32,
    /// In which turn its last job was made.
    made_in: Option<u32>,
    attached: bool,
}

/// A host as the store has it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) host_id: HostId,
    /// Up to which entry of the history it was found.
    pub(super) turn: u32,
    pub(super) row: Option<HostRow>,
    pub(super) attached: bool,
}

/// A fan-out that has not ended.
#[derive(Debug)]
pub(super) struct Machine {
    record: FanoutRecord,
    changed: bool,
    members: HashMap<HostId, Member>,
    /// Those that wait and are attached, in order.
    ready: BTreeSet<(u32, HostId)>,
    counts: FanoutCounts,
    /// Open jobs on hosts that are attached.
    placed: u32,
    /// Canaries that had their turn, and that succeeded.
    canaries: u32,
    canaries_well: u32,
    /// Jobs of the present wave that ended well.
    wave: u32,
    /// The last ends that `auto_pause` counts: whether each failed.
    window: VecDeque<bool>,
    /// Before then no job is made.
    not_before: Option<Timestamp>,
}

impl Machine {
    /// One that has no hosts yet.
    pub(super) fn new(record: FanoutRecord) -> Self {
        Self {
            record,
            changed: false,
            members: HashMap::new(),
            ready: BTreeSet::new(),
            counts: FanoutCounts::default(),
            placed: 0,
            canaries: 0,
            canaries_well: 0,
            wave: 0,
            window: VecDeque::new(),
            not_before: None,
        }
    }

    /// What the store has of it.
    pub(super) fn restore(record: FanoutRecord, hosts: impl IntoIterator<Item = Known>) -> Self {
        let mut machine = Self::new(record);
        let since = machine.record.counted_since();
        let (mut ends, mut canary_failed, mut last_made) = (Vec::new(), false, None);
        for known in hosts {
            let (written, state, run) = match &known.row {
                Some(row) => (row.turn, row.state, row.run),
                None => (known.turn, FanoutHostState::Pending, 0),
            };
            let is = standing(&machine.record.history, written, state, run);
            let made = known.row.as_ref().and_then(|row| row.made);
            let made_in = made.map(|made| made.since);
            machine.add(known.host_id, (is.state, is.run), made_in, known.attached);
            let Some(row) = known.row else { continue };
            last_made = last_made.max(made.map(|made| made.at));
            if is.by.is_none() && machine.is_canary(made_in) && is.state != FanoutHostState::Skipped {
                machine.canaries += 1;
                machine.canaries_well += u32::from(is.state == succeeded());
                canary_failed |= is.state.is_over() && is.state != succeeded();
            }
            if row.turn >= since
                && made.is_some()
                && let (FanoutHostState::Ended(outcome), Some(at)) = (row.state, row.finished_at)
            {
                ends.push((at, outcome));
            }
        }
        ends.sort_by_key(|(at, _)| *at);
        ends.into_iter()
            .for_each(|(_, outcome)| machine.note_end(outcome));
        machine.not_before = last_made.and_then(|at| machine.after(at));
        machine.pass_canaries();
        if canary_failed {
            machine.pause_by_itself(canary_failed_reason());
        }
        machine.look_at_window();
        machine
    }

    pub(super) fn record(&self) -> &FanoutRecord {
        &self.record
    }

    /// For what its shell alone knows: cursors and ends. What is changed is to be written.
    pub(super) fn record_mut(&mut self) -> &mut FanoutRecord {
        self.changed = true;
        &mut self.record
    }

    /// Whether the record is to be written.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The same; it is written then.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn counts(&self) -> FanoutCounts {
        FanoutCounts {
            hosts: self.members.len() as u64,
            offline: self.counts.pending.saturating_sub(self.ready.len() as u64),
            ..self.counts
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn member(&self, host: HostId) -> Option<&Member> {
        self.members.get(&host)
    }

    /// All hosts, in the order they were found.
    pub(super) fn in_order(&self) -> Vec<(HostId, Member)> {
        let mut all: Vec<(HostId, Member)> = self.members.iter().map(|(id, member)| (*id, *member)).collect();
        all.sort_unstable_by_key(|(_, member)| member.order);
        all
    }

    fn add(
        &mut self,
        host: HostId,
        (state, run): (FanoutHostState, u32),
        made_in: Option<u32>,
        attached: bool,
    ) -> bool {
        if self.members.contains_key(&host) {
            return false;
        }
        let order = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let member = Member {
            order,
            state,
            run,
            made_in,
            attached,
        };
        self.members.insert(host, member);
        *self.counts.of(state) += 1;
        self.take_place(host, member);
        true
    }

    /// Brings what follows from a host's state up to date.
    fn take_place(&mut self, host: HostId, member: Member) {
        match member.state {
            FanoutHostState::Pending if member.attached => {
                self.ready.insert((member.order, host));
            }
            FanoutHostState::InFlight if member.attached => self.placed += 1,
            _ => {}
        }
    }

    fn leave_place(&mut self, host: HostId, member: Member) {
        match member.state {
            FanoutHostState::Pending => {
                self.ready.remove(&(member.order, host));
            }
            FanoutHostState::InFlight if member.attached => self.placed = self.placed.saturating_sub(1),
            _ => {}
        }
    }

    fn change(&mut self, host: HostId, change: impl FnOnce(&mut Member)) {
        let Some(before) = self.members.get(&host).copied() else {
            return;
        };
        self.leave_place(host, before);
        *self.counts.of(before.state) -= 1;
        let mut after = before;
        change(&mut after);
        *self.counts.of(after.state) += 1;
        self.take_place(host, after);
        self.members.insert(host, after);
    }

    /// Hosts join. Those that are its hosts already are passed over; the answer is who is new.
    pub(super) fn join(&mut self, found: impl IntoIterator<Item = (HostId, bool)>) -> Vec<HostId> {
        let pending = (FanoutHostState::Pending, 0);
        let mut new = Vec::new();
        for (host, attached) in found {
            if self.add(host, pending, None, attached) {
                new.push(host);
            }
        }
        if self.record.resolved {
            self.look_at_number();
        }
        new
    }

    /// All hosts were looked at.
    pub(super) fn resolve(&mut self) {
        self.record_mut().resolved = true;
        self.look_at_number();
    }

    fn look_at_number(&mut self) {
        let hosts = self.members.len() as u64 - self.counts.skipped;
        if let Some(most) = self.record.plan.max_hosts
            && hosts > u64::from(most)
            && !self.record.any_number
            && self.record.paused.is_none()
        {
            let text = format!("it has {hosts} hosts, max_hosts allows {most}");
            self.pause(Reason::new("max_hosts", text));
        }
    }

    /// More hosts than there may be: none of them has a turn.
    pub(super) fn fail(&mut self, reason: Reason, now: Timestamp) {
        self.record_mut().failure = Some(reason.clone());
        self.close(Outcome::Cancelled, reason, now);
    }

    pub(super) fn attached(&mut self, host: HostId) {
        self.change(host, |member| member.attached = true);
    }

    pub(super) fn detached(&mut self, host: HostId) {
        self.change(host, |member| member.attached = false);
    }

    /// How many jobs may be open on hosts that are attached.
    fn width(&self) -> u32 {
        let pace = self.record.plan.pace.in_flight;
        let most = pace.min(self.record.plan.max_in_flight.unwrap_or(pace));
        match self.record.phase {
            Phase::Ramp { width } => most.min(width),
            Phase::Canary { .. } | Phase::Wide => most,
        }
    }

    fn is_canary(&self, made_in: Option<u32>) -> bool {
        matches!(self.record.phase, Phase::Canary { since } if made_in >= Some(since))
    }

    /// The next host, if one may have its turn now: from then on it is in flight, until it landed.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<HostId> {
        let held = !self.record.resolved || self.record.paused.is_some() || self.record.closed().is_some();
        let early = self.not_before.is_some_and(|at| at > now);
        let alone = matches!(self.record.phase, Phase::Canary { .. })
            && self.canaries >= self.record.plan.pace.canary.unwrap_or(0);
        if held || early || alone || self.placed >= self.width() || now >= self.record.expires_at {
            return None;
        }
        let (_, host) = *self.ready.first()?;
        let turn = self.record.turn();
        self.change(host, |member| {
            member.state = FanoutHostState::InFlight;
            member.made_in = Some(turn);
        });
        self.canaries += u32::from(self.is_canary(Some(turn)));
        let from = self.not_before.map_or(now, |at| at.max(now));
        self.not_before = self.after(from);
        Some(host)
    }

    /// When the next job may be made after one at `at`; `None`: at once.
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let per_minute = i64::from(self.record.plan.pace.per_minute?);
        let apart = (MINUTE_MICROS + per_minute - 1) / per_minute.max(1);
        Some(Timestamp::from_micros(at.as_micros().saturating_add(apart)))
    }

    /// When to look again, if only the pace holds back who could have a turn.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.not_before
            .filter(|_| !self.ready.is_empty() && self.record.paused.is_none() && self.placed < self.width())
    }

    /// A host ends so without a job: whether it waited or had its turn, it says nothing about the others.
    pub(super) fn pass_over(&mut self, host: HostId, state: FanoutHostState) {
        let Some(member) = self.members.get(&host).copied() else {
            return;
        };
        if member.state == FanoutHostState::InFlight && self.is_canary(member.made_in) {
            self.canaries = self.canaries.saturating_sub(1);
        }
        if !member.state.is_over() {
            self.change(host, |member| (member.state, member.made_in) = (state, None));
        }
    }

    /// A host's turn is over, as was written with its row up to entry `turn` of the history.
    pub(super) fn landed(&mut self, host: HostId, run: u32, outcome: Outcome, turn: u32) {
        let Some(member) = self.members.get(&host).copied() else {
            return;
        };
        if member.run != run || member.state.is_over() {
            return;
        }
        let is = standing(&self.record.history, turn, FanoutHostState::Ended(outcome), run);
        self.change(host, |member| (member.state, member.run) = (is.state, is.run));
        if turn >= self.record.counted_since() {
            self.note_end(outcome);
        }
        if self.is_canary(member.made_in) {
            self.canary_ended(outcome);
        } else if outcome == Outcome::Succeeded {
            self.wave += 1;
            self.widen();
        } else {
            self.wave = 0;
        }
        self.look_at_window();
    }

    fn canary_ended(&mut self, outcome: Outcome) {
        if outcome != Outcome::Succeeded {
            return self.pause_by_itself(canary_failed_reason());
        }
        self.canaries_well += 1;
        self.pass_canaries();
    }

    fn pass_canaries(&mut self) {
        let canaries = self.record.plan.pace.canary.unwrap_or(0);
        if matches!(self.record.phase, Phase::Canary { .. }) && self.canaries_well >= canaries {
            self.leave_canaries();
        }
    }

    fn leave_canaries(&mut self) {
        let width = self.record.plan.pace.canary.unwrap_or(1);
        self.wave = 0;
        self.record_mut().phase = Phase::Ramp { width };
    }

    /// Whether one of the canaries ended and did not succeed.
    fn has_lost_a_canary(&self) -> bool {
        let mut canaries = self
            .members
            .values()
            .filter(|member| self.is_canary(member.made_in));
        canaries.any(
            |canary| matches!(canary.state, FanoutHostState::Ended(outcome) if outcome != Outcome::Succeeded),
        )
    }

    /// A wave as wide as it may be ended well: the next is wider.
    fn widen(&mut self) {
        let Phase::Ramp { width } = self.record.phase else {
            return;
        };
        if self.wave < width {
            return;
        }
        self.wave = 0;
        let wider = width.saturating_mul(self.record.plan.pace.ramp);
        let most = self.record.plan.pace.in_flight;
        self.record_mut().phase = match wider >= most {
            true => Phase::Wide,
            false => Phase::Ramp { width: wider },
        };
    }

    fn note_end(&mut self, outcome: Outcome) {
        let Some(AutoPause { of, .. }) = self.record.plan.pace.auto_pause else {
            return;
        };
        match outcome {
            Outcome::Succeeded => self.window.push_back(false),
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted => self.window.push_back(true),
            Outcome::Expired | Outcome::Cancelled => {}
        }
        while self.window.len() > of as usize {
            self.window.pop_front();
        }
    }

    fn look_at_window(&mut self) {
        let Some(AutoPause { failed, .. }) = self.record.plan.pace.auto_pause else {
            return;
        };
        let count = self.window.iter().filter(|failed| **failed).count();
        if count >= failed as usize {
            let of = self.window.len();
            let text = format!("{count} of its last {of} jobs failed, timed out or were interrupted");
            self.pause_by_itself(Reason::new("auto_paused", text));
        }
    }

    /// Pauses, unless it is paused or there is nothing left to hold back.
    fn pause_by_itself(&mut self, reason: Reason) {
        let goes_on = self.counts.pending > 0 || !self.record.resolved || self.record.plan.standing;
        if goes_on && self.record.paused.is_none() && self.record.closed().is_none() {
            self.pause(reason);
        }
    }

    pub(super) fn pause(&mut self, reason: Reason) {
        self.record_mut().paused = Some(reason);
    }

    /// It goes on, and what ended before counts no more. `false`: it was not paused.
    pub(super) fn resume(&mut self) -> bool {
        let Some(reason) = self.record_mut().paused.take() else {
            return false;
        };
        match reason.code.as_str() {
            "max_hosts" => self.record.any_number = true,
            "canary_failed" => self.leave_canaries(),
            _ => {}
        }
        self.record.history.push(Turn::Resumed);
        (self.wave, self.window) = (0, VecDeque::new());
        // What ended while somebody else's pause was in force is still to be decided about.
        if self.has_lost_a_canary() {
            self.pause_by_itself(canary_failed_reason());
        }
        self.look_at_number();
        true
    }

    /// No host has a turn any more; those that wait end so.
    pub(super) fn close(&mut self, outcome: Outcome, reason: Reason, at: Timestamp) {
        let record = self.record_mut();
        (record.paused, record.resolved) = (None, true);
        record.history.push(Turn::Closed { outcome, reason, at });
        self.replace(|member| {
            (member.state == FanoutHostState::Pending)
                .then_some((FanoutHostState::Ended(outcome), member.run))
        });
    }

    /// Whether its time is over, and hosts that wait have to end.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        now >= self.record.expires_at && self.record.closed().is_none()
    }

    /// How many hosts a retry would give another turn.
    pub(super) fn count_to_retry(&self, outcomes: &[Outcome]) -> usize {
        let wanted = |member: &&Member| {
            outcomes
                .iter()
                .any(|outcome| member.state == FanoutHostState::Ended(*outcome))
        };
        self.members.values().filter(wanted).count()
    }

    /// Hosts that ended so wait again, until `expires_at`; with their canaries, if there are any.
    pub(super) fn retry(&mut self, outcomes: &[Outcome], expires_at: Timestamp) {
        let has_canaries = self.record.plan.pace.canary.is_some();
        let record = self.record_mut();
        record.history.push(Turn::Retried {
            outcomes: outcomes.to_vec(),
        });
        let turn = record.turn();
        record.phase = match has_canaries {
            true => Phase::Canary { since: turn },
            false => Phase::Wide,
        };
        record.expires_at = expires_at;
        (record.ended, record.failure) = (None, None);
        let stays = |reason: &Reason| matches!(reason.code.as_str(), "paused" | "max_hosts");
        record.paused = record.paused.take().filter(stays);
        (self.canaries, self.canaries_well, self.wave) = (0, 0, 0);
        self.window.clear();
        let pending = FanoutHostState::Pending;
        self.replace(|member| match member.state {
            FanoutHostState::Ended(outcome) if outcomes.contains(&outcome) => Some((pending, member.run + 1)),
            _ => None,
        });
        self.look_at_number();
    }

    /// Changes many hosts.
    fn replace(&mut self, change: impl Fn(&Member) -> Option<(FanoutHostState, u32)>) {
        let changed: Vec<(HostId, (FanoutHostState, u32))> = self
            .members
            .iter()
            .filter_map(|(host, member)| Some((*host, change(member)?)))
            .collect();
        for (host, (state, run)) in changed {
            self.change(host, |member| (member.state, member.run) = (state, run));
        }
    }

    /// How it ends, when no host waits or is in flight.
    pub(super) fn conclusion(&self) -> Option<(FanoutOutcome, Reason)> {
        let (record, counts) = (&self.record, &self.counts);
        let closed = record.closed();
        let waits = counts.pending + counts.in_flight > 0;
        if waits || !record.resolved || (record.plan.standing && closed.is_none()) {
            return None;
        }
        let wrong = counts.failed + counts.timed_out + counts.interrupted;
        let reason = |code: &str, text: &str| Reason::new(code, text);
        Some(if let Some(failure) = &record.failure {
            (FanoutOutcome::Failed, failure.clone())
        } else if closed == Some(Outcome::Cancelled) {
            (FanoutOutcome::Cancelled, reason("cancelled", "it was cancelled"))
        } else if self.members.is_empty() && !record.plan.standing {
            (
                FanoutOutcome::Failed,
                reason("no_hosts", "its target selects no host"),
            )
        } else if wrong > 0 {
            let text = format!("on {wrong} of {} hosts it went wrong", self.members.len());
            (FanoutOutcome::Failed, reason("hosts_failed", &text))
        } else if counts.expired > 0 && !record.plan.standing {
            let text = format!("{} hosts had no turn in time", counts.expired);
            (FanoutOutcome::Expired, reason("expired", &text))
        } else {
            (FanoutOutcome::Succeeded, reason("completed", "no host is left"))
        })
    }
}

fn succeeded() -> FanoutHostState {
    FanoutHostState::Ended(Outcome::Succeeded)
}

fn canary_failed_reason() -> Reason {
    Reason::new("canary_failed", "not every one of its first hosts succeeded")
}
