//! A LittleBrother client with what is around it: its rows in the store, its events, what others may see of it.
//!
//! The client is a real one or an agent's own watcher. Deliberately not here: what its messages mean (the state
//! machine), who may be told what and when (the actor).

use super::littlebrother::{Changes, Context, Key, Outcome, Process, Reported, Row, Saved, State};
use super::signed::event_message;
use crate::clients::Gauges;
use crate::ground::{Ground, read};
use crate::littlebrother::Settings;
use crate::outbox::{Outgoing, stage};
use crate::record::{decode, encode};
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tripline_protocol::event::HostHint;
use tripline_protocol::littlebrother::{ClientMessage, EventType};
use tripline_protocol::{Attestation, CommandId, Etype, Event, EventKey, HostId, Org, Timestamp};

/// Rows of processes read at once.
const ROWS_PAGE: usize = 1_000;

/// Whom events of a client concern, and who vouches for them.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) org: Org,
    /// The host that reports as the client.
    pub(super) host_id: HostId,
    pub(super) attested_by: Attestation,
}

/// The client.
pub(super) struct Reporter {
    ground: Arc<Ground>,
    /// Id of its own record; of an agent's host for its watcher.
    own: HostId,
    hostname: String,
    subject: Subject,
    pub(super) state: State,
    /// Tells this load of it from others in the same actor.
    pub(super) instance: u64,
    /// Configured users with an open process, by the settings they were looked up in.
    logins: BTreeSet<String>,
    settings: Option<Arc<Settings>>,
    gauges: Option<Gauges>,
}

/// What a message caused beside what the batch holds.
pub(super) struct Heard {
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) outcome: Outcome,
}

impl Reporter {
    /// Reads what is stored of it.
    pub(super) fn load(
        ground: &Arc<Ground>,
        own: HostId,
        hostname: &str,
        subject: Subject,
        instance: u64,
    ) -> Result<Self, Refusal> {
        let saved: Option<Saved> = read(&ground.store, Table::LbHost, own.as_bytes(), "client")?;
        let state = match saved {
            None => State::new(own, hostname.to_owned()),
            Some(saved) => {
                let hostname = hostname.to_owned();
                State::load(own, Saved { hostname, ..saved }, processes(ground, own)?)
            }
        };
        Ok(Self {
            ground: Arc::clone(ground),
            own,
            hostname: hostname.to_owned(),
            subject,
            state,
            instance,
            logins: BTreeSet::new(),
            settings: None,
            gauges: None,
        })
    }

    /// Runs `act` with the world as it is now.
    pub(super) fn with<T>(
        &mut self,
        settings: &Arc<Settings>,
        act: impl FnOnce(&mut State, &Context<'_>) -> T,
    ) -> T {
        self.at(self.ground.now(), settings, act)
    }

    fn at<T>(
        &mut self,
        now: Timestamp,
        settings: &Arc<Settings>,
        act: impl FnOnce(&mut State, &Context<'_>) -> T,
    ) -> T {
        let context = Context {
            settings,
            run: self.ground.run,
            started: self.ground.started,
            now,
        };
        act(&mut self.state, &context)
    }

    /// A message came; what it means goes into `batch`.
    pub(super) fn message(
        &mut self,
        settings: &Arc<Settings>,
        message: ClientMessage,
        batch: &mut Batch,
    ) -> Heard {
        // Only of one that was silent it is said since when.
        let before = if self.state.is_attached() {
            None
        } else {
            self.last_message_at()
        };
        let stats = message.client_stats.clone();
        let mut outcome = self.with(settings, |state, context| state.message(message, context));
        let mut events = Vec::new();
        if outcome.back {
            events.extend(self.presence_event("host_back", before));
        }
        for reported in std::mem::take(&mut outcome.events) {
            events.extend(self.event(reported));
        }
        if outcome.attached {
            batch.put(Table::LbAlive, self.own.as_bytes().to_vec(), Vec::new());
        }
        let rows = !outcome.changes.rows.is_empty();
        self.stage(std::mem::take(&mut outcome.changes), batch);
        let outgoing = self.stage_events(&events, batch);
        self.show(settings, rows, stats.as_ref());
        self.count(&events, &outcome);
        Heard { outgoing, outcome }
    }

    /// The client has been silent since then. If that is too long, it is reported, once.
    pub(super) fn silence(
        &mut self,
        settings: &Arc<Settings>,
        since: Timestamp,
        batch: &mut Batch,
    ) -> Option<Vec<Outgoing>> {
        let last = self.last_message_at();
        // One that was just read counts from the first time it is told.
        let first = self.at(since, settings, State::tick);
        self.stage(first.changes, batch);
        let tick = self.with(settings, State::tick);
        self.stage(tick.changes, batch);
        if !tick.silent {
            return None;
        }
        batch.delete(Table::LbAlive, self.own.as_bytes().to_vec());
        metrics::counter!("tripline_littlebrother_silences_total").increment(1);
        self.hide();
        let event = self.presence_event("host_silent", last);
        Some(self.stage_events(event.as_slice(), batch))
    }

    fn last_message_at(&self) -> Option<Timestamp> {
        let view = self.state.view(self.ground.now());
        view.map(|view| view.last_message_at)
    }

    /// Adds what changed of it.
    pub(super) fn stage(&self, changes: Changes, batch: &mut Batch) {
        let key = |key: Key| [self.own.as_bytes().as_slice(), &key.to_bytes()].concat();
        for row in changes.rows {
            match row {
                Row::Put(process, row) => batch.put(Table::LbProcess, key(process), encode(&row)),
                Row::Delete(process) => batch.delete(Table::LbProcess, key(process)),
            }
        }
        if changes.saved {
            let saved = encode(&self.state.saved());
            batch.put(Table::LbHost, self.own.as_bytes().to_vec(), saved);
        }
    }

    /// Commits what changed of it by itself.
    pub(super) fn commit(&self, changes: Changes) {
        let mut batch = Batch::new();
        self.stage(changes, &mut batch);
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }

    fn stage_events(&self, events: &[Event], batch: &mut Batch) -> Vec<Outgoing> {
        let staged = events.iter().map(|event| {
            let message = event_message(&self.ground, event);
            stage(&self.ground.load, batch, message)
        });
        staged.collect()
    }

    fn event(&self, reported: Reported) -> Option<Event> {
        let Reported { id, time, event } = reported;
        let data = serde_json::to_value(&event).unwrap_or_default();
        self.to_event(id, event.event_type.as_str(), time, data)
    }

    /// `host_silent` or `host_back`, unique for one silence: the one after the message of this time.
    fn presence_event(&self, etype: &str, last: Option<Timestamp>) -> Option<Event> {
        let now = self.ground.now();
        let last = last.unwrap_or(self.ground.started);
        let data = json!({
            "hostname": self.hostname,
            "host_id": self.subject.host_id,
            "last_message_at": last,
            "silent_s": now.since(last).as_millis() / 1000,
        });
        self.to_event(format!("{etype}/{}", last.as_micros()), etype, now, data)
    }

    fn to_event(&self, id: String, etype: &str, time: Timestamp, data: Value) -> Option<Event> {
        let source = format!("littlebrother/{}", self.own);
        Some(Event {
            key: EventKey::derive(&self.subject.org, &source, &id),
            id,
            org: self.subject.org.clone(),
            source,
            etype: etype.parse::<Etype>().ok()?,
            host: Some(HostHint::HostId(self.subject.host_id)),
            time,
            data,
            attested_by: self.subject.attested_by,
            depth: 0,
            traceparent: None,
        })
    }

    /// Lets others see it as it is now.
    fn show(
        &mut self,
        settings: &Arc<Settings>,
        rows: bool,
        stats: Option<&tripline_protocol::littlebrother::ClientStats>,
    ) {
        if let Some(view) = self.state.view(self.ground.now()) {
            self.ground.clients.set_view(self.own, view);
        }
        let same = self
            .settings
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, settings));
        if rows || !same {
            self.log_users(settings);
            self.settings = Some(Arc::clone(settings));
        }
        if self.gauges.is_none() {
            self.gauges = self.ground.clients.gauges(&self.hostname);
        }
        if let (Some(gauges), Some(stats)) = (&self.gauges, stats) {
            gauges.set(stats);
        }
    }

