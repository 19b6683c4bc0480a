//! What is shown, from the last two looks and the keys that were typed. No terminal here.

use crate::cli::output::clean;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tripline_protocol::api::{SlotHolder, SlotView, StatusView, Totals};

/// What a key asks of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Stay,
    Leave,
}

/// How the slots are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Number,
    Time,
    Host,
}

impl Order {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
            Self::Host => "host",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Number => Self::Time,
            Self::Time => Self::Host,
            Self::Host => Self::Number,
        }
    }
}

/// Which slots are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    Used,
    Jobs,
    Sessions,
}

impl Filter {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Used => "in use",
            Self::Jobs => "jobs",
            Self::Sessions => "sessions",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::All => Self::Used,
            Self::Used => Self::Jobs,
            Self::Jobs => Self::Sessions,
            Self::Sessions => Self::All,
        }
    }

    fn covers(self, slot: &SlotView) -> bool {
        let holder = slot.session.as_ref().map(|session| &session.holder);
        match self {
            Self::All => true,
            Self::Used => holder.is_some(),
            Self::Jobs => matches!(holder, Some(SlotHolder::Job { .. })),
            Self::Sessions => matches!(holder, Some(SlotHolder::Interactive { .. })),
        }
    }
}

/// What happens in a second, between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) events: f64,
    pub(super) jobs_accepted: f64,
    pub(super) jobs_ended: f64,
    pub(super) published: f64,
}

impl Rates {
    /// A server that was started between the two began to count anew.
    fn between(before: &StatusView, now: &StatusView) -> Self {
        let seconds = now.at.since(before.at).as_millis() as f64 / 1000.0;
        if seconds <= 0.0 || before.started_at != now.started_at {
            return Self::default();
        }
        let rate =
            |of: fn(&Totals) -> u64| of(&now.totals).saturating_sub(of(&before.totals)) as f64 / seconds;
        Self {
            events: rate(|totals| totals.events),
            jobs_accepted: rate(|totals| totals.jobs_accepted),
            jobs_ended: rate(|totals| totals.jobs_ended),
            published: rate(|totals| totals.published),
        }
    }
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) view: StatusView,
    pub(super) rates: Rates,
    /// Why the last look failed; what is shown is older then.
    pub(super) failure: Option<String>,
    pub(super) order: Order,
    pub(super) filter: Filter,
    pub(super) chosen: usize,
}

impl Screen {
    pub(super) fn new(view: StatusView) -> Self {
        Self {
            view,
            rates: Rates::default(),
            failure: None,
            order: Order::Number,
            filter: Filter::All,
            chosen: 0,
        }
    }

    pub(super) fn show(&mut self, view: StatusView) {
        self.rates = Rates::between(&self.view, &view);
        self.view = view;
        self.failure = None;
        self.stay_inside();
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failure = Some(clean(&why));
        self.rates = Rates::default();
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Want {
        if key.kind == KeyEventKind::Release {
            return Want::Stay;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Want::Leave,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Want::Leave,
            KeyCode::Char('p') => self.order = self.order.next(),
            KeyCode::Char('f') => self.filter = self.filter.next(),
            KeyCode::Down => self.chosen = self.chosen.saturating_add(1),
            KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            _ => {}
        }
        self.stay_inside();
        Want::Stay
    }

    fn stay_inside(&mut self) {
        self.chosen = self.chosen.min(self.slots().len().saturating_sub(1));
    }

    /// The slots that are shown, in their order.
    pub(super) fn slots(&self) -> Vec<&SlotView> {
        let slots = self.view.slots.slots.iter();
        let mut slots: Vec<&SlotView> = slots.filter(|slot| self.filter.covers(slot)).collect();
        let since = |slot: &&SlotView| slot.session.as_ref().map(|session| session.since);
        let host = |slot: &&SlotView| slot.session.as_ref().map(|session| session.host.hostname.clone());
        // Free ones last.
        match self.order {
            Order::Number => slots.sort_by_key(|slot| slot.slot),
            Order::Time => slots.sort_by_key(|slot| (slot.session.is_none(), since(slot), slot.slot)),
            Order::Host => slots.sort_by_key(|slot| (slot.session.is_none(), host(slot), slot.slot)),
        }
        slots
    }
}

/// A slot in words: number, what it is used for, where, for how long, how far.
pub(super) fn slot_cells(view: &StatusView, slot: &SlotView) -> [String; 5] {
    let number = slot.slot.to_string();
    let Some(session) = &slot.session else {
        return [number, "free".into(), String::new(), String::new(), String::new()];
    };
    let (what, step) = match &session.holder {
        SlotHolder::Job { job_id, step } => {
            (format!("job {job_id}"), format!("step {}", u64::from(*step) + 1))
        }
        SlotHolder::Interactive {
            session_id,
            owner,
            command,
        } => {
            let command = command.map_or_else(|| "idle".to_owned(), |command| format!("command {command}"));
            (format!("session {session_id} of {}", clean(owner)), command)
        }
    };
    let age = view.at.since(session.since).as_millis() / 1000;
    [number, what, clean(&session.host.hostname), duration(age), step]
}

/// `1:02:03`, `2:03`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The lines above the slots: a name and what is to be said of it.
pub(super) fn lines(view: &StatusView) -> Vec<(&'static str, String)> {
    let used = view
        .slots
        .slots
        .iter()
        .filter(|slot| slot.session.is_some())
        .count();
    let slots = &view.slots;
    let (jobs, hosts, outbox) = (&view.jobs, &view.hosts, &view.outbox);
    vec![
        ("server", server(view)),
        ("broker", clean(&view.broker.detail)),
        (
            "slots",
            format!(
                "{used} of {} in use; {} hosts and {} sessions wait for one",
                slots.total, slots.waiting, slots.sessions_waiting
            ),
        ),
        (
            "jobs",
            format!(
                "{} open, {} run; {} lanes wait: {} for a slot, {} behind another job, {} for their host; {} for a time, {} for their pipeline",
                jobs.open,
                jobs.running,
                jobs.lanes,
                jobs.no_free_slot,
                jobs.behind_job,
                jobs.host_offline,
                jobs.resting,
                jobs.held
            ),
        ),
        (
            "hosts",
            format!(
                "{} of {} attached, {} silent",
                hosts.attached, hosts.total, hosts.silent
            ),
        ),
        (
            "outbox",
            format!(
                "{} of {} wait, {} in quarantine",
                outbox.waiting, outbox.messages_max, outbox.quarantined
            ),
        ),
    ]
}

fn server(view: &StatusView) -> String {
    let uptime = duration(view.at.since(view.started_at).as_millis() / 1000);
    let ready = if view.ready { "ready" } else { "NOT READY" };
    let mut text = format!("{}, {ready}, up {uptime}", clean(&view.version));
    if view.version != env!("CARGO_PKG_VERSION") {
        text.push_str(concat!(" (this command line is ", env!("CARGO_PKG_VERSION"), ")"));
    }
    if view.draining {
        text.push_str(", ENDING");
    }
    text
}

/// What stands in big letters: that no new jobs start.
pub(super) fn pause(view: &StatusView) -> Option<String> {
    let pause = view.pause.as_ref()?;
    let reason = pause
        .reason
        .as_deref()
        .map(|reason| format!(": {}", clean(reason)));
    Some(format!(
        "PAUSED by {} since {}{}",
        clean(&pause.by.name),
        pause.since,
        reason.unwrap_or_default()
    ))
}

#[cfg(test)]
pub(super) mod tests;
