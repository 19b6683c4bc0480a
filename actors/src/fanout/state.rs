//! One fan-out: which host has its turn when, and what its hosts' ends mean for the others.
//!
//! Pure: takes `now`, knows no store. What it decides about many hosts changes its record ([`Machine::take_changed`]);
//! what happens to one host is a row that the shell and the scheduler write. From both [`Machine::restore`] makes it
//! again, wherever it stopped.

mod ends;
mod verdict;

use super::record::{FanoutRecord, HostRow, Phase, Turn, place};
use std::collections::{BTreeSet, HashMap, VecDeque};
use tripline_protocol::fanout::{FanoutCounts, FanoutHostState};
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
    /// Up to which entry of the history it was found.
    pub(super) found_in: u32,
    /// In which turn its last job was made.
    made_in: Option<u32>,
    attached: bool,
    /// Its job was open when the server stopped, and nobody knows yet whether it still runs.
    kept: bool,
    /// Its row could not be read: it has no other turn.
    unreadable: bool,
}

impl Member {
    /// Whether a retry of these outcomes gives it another turn.
    fn is_retried(&self, outcomes: &[Outcome]) -> bool {
        matches!(self.state, FanoutHostState::Ended(outcome) if outcomes.contains(&outcome))
            && !self.unreadable
    }

    /// Whether its open job counts in the pace.
    fn has_place(&self) -> bool {
        self.attached || self.kept
    }
}

