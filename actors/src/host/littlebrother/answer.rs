//! The answer to a message: what waits becomes events.

use super::changes::{Context, Ticket};
use super::owed::{Content, KillUnderWay, Prompt};
use super::{Key, State};
use tripline_protocol::Timestamp;
use tripline_protocol::littlebrother::{
    EventType, LocalTime, PROCESS_HANDLER, WireEvent, config_event, mapping_event,
};

/// Most events of processes in one answer; the rest follows with the next ones.
const ANSWER_EVENTS_MAX: usize = 1_000;
/// Most bytes of them, about: an answer to an agent is one frame.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Bytes of an event without its names, about.
const EVENT_BYTES: usize = 400;

/// What an answer still has room for.
struct Room {
    events: usize,
    bytes: usize,
}

impl Room {
    /// Takes room for an event of a process of this user, of this host. The first event always finds room.
    fn take(&mut self, hostname: &str, username: Option<&str>) -> bool {
        let bytes = EVENT_BYTES + hostname.len() + username.map_or(0, str::len);
        let full = self.events == 0 || (self.bytes < bytes && self.events < ANSWER_EVENTS_MAX);
        if !full {
            self.events -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        !full
    }
}

impl State {
    /// Puts what waits into an answer: configuration and mapping, that the server was started, what is to be
    /// ended, and the open processes.
    pub(super) fn answer(&mut self, context: &Context<'_>, answer: &mut Vec<WireEvent>) -> Ticket {
        let local = context.settings.zone.to_local(context.now);
        let number = self.under_way.next(context.now);
        let mut content = Content::default();
        let mut room = Room {
            events: ANSWER_EVENTS_MAX,
            bytes: ANSWER_BYTES_MAX,
        };
        self.answer_config(context, local, answer, &mut content);
        self.answer_kills(number, context, &mut room, &mut content);
        self.answer_replay(&mut room, &mut content);
        for kill in &content.kills {
            let username = kill.username.as_deref();
            answer.push(self.process_event(EventType::KillProcess, kill.key, username, local));
        }
        for key in &content.replay {
            let username = self
                .table
                .get(key)
                .and_then(|process| process.username.as_deref());
            answer.push(self.process_event(EventType::ProcessStart, *key, username, local));
        }
        if let Some((number, content)) = self.under_way.add(number, content) {
            self.give_back(number, content);
        }
        Ticket(number)
    }

    fn answer_config(
        &mut self,
        context: &Context<'_>,
        local: LocalTime,
        answer: &mut Vec<WireEvent>,
        content: &mut Content,
    ) {
        let (settings, hostname) = (context.settings, self.hostname.as_str());
        if self.owed.config > 0 {
            self.owed.config -= 1;
            content.config = true;
            let longest_s = settings.maximum_time_without_send.as_millis().div_ceil(1000);
            answer.push(config_event(hostname, local, &settings.users, longest_s));
            answer.push(mapping_event(hostname, local, &settings.mappings));
        }
        if std::mem::take(&mut self.owed.start_master) {
            content.start_master = true;
            self.dirty = true;
            answer.push(WireEvent::new(EventType::StartMaster, hostname, local));
        }
    }

    /// Prohibited processes that were reported, then what commands repeat; each process once.
    fn answer_kills(&mut self, number: u64, context: &Context<'_>, room: &mut Room, content: &mut Content) {
        let scans = self.kills.scans();
        while let Some(prompt) = self.owed.prohibited.front() {
            // Of an answer that was lost long ago: the pid may be another's by now.
            let reported = context.now.since(prompt.at) <= scans;
            if reported && !room.take(&self.hostname, prompt.username.as_deref()) {
                break;
            }
            if let Some(Prompt { key, username, at }) = self.owed.prohibited.pop_front()
                && reported
            {
                self.put_kill(number, context, (key, username), Some(at), content);
            }
        }
        for (key, username) in self.kills.due(&self.table, context) {
            let once = content.kills.iter().all(|kill| kill.key != key);
            if once && room.take(&self.hostname, username.as_deref()) {
                self.put_kill(number, context, (key, username), None, content);
            }
        }
    }

    fn put_kill(
        &mut self,
        number: u64,
        context: &Context<'_>,
        (key, username): (Key, Option<Box<str>>),
        reported_at: Option<Timestamp>,
        content: &mut Content,
    ) {
        let before = self.kills.note_sent(key, number, context.now);
        self.dirty |= self.kills.is_wanted(&key);
        content.kills.push(KillUnderWay {
            key,
            username,
            reported_at,
            before,
        });
    }

    fn answer_replay(&mut self, room: &mut Room, content: &mut Content) {
        if std::mem::take(&mut self.owed.replay_all) {
            self.owed.replay.extend(self.table.open().map(|(key, _)| *key));
        }
        while let Some(key) = self.owed.replay.first().copied() {
            let process = self.table.get(&key).filter(|process| process.is_open());
            let username = process.and_then(|process| process.username.as_deref());
            if process.is_some() && !room.take(&self.hostname, username) {
                return;
            }
            self.owed.replay.pop_first();
            if process.is_some() {
                content.replay.push(key);
            }
        }
    }

    fn process_event(
        &self,
        kind: EventType,
        key: Key,
        username: Option<&str>,
        local: LocalTime,
    ) -> WireEvent {
        let mut event = WireEvent::new(kind, self.hostname.as_str(), local);
        event.pid = Some(key.pid);
        event.process_start_time = Some(key.start);
        event.processhandler = Some(PROCESS_HANDLER.to_owned());
        event.username = username.map(str::to_owned);
        event
    }
}
