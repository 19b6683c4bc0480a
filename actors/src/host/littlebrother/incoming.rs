//! What the events of a message mean.

use super::changes::{Context, Oddity, Outcome};
use super::owed::Prompt;
use super::sound::{self, Sound};
use super::state::ClientStart;
use super::{Key, State};
use tripline_protocol::littlebrother::{EventType, LocalTime, PROCESS_HANDLER, WireEvent};
use tripline_protocol::{CommandId, Span, Timestamp};

/// A message can be overtaken by later ones for this long at most.
const OVERTAKEN_MAX: Span = Span::from_secs(300);

impl State {
    /// The events that count, and whether each has been handled already.
    pub(super) fn read(
        &mut self,
        sender: String,
        events: Vec<WireEvent>,
        outcome: &mut Outcome,
    ) -> Vec<Sound> {
        let mut sounds = Vec::with_capacity(events.len());
        let mut leading = true;
        for event in events {
            match sound::check(event, &sender, self.own, outcome) {
                Ok(mut sound) => {
                    sound.known = self.recent.contains(sound.mark);
                    leading &= sound.known;
                    sound.repeated = leading;
                    sounds.push(sound);
                }
                Err(oddity) => outcome.note(oddity, 1),
            }
        }
        sounds
    }

    /// What an event means, and that it is published.
    pub(super) fn handle(&mut self, sound: Sound, context: &Context<'_>, outcome: &mut Outcome) {
        let at = self.clock.instant(sound.event.event_time, &context.settings.zone);
        let at = at.min(context.now);
        match (sound.event.event_type, Key::of(&sound.event)) {
            (EventType::StartClient, _) => self.client_started(&sound, context.now),
            (_, Some(key)) if sound.event.processhandler.as_deref() == Some(PROCESS_HANDLER) => {
                self.of_process(key, &sound, at, context, outcome);
            }
            _ => outcome.note(Oddity::OtherHandler, 1),
        }
        if sound.known || self.recent.contains(sound.mark) {
            return outcome.note(Oddity::Repeated, 1);
        }
        self.recent.add(sound.mark, context.now);
        outcome.events.push(sound.into_reported(at));
    }

    /// Also when it comes again: then the client did not hear the answer.
    fn client_started(&mut self, sound: &Sound, now: Timestamp) {
        self.introduce(now);
        let time = sound.event.event_time;
        if self.latest_start(now).is_none_or(|latest| latest <= time) {
            let heard_at = now;
            self.client_started = Some(ClientStart { time, heard_at });
        }
    }

    /// The start of the client, by its clock, if messages of the one before can still be under way.
    fn latest_start(&self, now: Timestamp) -> Option<LocalTime> {
        let start = self.client_started?;
        (now.since(start.heard_at) <= OVERTAKEN_MAX).then_some(start.time)
    }

    fn of_process(
        &mut self,
        key: Key,
        sound: &Sound,
        at: Timestamp,
        context: &Context<'_>,
        outcome: &mut Outcome,
    ) {
        match sound.event.event_type {
            EventType::ProhibitedProcess => self.prohibited(key, sound, context, outcome),
            _ if sound.repeated => {}
            EventType::ProcessStart => self.started(key, sound, context, outcome),
            EventType::ProcessEnd => self.ended(key, sound, at, context, outcome),
            _ => {
                if !self.table.set_downtime(key, sound.event.downtime) {
                    outcome.note(Oddity::UnknownProcess, 1);
                }
            }
        }
    }

    fn started(&mut self, key: Key, sound: &Sound, context: &Context<'_>, outcome: &mut Outcome) {
        let latest = self.latest_start(context.now);
        // The client of today has seen it end, and the one before says that it began.
        let ended = self.table.get(&key).is_some_and(|process| !process.is_open());
        if ended && latest.is_some_and(|latest| sound.event.event_time < latest) {
            return outcome.note(Oddity::Overtaken, 1);
        }
        if !self.table.start(key, &sound.event, context.now) {
            return outcome.note(Oddity::TableFull, 1);
        }
        // Said by a client that was started again since, and may not know it: it is asked.
        if latest.is_some_and(|latest| sound.event.event_time <= latest) {
            self.owed.replay.insert(key);
        }
    }

    fn ended(
        &mut self,
        key: Key,
        sound: &Sound,
        at: Timestamp,
        context: &Context<'_>,
        outcome: &mut Outcome,
    ) {
        // A stopping client says that all processes end, and they live on: the next one knows better.
        let latest = self.latest_start(context.now);
        if latest.is_some_and(|latest| sound.event.event_time < latest) && self.table.is_open(&key) {
            self.owed.replay.insert(key);
            return outcome.note(Oddity::Overtaken, 1);
        }
        if !self.table.end(key, at) {
            outcome.note(Oddity::UnknownProcess, 1);
        }
        self.owed.ended(&key);
        let gone = self.kills.ended(&key);
        self.note_killed(gone, outcome);
    }

    /// At every report, also at one that comes again: then the client did not hear the answer.
    fn prohibited(&mut self, key: Key, sound: &Sound, context: &Context<'_>, outcome: &mut Outcome) {
        if !sound.repeated {
            self.kills.report(key, &sound.event, context);
        }
        let username = sound.event.username.as_deref();
        let watched = |login| {
            let mut users = context.settings.users.iter();
            users.any(|user| user.active && user.login == login)
        };
        if context.settings.kill_prohibited
            && username.is_some_and(watched)
            && !self.owed.prohibit(Prompt {
                key,
                username: username.map(Box::from),
                at: context.now,
            })
        {
            outcome.note(Oddity::QueueFull, 1);
        }
    }

    pub(super) fn note_killed(&mut self, gone: Vec<CommandId>, outcome: &mut Outcome) {
        self.dirty |= !gone.is_empty();
        outcome.killed.extend(gone);
    }
}
