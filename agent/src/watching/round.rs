//! The watcher's round: scan, message, ends, again and again.

use super::Hands;
use super::clock::Clock;
use super::ends::Ends;
use super::kept::Kept;
use super::line::{Delivery, Line, Status, Undelivered};
use super::pace::Pace;
use super::scanner::{Scanned, Scanner};
use crate::config::Watch;
use crate::state_dir::StateDir;
use crate::watcher::{Effect, Failure, Kill, KillOutcome, Level, Moment, Notice, ProcessKey, Saved, Watcher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tripline_protocol::Fault;
use tripline_protocol::littlebrother::{ClientStats, WireEvent};

/// Longest wait: nothing depends on it, but a suspend is noticed no later.
const NAP_MAX: Duration = Duration::from_secs(10);
/// The same while a scan or a message is under way: only what is planned to be short shows that it was not.
const NAP_BUSY: Duration = Duration::from_secs(1);
/// Shortest wait: something that stays due is no busy loop.
const NAP_MIN: Duration = Duration::from_millis(5);
/// How long the last message may take, and the one before it.
const FAREWELL: Duration = Duration::from_secs(5);
/// Lateness that is nothing.
const LATE: Duration = Duration::from_secs(1);

type Delivered = Result<Vec<WireEvent>, Undelivered>;
type ScanResult = Result<Result<Scanned, Fault>, JoinError>;

/// What ended a wait.
enum Woke {
    Time,
    Scanned(ScanResult),
    Delivered(Delivered),
    Ended(Vec<(ProcessKey, KillOutcome)>),
    Line,
    Stopped,
}

/// Why processes are not watched any more.
#[derive(PartialEq, Eq)]
enum Left {
    Dismissed,
    Stopped,
}

/// When things are to be done, and what is under way, while processes are watched.
#[derive(Default)]
struct Agenda {
    scan_due: Duration,
    /// Not before the first scan.
    message_due: Option<Duration>,
    scan: Option<JoinHandle<Result<Scanned, Fault>>>,
    delivery: Option<Delivery>,
    /// The connection that was reported to last.
    connection: Option<u64>,
}

/// The watcher with all it needs.
pub(super) struct Round {
    watcher: Watcher,
    clock: Clock,
    pace: Pace,
    scanner: Scanner,
    ends: Ends,
    line: Arc<dyn Line>,
    kept: Kept,
    state: Arc<StateDir>,
    platform: Arc<dyn crate::platform::Platform>,
    read_only: bool,
    scan_interval: Duration,
    check_interval: Duration,
    stats: Option<ClientStats>,
    scan_soon: bool,
    /// Why the last message was not delivered: said once.
    why: Option<String>,
}

impl Round {
    pub(super) fn new(
        config: &Watch,
        watcher: Watcher,
        clock: Clock,
        line: Arc<dyn Line>,
        kept: Kept,
        hands: Hands,
    ) -> Self {
        Self {
            watcher,
            scanner: Scanner::new(hands.platform.clone(), clock.clone()),
            pace: Pace::begin(Instant::now(), hands.platform.since_boot()),
            clock,
            ends: Ends::new(hands.platform.clone()),
            line,
            kept,
            state: hands.state,
            platform: hands.platform,
            read_only: hands.read_only,
            scan_interval: config.scan_interval,
            check_interval: config.check_interval,
            stats: None,
            scan_soon: true,
            why: None,
        }
    }

    /// Goes round until it is told to stop.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut status = self.line.status();
        loop {
            if *status.borrow_and_update() == Status::Unwanted {
                tokio::select! {
                    changed = status.changed() => if changed.is_err() { return },
                    _ = &mut stopped => return,
                }
                continue;
            }
            let mut agenda = Agenda::default();
            if self.watch(&mut agenda, &mut status, &mut stopped).await == Left::Stopped {
                return self.farewell(agenda.delivery).await;
            }
            tracing::info!("processes are not watched any more");
            let now = self.moment().await;
            let effects = self.watcher.dismissed(now);
            self.carry_out(effects, now).await;
            self.forget().await;
        }
    }

    async fn watch(
        &mut self,
        agenda: &mut Agenda,
        status: &mut watch::Receiver<Status>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Left {
        agenda.meet(*status.borrow_and_update());
        self.scan_soon = true;
        self.pace = Pace::begin(Instant::now(), self.platform.since_boot());
        loop {
            self.begin_due(agenda).await;
            let woke = self.wait(agenda, status, stopped).await;
            // Each wait has its own plan.
            self.moment().await;
            match woke {
                Woke::Time => {}
                Woke::Scanned(result) => self.scanned(agenda, result).await,
                Woke::Delivered(delivered) => self.delivered(delivered).await,
                Woke::Ended(outcomes) => self.ended(outcomes).await,
                Woke::Line => {
                    let status = *status.borrow_and_update();
                    if status == Status::Unwanted {
                        return Left::Dismissed;
                    }
                    self.line_changed(agenda, status).await;
                }
                Woke::Stopped => return Left::Stopped,
            }
        }
    }

    /// Now. The watcher hears of a stop before anything else is judged by the time that went by in it.
    async fn moment(&mut self) -> Moment {
        let now = self.clock.moment();
        let overslept = self.pace.overslept(Instant::now(), now.up);
        if overslept > LATE {
            let effects = self.watcher.overslept(overslept, now);
            self.carry_out(effects, now).await;
        }
        now
    }

    /// Begins what is due.
    async fn begin_due(&mut self, agenda: &mut Agenda) {
        let now = self.platform.since_boot();
        if agenda.scan.is_none() && (self.scan_soon || agenda.scan_due <= now) {
            self.scan_soon = false;
            agenda.scan_due = now + self.scan_interval;
            let (scanner, looks, boot) = (self.scanner.clone(), self.watcher.looks(), self.kept.boot());
            agenda.scan = Some(tokio::task::spawn_blocking(move || scanner.scan(&looks, boot)));
        }
        if self.watcher.next_due().is_some_and(|due| due <= now) {
            let now = self.moment().await;
            let effects = self.watcher.tick(now);
            self.carry_out(effects, now).await;
        }
        if agenda.delivery.is_none() && agenda.message_due.is_some_and(|due| due <= now) {
            agenda.message_due = Some(now + self.check_interval);
            agenda.delivery = Some(self.send().await);
        }
    }

    async fn send(&mut self) -> Delivery {
        let now = self.moment().await;
        let message = self.watcher.next_message(self.stats.clone(), now);
        self.line.deliver(message)
    }

    /// How long nothing is to be done by itself.
    fn rest(&self, agenda: &Agenda) -> Duration {
        let scan_due = if self.scan_soon {
            Duration::ZERO
        } else {
            agenda.scan_due
        };
        let scan = agenda.scan.is_none().then_some(scan_due);
        let message = agenda.message_due.filter(|_| agenda.delivery.is_none());
        let due = [scan, message, self.watcher.next_due()];
        let longest = agenda.longest_nap();
        let now = self.platform.since_boot();
        let next = due.into_iter().flatten().min();
        next.map_or(longest, |next| next.saturating_sub(now).clamp(NAP_MIN, longest))
    }

    async fn wait(
        &mut self,
        agenda: &mut Agenda,
        status: &mut watch::Receiver<Status>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Woke {
        let rest = self.rest(agenda);
        self.pace.plan(rest);
        tokio::select! {
            biased;
            _ = stopped => Woke::Stopped,
            _ = status.changed() => Woke::Line,
            result = of(&mut agenda.scan) => Woke::Scanned(result),
            delivered = of(&mut agenda.delivery) => Woke::Delivered(delivered),
            outcomes = self.ends.next() => Woke::Ended(outcomes),
            // Until something is due; whatever happens before wakes it, too.
            () = tokio::time::sleep(rest) => Woke::Time,
        }
    }

    async fn scanned(&mut self, agenda: &mut Agenda, result: ScanResult) {
        let now = self.moment().await;
        agenda.message_due.get_or_insert(now.up);
        match result {
            Ok(Ok(scanned)) => {
                self.stats = Some(scanned.stats);
                if self.kept.boot() != Some(scanned.boot) {
                    self.kept.set_boot(scanned.boot);
                    self.kept.write(&self.state).await;
                }
                let effects = self.watcher.scan(&scanned.seen, now);
                self.carry_out(effects, now).await;
            }
            Ok(Err(fault)) => tracing::error!(%fault, "failed to look at the processes"),
            Err(error) => tracing::error!(%error, "failed to look at the processes"),
        }
    }

    async fn delivered(&mut self, delivered: Delivered) {
        let now = self.moment().await;
        let effects = match delivered {
            Ok(events) => {
                self.why = None;
                self.watcher.answered(&events, now)
            }
            Err(undelivered) => {
                self.tell_why(&undelivered);
                self.watcher.failed(undelivered.failure, now)
            }
        };
        self.carry_out(effects, now).await;
    }

    fn tell_why(&mut self, undelivered: &Undelivered) {
        if self.why.as_ref() != Some(&undelivered.why) {
            tracing::warn!(
                why = undelivered.why,
                "a message of the watcher was not delivered"
            );
            self.why = Some(undelivered.why.clone());
        }
    }

    async fn ended(&mut self, outcomes: Vec<(ProcessKey, KillOutcome)>) {
        let now = self.moment().await;
        for (process, outcome) in outcomes {
            let effects = self.watcher.kill_ended(process, outcome, now);
            self.carry_out(effects, now).await;
        }
    }

    /// Another connection may be one to a server that missed what was said over the last one.
    async fn line_changed(&mut self, agenda: &mut Agenda, status: Status) {
        let is_first = agenda.connection.is_none();
        if agenda.meet(status) {
            let now = self.moment().await;
            if !is_first && agenda.delivery.is_none() {
                // Taken and not sent: what waits goes again, and what is open is announced again.
                self.watcher.next_message(None, now);
                let effects = self.watcher.failed(Failure::Unreachable, now);
                self.carry_out(effects, now).await;
            }
            agenda.message_due = agenda.message_due.map(|_| now.up);
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>, now: Moment) {
        let mut effects = effects;
        while !effects.is_empty() {
            let mut kills = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Kill(kill) => kills.push(kill),
                    Effect::Save(saved) => self.save(saved).await,
                    Effect::Log(notice) => tell(&notice),
                }
            }
            effects = self.kill(&kills, now);
        }
    }

    fn kill(&mut self, kills: &[Kill], now: Moment) -> Vec<Effect> {
        if !self.read_only {
            self.ends.begin(kills);
            return Vec::new();
        }
        let spare = |kill: &Kill| {
            let why = KillOutcome::Failed("this agent only reads".to_owned());
            self.watcher.kill_ended(kill.process, why, now)
        };
        kills.iter().flat_map(spare).collect()
    }

    /// Who is watched, and for what, changed: there may be something to see at once.
    async fn save(&mut self, saved: Saved) {
        self.scan_soon = true;
        self.kept.saved = Some(saved);
        self.kept.write(&self.state).await;
    }

    async fn forget(&mut self) {
        if self.kept.saved.take().is_some() {
            self.kept.write(&self.state).await;
        }
    }

    /// The last message, after the one that is under way.
    async fn farewell(mut self, delivery: Option<Delivery>) {
        self.ends.give_up();
        let said = tokio::time::timeout(FAREWELL, async {
            if let Some(delivery) = delivery {
                let delivered = delivery.await;
                self.delivered(delivered).await;
            }
            let now = self.moment().await;
            self.watcher.stop(now);
            while self.watcher.has_waiting() {
                let delivered = self.send().await.await;
                let failed = delivered.is_err();
                self.delivered(delivered).await;
                if failed {
                    return;
                }
            }
        });
        if said.await.is_err() {
            tracing::warn!("the last message was not delivered in time");
        }
    }
}

impl Agenda {
    /// What is under way may end at any time, so how long the wait took says nothing. A stop of this process in the
    /// meantime has to be told from silence all the same.
    fn longest_nap(&self) -> Duration {
        match self.scan.is_none() && self.delivery.is_none() {
            true => NAP_MAX,
            false => NAP_BUSY,
        }
    }

    /// Notes a connection; tells whether it is another one than before.
    fn meet(&mut self, status: Status) -> bool {
        let Status::Up(connection) = status else {
            return false;
        };
        self.connection.replace(connection) != Some(connection)
    }
}

/// Waits for what is under way and takes it out; for ever if nothing is.
async fn of<F: Future + Unpin>(under_way: &mut Option<F>) -> F::Output {
    let Some(future) = under_way else {
        return std::future::pending().await;
    };
    let output = future.await;
    *under_way = None;
    output
}

fn tell(notice: &Notice) {
    if let Notice::NotDelivered { .. } = notice {
        // What exactly went wrong was told before.
        tracing::debug!("{notice}");
        return;
    }
    match notice.level() {
        Level::Info => tracing::info!("{notice}"),
        Level::Warn => tracing::warn!("{notice}"),
    }
}
