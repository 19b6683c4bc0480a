//! What a watcher makes of the events of a server. Whatever they are, nothing grows beyond its bound.

use super::knowledge::is_login;
use super::open::{Entry, Told};
use super::outgoing::key_of;
use super::present::Target;
use super::{Notice, ProcessKey, Turn, Watcher, Why};
use std::collections::HashSet;
use std::time::Duration;
use tripline_protocol::littlebrother::{EventType, PROCESS_HANDLER, WireEvent};

/// Most events of an answer that are looked at.
const ANSWER_EVENTS_MAX: usize = 20_000;

impl Watcher {
    pub(super) fn take_answer(&mut self, events: &[WireEvent], turn: &mut Turn) {
        for event in events.iter().take(ANSWER_EVENTS_MAX) {
            self.take_event(event, turn);
        }
        if let Some(event) = events.get(ANSWER_EVENTS_MAX) {
            ignore(event, "the answer has too many events", turn);
        }
    }

    fn take_event(&mut self, event: &WireEvent, turn: &mut Turn) {
        let payload = event.payload.as_ref();
        match event.event_type {
            EventType::UpdateConfig => {
                if self.knowledge.update_config(payload, &mut turn.notices) {
                    turn.save = true;
                    turn.notices.add(Notice::Configured {
                        users: self.knowledge.users(),
                        silence_max: self.knowledge.silence_max(&self.options),
                    });
                }
            }
            EventType::UpdateLoginMapping => {
                if self.knowledge.update_mapping(payload, &mut turn.notices) {
                    turn.save = true;
                    let uids = self.knowledge.uids();
                    turn.notices.add(Notice::Mapped { uids });
                }
            }
            EventType::StartMaster => self.open.announce_all(&HashSet::new()),
            EventType::ProcessStart => match process_of(event) {
                Ok((key, username)) => self.replayed(key, username, event, turn),
                Err(why) => ignore(event, why, turn),
            },
            EventType::KillProcess => match (process_of(event), &event.username) {
                (Ok((key, _)), Some(username)) => self.ordered(key, username, event, turn),
                (Ok(_), None) => ignore(event, "it names no user", turn),
                (Err(why), _) => ignore(event, why, turn),
            },
            _ => ignore(event, "servers do not send it", turn),
        }
    }

    /// The server holds this process for open. The next scan knows better.
    fn replayed(&mut self, key: ProcessKey, username: Option<&str>, event: &WireEvent, turn: &mut Turn) {
        if let Some(entry) = self.open.0.get_mut(&key) {
            // It heard of it after all, in a message whose answer was lost: an end would have to be told.
            if entry.told == Told::Nothing {
                entry.told = Told::Perhaps;
            }
        } else if self.open.is_full() {
            ignore(event, "too many processes are open", turn);
        } else {
            let entry = Entry {
                username: username.map(str::to_owned),
                name: None,
                downtime: Duration::ZERO,
                told: Told::Perhaps,
                announce: false,
            };
            self.open.0.insert(key, entry);
        }
    }

    /// The server wants this process ended.
    fn ordered(&mut self, key: ProcessKey, username: &str, event: &WireEvent, turn: &mut Turn) {
        match self.present.target(key, username, &self.knowledge) {
            Target::Unknown => ignore(event, "its user's processes have not been looked at yet", turn),
            Target::Spared(why) => ignore(event, why, turn),
            Target::Gone => self.is_gone(key, username, turn),
            Target::Found(_) => {
                let due = turn.moment.up.saturating_add(Duration::from_secs(event.delay));
                self.kills.plan(key, username, Why::Ordered, due);
            }
        }
    }

    /// Answers that there is no such process.
    pub(super) fn is_gone(&mut self, key: ProcessKey, username: &str, turn: &Turn) {
        if !self.close(key, turn) {
            self.outgoing.no_such_process(key, username, turn.moment.local);
        }
    }

    /// Reports the end of an open process, if it is open.
    pub(super) fn close(&mut self, key: ProcessKey, turn: &Turn) -> bool {
        let Some(entry) = self.open.0.remove(&key) else {
            return false;
        };
        // Of a process the server never heard of there is no end to tell.
        if entry.told == Told::Nothing {
            self.outgoing.start_is_lost();
        } else {
            let login = entry.username.as_deref();
            self.outgoing.process_end(key, login, turn.moment.local);
        }
        true
    }
}

/// The process an event is about, and whose it is.
fn process_of(event: &WireEvent) -> Result<(ProcessKey, Option<&str>), &'static str> {
    if event.processhandler.as_deref() != Some(PROCESS_HANDLER) {
        return Err("it is for another process handler");
    }
    if event.username.as_deref().is_some_and(|login| !is_login(login)) {
        return Err("the login is empty or too long");
    }
    let key = key_of(event).ok_or("it names no process")?;
    Ok((key, event.username.as_deref()))
}

fn ignore(event: &WireEvent, why: &'static str, turn: &mut Turn) {
    turn.notices.add(Notice::Ignored {
        event: event.event_type,
        why,
        process: key_of(event),
    });
}