/// A host that joins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    pub(super) host_id: HostId,
    pub(super) attached: bool,
    /// It is passed over.
    pub(super) skipped: bool,
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
    /// Open jobs on hosts that are attached, or that may come back after a restart.
    placed: u32,
    /// Until when such hosts may; `None`: there are none.
    keeps_until: Option<Timestamp>,
    /// Lists of its hosts that could not be read.
    lost_lists: u32,
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
            keeps_until: None,
            lost_lists: 0,
            canaries: 0,
            canaries_well: 0,
            wave: 0,
            window: VecDeque::new(),
            not_before: None,
        }
    }

    /// What the store has of it. Open jobs keep their places until `keeps_until`, although their hosts are away.
    pub(super) fn restore(
        record: FanoutRecord,
        hosts: impl IntoIterator<Item = Known>,
        keeps_until: Timestamp,
    ) -> Self {
        let mut machine = Self::new(record);
        machine.keeps_until = Some(keeps_until);
        let since = machine.record.counted_since();
        let (mut ends, mut canary_failed, mut last_made) = (Vec::new(), false, None);
        for known in hosts {
            let is = place(&machine.record.history, known.turn, known.row.as_ref());
            let made = known.row.as_ref().and_then(|row| row.made);
            let made_in = made.map(|made| made.since);
            let member = Member {
                order: 0,
                state: is.state,
                run: is.run,
                found_in: known.turn,
                made_in,
                attached: known.attached,
                kept: is.state == FanoutHostState::InFlight && !known.attached,
                unreadable: known.row.as_ref().is_some_and(|row| row.unreadable),
            };
            machine.add(known.host_id, member);
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

    /// All hosts, in no order.
    pub(super) fn members(&self) -> impl Iterator<Item = (HostId, Member)> {
        self.members.iter().map(|(id, member)| (*id, *member))
    }

    /// All hosts, in the order they were found.
    pub(super) fn in_order(&self) -> Vec<(HostId, Member)> {
        let mut all: Vec<(HostId, Member)> = self.members().collect();
        all.sort_unstable_by_key(|(_, member)| member.order);
        all
    }

    /// Lists of hosts could not be read when it was restored.
    pub(super) fn lose_lists(&mut self, lists: u32) {
        self.lost_lists = lists;
    }

    /// Puts a host behind the others. `false`: it is there already.
    fn add(&mut self, host: HostId, member: Member) -> bool {
        if self.members.contains_key(&host) {
            return false;
        }
        let order = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let member = Member { order, ..member };
        self.members.insert(host, member);
        *self.counts.of(member.state) += 1;
        self.take_place(host, member);
        true
    }

    /// Brings what follows from a host's state up to date.
    fn take_place(&mut self, host: HostId, member: Member) {
        match member.state {
            FanoutHostState::Pending if member.attached => {
                self.ready.insert((member.order, host));
            }
            FanoutHostState::InFlight if member.has_place() => self.placed += 1,
            _ => {}
        }
    }

    fn leave_place(&mut self, host: HostId, member: Member) {
        match member.state {
            FanoutHostState::Pending => {
                self.ready.remove(&(member.order, host));
            }
            FanoutHostState::InFlight if member.has_place() => self.placed = self.placed.saturating_sub(1),
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
    pub(super) fn join(&mut self, found: impl IntoIterator<Item = Joining>) -> Vec<HostId> {
        let (mut new, found_in) = (Vec::new(), self.record.turn());
        for joining in found {
            let member = Member {
                order: 0,
                state: match joining.skipped {
                    true => FanoutHostState::Skipped,
                    false => FanoutHostState::Pending,
                },
                run: 0,
                found_in,
                made_in: None,
                attached: joining.attached,
                kept: false,
                unreadable: false,
            };
            if self.add(joining.host_id, member) {
                new.push(joining.host_id);
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
        self.change(host, |member| (member.attached, member.kept) = (true, false));
    }

    pub(super) fn detached(&mut self, host: HostId) {
        self.change(host, |member| (member.attached, member.kept) = (false, false));
    }

    /// Hosts that have not come back in time give their places to others.
    fn release(&mut self, now: Timestamp) {
        if self.keeps_until.is_none_or(|until| now < until) {
            return;
        }
        self.keeps_until = None;
        let kept = self.members.iter().filter(|(_, member)| member.kept);
        for host in kept.map(|(host, _)| *host).collect::<Vec<_>>() {
            self.change(host, |member| member.kept = false);
        }
    }

    /// How many jobs may be open on hosts that are attached.
    fn width(&self) -> u32 {
        let most = self.record.plan.pace.in_flight;
        match self.record.phase {
            Phase::Ramp { width } => most.min(width),
            Phase::Canary { .. } | Phase::Wide => most,
        }
    }

    fn is_canary(&self, made_in: Option<u32>) -> bool {
        matches!(self.record.phase, Phase::Canary { since } if made_in >= Some(since))
    }

    /// Whether one more job may be open. The pace counts those whose host is there, the guard of the pipeline all of them.
    fn has_room(&self) -> bool {
        let guard = self.record.plan.max_in_flight;
        self.placed < self.width() && guard.is_none_or(|most| self.counts.in_flight < u64::from(most))
    }

    /// The next host, if one may have its turn now: from then on it is in flight, until it landed.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<HostId> {
        self.release(now);
        let held = !self.record.resolved || self.record.paused.is_some() || self.record.closed().is_some();
        let early = self.not_before.is_some_and(|at| at > now);
        let alone = matches!(self.record.phase, Phase::Canary { .. })
            && self.canaries >= self.record.plan.pace.canary.unwrap_or(0);
        if held || early || alone || !self.has_room() || now >= self.record.expires_at {
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
            .filter(|_| !self.ready.is_empty() && self.record.paused.is_none() && self.has_room())
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

    /// No host has a turn any more; those that wait end so, and no others are found.
    pub(super) fn close(&mut self, outcome: Outcome, reason: Reason, at: Timestamp) {
        let record = self.record_mut();
        record.paused = None;
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

    /// Whether a retry would give any host another turn, or its first: hosts that were not found before it was over are
    /// as those that waited then.
    pub(super) fn has_to_retry(&self, outcomes: &[Outcome]) -> bool {
        let unfound = self.record.closed().filter(|_| !self.record.resolved);
        unfound.is_some_and(|outcome| outcomes.contains(&outcome))
            || self.members.values().any(|member| member.is_retried(outcomes))
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
        self.replace(|member| member.is_retried(outcomes).then_some((pending, member.run + 1)));
        if self.record.resolved {
            self.look_at_number();
        }
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
}

fn succeeded() -> FanoutHostState {
    FanoutHostState::Ended(Outcome::Succeeded)
}

fn canary_failed_reason() -> Reason {
    Reason::new("canary_failed", "not every one of its first hosts succeeded")
}
