//! The state machine: who is there, what a message means, what is kept.

use super::changes::{Changes, Context, KillStatus, Oddity, Outcome, Tick, Ticket};
use super::clock::{Clock, Learned};
use super::kills::Kills;
use super::owed::{Content, Owed, Prompt, UnderWay};
use super::process::{Key, Process};
use super::recent::Recent;
use super::saved::{Contact, Saved, Seen};
use super::sound::Sound;
use super::table::Table;
use crate::littlebrother::Settings;
use std::sync::Arc;
use tripline_protocol::api::LittlebrotherView;
use tripline_protocol::littlebrother::{ClientMessage, ClientStats, EventType, LocalTime};
use tripline_protocol::{CommandId, HostId, Span, Timestamp};
use uuid::Uuid;

/// How far the stored time of the last message may be behind.
const REFRESHED_EVERY: Span = Span::from_secs(300);
/// How often a client that stays is told everything again. Answers that were written whole and never read leave no
/// trace; what they leave behind is mended by this at the latest.
const INTRODUCED_EVERY: Span = Span::from_secs(600);
/// A `START_CLIENT` that finds the server up for this long was under way for less than it.
const FRESH: Span = Span::from_secs(60);

/// The start of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientStart {
    /// By its clock.
    pub(super) time: LocalTime,
    /// When we heard of it.
    pub(super) heard_at: Timestamp,
}

/// A client.
#[derive(Debug)]
pub(crate) struct State {
    /// Of its own record.
    pub(super) own: HostId,
    pub(super) hostname: String,
    contact: Contact,
    /// The server run it knows of.
    run: Option<Uuid>,
    last_message_at: Option<Timestamp>,
    /// Silence counts from here; `None` until something happens.
    heard_at: Option<Timestamp>,
    /// When the record was last stored.
    stored_at: Option<Timestamp>,
    pub(super) clock: Clock,
    pub(super) client_started: Option<ClientStart>,
    stats: Option<Box<ClientStats>>,
    pub(super) table: Table,
    pub(super) kills: Kills,
    pub(super) owed: Owed,
    pub(super) under_way: UnderWay,
    /// When it was last told everything.
    introduced_at: Option<Timestamp>,
    /// The settings it was told, or is about to be.
    told: Option<Arc<Settings>>,
    pub(super) recent: Recent,
    /// What is kept changed since it was last said.
    pub(super) dirty: bool,
}

impl State {
    /// A client that has not been heard of; `own` is the id of its own record (of an agent's host for an agent's
    /// watcher).
    pub(crate) fn new(own: HostId, hostname: String) -> Self {
        Self::load(own, Saved::new(hostname), [])
    }

    /// A client as it was stored.
    pub(crate) fn load(
        own: HostId,
        saved: Saved,
        processes: impl IntoIterator<Item = (Key, Process)>,
    ) -> Self {
        Self {
            own,
            hostname: saved.hostname,
            contact: saved.contact,
            run: saved.run,
            last_message_at: saved.last_message_at,
            heard_at: None,
            stored_at: None,
            clock: Clock {
                behind_s: saved.behind_s,
            },
            client_started: None,
            stats: saved.stats,
            table: Table::load(processes),
            kills: Kills::load(saved.kills, saved.sent),
            owed: Owed::default(),
            under_way: UnderWay::default(),
            introduced_at: None,
            told: None,
            recent: Recent::default(),
            dirty: false,
        }
    }

    /// The record to be stored when [`Changes::saved`] says so.
    pub(crate) fn saved(&self) -> Saved {
        let (kills, sent) = self.kills.to_saved();
        Saved {
            hostname: self.hostname.clone(),
            contact: self.contact,
            // Until an answer took it along, it may be lost with this memory.
            run: self.run.filter(|_| !self.owed.start_master),
            last_message_at: self.last_message_at,
            behind_s: self.clock.behind_s,
            stats: self.stats.clone(),
            processes_open: self.processes_open(),
            kills,
            sent,
        }
    }