    fn log_users(&mut self, settings: &Settings) {
        let active = settings.users.iter().filter(|user| user.active);
        let here = active.filter(|user| self.state.has_process_of(&user.login));
        let logins: BTreeSet<String> = here.map(|user| user.login.clone()).collect();
        if logins != self.logins {
            let (gone, come) = (self.logins.difference(&logins), logins.difference(&self.logins));
            self.ground.clients.log(self.own, gone, come);
            self.logins = logins;
        }
    }

    /// Nobody sees it among those that report now.
    pub(super) fn hide(&mut self) {
        self.ground.clients.forget(self.own);
        self.logins.clear();
        self.settings = None;
    }

    fn count(&self, events: &[Event], outcome: &Outcome) {
        let by = self.subject.attested_by.as_str();
        metrics::counter!("tripline_littlebrother_messages_total", "attested_by" => by).increment(1);
        for event in events {
            let etype = event.etype.as_str().to_owned();
            metrics::counter!("tripline_littlebrother_events_total", "etype" => etype).increment(1);
        }
        for (oddity, count) in &outcome.odd {
            metrics::counter!("tripline_littlebrother_events_ignored_total", "reason" => oddity.as_str())
                .increment(*count);
        }
        let kills = outcome.answer.iter();
        let kills = kills
            .filter(|event| event.event_type == EventType::KillProcess)
            .count();
        if kills > 0 {
            metrics::counter!("tripline_littlebrother_kills_total").increment(kills as u64);
        }
        if let Some(seconds) = outcome.clock_off_s {
            metrics::counter!("tripline_littlebrother_clocks_off_total").increment(1);
            tracing::warn!(
                host = %self.subject.host_id, client = %self.hostname, behind_s = seconds,
                "the clock of a LittleBrother client is off; its events are taken at the corrected time"
            );
        }
    }

    /// Commands of live response that it knows of.
    pub(super) fn kills(&self) -> Vec<CommandId> {
        let kills = self.state.saved().kills;
        kills.into_iter().map(|kill| kill.command_id).collect()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.ground.clients.forget(self.own);
    }
}

fn processes(ground: &Ground, own: HostId) -> Result<Vec<(Key, Process)>, Refusal> {
    let unreadable = || Refusal::Unavailable {
        detail: "a stored record is unreadable",
    };
    let prefix = own.as_bytes().as_slice();
    let mut processes = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = ground
            .store
            .scan(Table::LbProcess, prefix, after.as_deref(), ROWS_PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(processes);
        };
        after = Some(last.clone());
        for (key, row) in &rows {
            let key = key.get(prefix.len()..).and_then(Key::from_bytes);
            let row: Option<Process> = decode("process", row).ok();
            processes.push(key.zip(row).ok_or_else(unreadable)?);
        }
    }
}
