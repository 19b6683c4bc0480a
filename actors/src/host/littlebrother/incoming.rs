//! What the events of a message mean.

use super::changes::{Context, Oddity, Outcome};
use super::sound::{self, Sound};
use super::{Key, State};
use tripline_protocol::littlebrother::{EventType, PROCESS_HANDLER, WireEvent};
use tripline_protocol::{CommandId, Timestamp};

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
            (EventType::StartClient, _) => self.client_started(&sound),
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
    fn client_started(&mut self, sound: &Sound) {
        self.owed.introduce();
        if self.client_started != Some(sound.event.event_time) {
            self.client_started = Some(sound.event.event_time);
            self.dirty = true;
        }
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
            EventType::ProcessEnd => {
                if !self.table.end(key, at) {
                    outcome.note(Oddity::UnknownProcess, 1);
                }
                self.owed.ended(&key);
                let gone = self.kills.ended(&key);
                self.note_killed(gone, outcome);
            }
            _ => {
                if !self.table.set_downtime(key, sound.event.downtime) {
                    outcome.note(Oddity::UnknownProcess, 1);
                }
            }
        }
    }

    fn started(&mut self, key: Key, sound: &Sound, context: &Context<'_>, outcome: &mut Outcome) {
        if !self.table.start(key, &sound.event, context.now) {
            return outcome.note(Oddity::TableFull, 1);
        }
        // Said by a client that was started again since, and may not know it: it is asked.
        if self
            .client_started
            .is_some_and(|started| sound.event.event_time <= started)
        {
            self.owed.replay.insert(key);
        }
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
            && !self.owed.prohibit(key, username.map(Box::from))
        {
            outcome.note(Oddity::QueueFull, 1);
        }
    }

    pub(super) fn note_killed(&mut self, gone: Vec<CommandId>, outcome: &mut Outcome) {
        self.dirty |= !gone.is_empty();
        outcome.killed.extend(gone);
    }
}