    /// A message came. Its events must be for this client; that they are is the caller's business as far as the
    /// message's own `hostname` goes.
    pub(crate) fn message(&mut self, message: ClientMessage, context: &Context<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let before = self.last_message_at;
        let open_before = self.table.open_count();
        self.greet(context, &mut outcome);
        let sound = self.read(message.hostname, message.events, &mut outcome);
        let restarted = sound
            .iter()
            .any(|sound| sound.event.event_type == EventType::StartClient);
        self.set_clock(&sound, restarted, before, context, &mut outcome);
        self.kills.note_gap(before, restarted, context.now);
        self.stats = message.client_stats.map(Box::new);
        for sound in sound {
            self.handle(sound, context, &mut outcome);
        }
        let gone = self.kills.missed(&self.table, context.now);
        self.note_killed(gone, &mut outcome);
        outcome.note(Oddity::EndedDropped, self.table.prune(context.now));
        outcome.ticket = self.answer(context, &mut outcome.answer);
        self.dirty |= self.table.open_count() != open_before;
        outcome.changes = self.take_changes(context.now);
        outcome
    }

    /// Who is there, and what does it have to be told because of that?
    fn greet(&mut self, context: &Context<'_>, outcome: &mut Outcome) {
        let now = context.now;
        (self.last_message_at, self.heard_at) = (Some(now), Some(now));
        self.recent.forget_old(now);
        self.kills.forget_old(context);
        outcome.back = self.contact == Contact::Silent;
        outcome.attached = self.contact != Contact::Attached;
        if outcome.attached {
            self.contact = Contact::Attached;
            self.dirty = true;
            self.introduce(now);
        }
        if self.run != Some(context.run) {
            self.run = Some(context.run);
            self.dirty = true;
            self.owed.start_master = true;
            self.introduce(now);
        }
        if now.since(*self.introduced_at.get_or_insert(now)) >= INTRODUCED_EVERY {
            self.introduce(now);
        }
        if !self.was_told(context.settings) {
            self.owed.config_again();
        }
        self.told = Some(context.settings.clone());
    }

    /// It is told everything with the next answers.
    pub(super) fn introduce(&mut self, now: Timestamp) {
        self.owed.introduce();
        self.introduced_at = Some(now);
    }

    fn was_told(&self, settings: &Arc<Settings>) -> bool {
        self.told.as_ref().is_some_and(|told| {
            Arc::ptr_eq(told, settings)
                || (told.users == settings.users
                    && told.mappings == settings.mappings
                    && told.maximum_time_without_send == settings.maximum_time_without_send)
        })
    }

    /// How long an event of this message can have been under way is known when the last message is, or when a
    /// client that was just started finds a server that has been there.
    fn set_clock(
        &mut self,
        sound: &[Sound],
        restarted: bool,
        before: Option<Timestamp>,
        context: &Context<'_>,
        outcome: &mut Outcome,
    ) {
        let since_last = before.map(|before| context.now.since(before));
        let fresh = restarted && context.now.since(context.started) > FRESH;
        // Right after the last one: a part of a long queue, whose events may be of any age.
        let steady_ms = context.settings.check_interval.as_millis() / 2;
        let since_last = since_last.filter(|since| since.as_millis() >= steady_ms);
        let longest = since_last.into_iter().chain(fresh.then_some(FRESH)).min();
        let longest = longest.map(|span| i64::try_from(span.as_millis() / 1000).unwrap_or(i64::MAX / 4));
        let new = sound
            .iter()
            .filter(|sound| !sound.known)
            .map(|sound| &sound.event);
        match self
            .clock
            .learn(new, longest, context.now, &context.settings.zone)
        {
            Learned::Nothing => return,
            Learned::Changed => {}
            Learned::Off => outcome.clock_off_s = Some(self.clock.behind_s),
        }
        self.dirty = true;
    }

    /// The answer was written whole.
    pub(crate) fn written(&mut self, ticket: Ticket) {
        drop(self.under_way.take(ticket.0));
    }

    /// The answer was not written: what is still meaningful of it goes again.
    pub(crate) fn lost(&mut self, ticket: Ticket) -> Changes {
        if let Some(content) = self.under_way.take(ticket.0) {
            self.give_back(ticket.0, content);
        }
        Changes {
            saved: std::mem::take(&mut self.dirty),
            rows: Vec::new(),
        }
    }

    /// What an answer that was lost had in it waits again.
    pub(super) fn give_back(&mut self, number: u64, content: Content) {
        if content.config {
            self.owed.config_again();
        }
        if content.start_master {
            self.owed.start_master = true;
            self.dirty = true;
        }
        self.owed.replay.extend(content.replay);
        for kill in content.kills {
            let last = self.kills.unsend(kill.key, number);
            self.dirty |= last && self.kills.is_wanted(&kill.key);
            let now = self.last_message_at.unwrap_or_default();
            let (key, username) = (kill.key, kill.username);
            if let Some(at) = kill.reported_at
                && last
                && self.kills.is_reported(&key, now)
            {
                // If there is no room, it is reported again.
                self.owed.prohibit(Prompt { key, username, at });
            }
        }
    }

    /// The time went on; to be called every few seconds while [`State::is_attached`].
    pub(crate) fn tick(&mut self, context: &Context<'_>) -> Tick {
        let now = context.now;
        self.recent.forget_old(now);
        self.kills.forget_old(context);
        self.table.prune(now);
        let heard_at = *self.heard_at.get_or_insert(now);
        let longest = context.settings.maximum_time_without_send;
        let silent = self.contact == Contact::Attached && now.since(heard_at) > longest;
        if silent {
            self.fall_silent();
        }
        Tick {
            silent,
            changes: self.take_changes(now),
        }
    }

    /// Whoever comes back is told everything again; so nothing has to wait for it.
    fn fall_silent(&mut self) {
        self.contact = Contact::Silent;
        if self.owed.start_master {
            self.run = None;
        }
        self.owed = Owed::default();
        self.dirty = true;
    }

    fn take_changes(&mut self, now: Timestamp) -> Changes {
        let due = self.contact == Contact::Attached
            && self
                .stored_at
                .is_none_or(|stored_at| now.since(stored_at) >= REFRESHED_EVERY);
        let saved = std::mem::take(&mut self.dirty) || due;
        if saved {
            self.stored_at = Some(now);
        }
        Changes {
            saved,
            rows: self.table.take_rows(),
        }
    }

    /// How far a `kill_process` is, for a slot that asks again after a restart.
    pub(crate) fn kill_status(&self, command_id: CommandId) -> KillStatus {
        match self.kills.get(command_id) {
            None => KillStatus::Unknown,
            Some(kill) if kill.done => KillStatus::Done,
            Some(_) => KillStatus::Pending,
        }
    }

    /// A `kill_process` is cancelled, or its end was taken note of. The client is told nothing more because of it.
    pub(crate) fn forget_kill(&mut self, command_id: CommandId) -> Changes {
        Changes {
            saved: self.kills.remove(command_id),
            rows: Vec::new(),
        }
    }

    /// What the topology shows of it; `None` before its first message.
    pub(crate) fn view(&self, now: Timestamp) -> Option<LittlebrotherView> {
        let seen = Seen {
            hostname: &self.hostname,
            last_message_at: self.last_message_at?,
            stats: self.stats.as_deref(),
            processes_open: self.processes_open(),
        };
        Some(seen.view(self.own, now))
    }

    fn processes_open(&self) -> u32 {
        u32::try_from(self.table.open_count()).unwrap_or(u32::MAX)
    }

    /// Whether a process of this login is open.
    pub(crate) fn has_process_of(&self, login: &str) -> bool {
        let mut open = self.table.open();
        open.any(|(_, process)| process.username.as_deref() == Some(login))
    }

    /// Its messages come.
    pub(crate) fn is_attached(&self) -> bool {
        self.contact == Contact::Attached
    }

    #[cfg(test)]
    pub(super) fn recent_len(&self) -> usize {
        self.recent.len()
    }

    #[cfg(test)]
    pub(super) fn under_way_len(&self) -> usize {
        self.under_way.len()
    }

    /// Nothing is lost when it leaves memory now: it is not attached, no answer is under way, no command waits.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_attached() && self.under_way.is_empty() && self.kills.is_idle()
    }
}
