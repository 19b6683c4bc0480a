//! The isolation of this host: what began it, when it ends, and what is said of it.
//!
//! The record in the state directory is what counts: it is written before the host is cut off and removed after it
//! is not any more, so that after a crash in between the next start brings to an end what was begun. The operating
//! system undoes an isolation by itself at its end; this agent does so too, and clears up.
//!
//! Deliberately not here: rules of a packet filter (`platform`), and who asked (`executor`).

mod record;
mod reinstate;
mod server;
#[cfg(test)]
mod tests;

pub use record::Moment;
pub use reinstate::{ReinstateError, Reinstated};
pub use server::Server;

use crate::channel::LOOK_UP;
use crate::link::Link;
use crate::platform::Platform;
use crate::platform::isolation::{NetworkIsolation, Walls};
use crate::state_dir::{self, StateDir};
use crate::stop::parking::Mutex;
use record::{Record, Standing, Wanted, joined};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::verb::{Isolate, Isolated, Unisolated};
use tripline_protocol::{CommandId, Fault, IsolationEnd, IsolationReport, Network};
use uuid::Uuid;

/// Its record in the state directory.
pub const NAME: &str = "isolation.json";
/// How often it is looked at whether it is still in force.
const LOOK: Duration = Duration::from_secs(15);

/// What the agent's configuration says of isolation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Addresses that stay reachable whenever this host is isolated.
    pub allow: Vec<Network>,
    /// The program that does it; `None`: the platform looks for it.
    pub program: Option<std::path::PathBuf>,
}

/// What time it is, in all ways.
pub type Clock = Box<dyn Fn() -> Result<Moment, Fault> + Send + Sync>;

/// The clocks of the host.
pub fn host_clock(platform: Arc<dyn Platform>) -> Clock {
    Box::new(move || {
        Ok(Moment {
            clock: SystemTime::now().into(),
            boot: platform.booted()?.id,
            since_boot: platform.since_boot(),
        })
    })
}

#[derive(Default)]
struct Present {
    record: Option<Record>,
    /// What was said of it last; nothing as long as there was none.
    report: Option<IsolationReport>,
    link: Option<Arc<Link>>,
}

/// The isolation of this host. Methods that say so block.
pub struct HostIsolation {
    network: Arc<dyn NetworkIsolation>,
    state: Arc<StateDir>,
    clock: Clock,
    server: Server,
    /// What the configuration allows.
    allow: Vec<Network>,
    present: Mutex<Present>,
    /// Held while rules and record change.
    changing: Mutex<()>,
}

impl HostIsolation {
    /// Of the host that `network` cuts off from all but `server`.
    pub fn new(
        network: Arc<dyn NetworkIsolation>,
        state: Arc<StateDir>,
        clock: Clock,
        server: Server,
        allow: Vec<Network>,
    ) -> Self {
        Self {
            network,
            state,
            clock,
            server,
            allow,
            present: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// What is missing on this host, if it cannot be isolated.
    pub fn lacks(&self) -> Option<String> {
        self.network.lacks()
    }

    /// Takes up what an earlier agent left, before anything is connected to. Blocks.
    ///
    /// # Errors
    /// The record cannot be read. What the system refuses is logged, and tried again later.
    pub fn take_up(&self) -> Result<(), state_dir::Error> {
        let _changing = self.changing.lock();
        let record = self.read()?;
        if record.is_none() {
            self.find_unrecorded();
        }
        self.present.lock().record = record;
        self.log(self.settle());
        Ok(())
    }

    /// Rules without a record may be another agent's: a start touches nothing that it did not make. But nobody is to
    /// be told that this host is not isolated.
    fn find_unrecorded(&self) {
        if self.network.lacks().is_none() && matches!(self.network.stands(), Ok(true)) {
            tracing::warn!(
                "this host is isolated, and there is no record of it: it goes on until its end, or until `unisolate`"
            );
            self.present.lock().report = Some(IsolationReport::Unknown);
        }
    }

    fn read(&self) -> Result<Option<Record>, state_dir::Error> {
        let Some(text) = self.state.read(NAME)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&text);
        Ok(record.map(Some).unwrap_or_else(|error| {
            tracing::error!(%error, "{NAME} in the state directory is damaged: it is ignored, and rules end by themselves");
            None
        }))
    }

    /// Isolates the host, or renews that. Blocks.
    ///
    /// # Errors
    /// It cannot be done here, or was refused: then everything is as it was.
    pub fn isolate(&self, command_id: CommandId, args: &Isolate) -> Result<Isolated, Fault> {
        let _changing = self.changing.lock();
        self.check()?;
        let now = (self.clock)()?;
        let before = self.present.lock().record.clone();
        let wanted = Wanted {
            command_id,
            lasts: args.span(),
            persist: args.persist,
            allow: args.allow.clone(),
        };
        let record = Record::begin(wanted, self.surroundings(before.as_ref())?, now);
        let walls = record.walls(&self.allow);
        self.write(&record)?;
        if let Err(fault) = self.network.raise(&walls, args.span().to_duration()) {
            self.write_back(before.as_ref());
            return Err(fault);
        }
        tracing::warn!(%command_id, until = %record.isolation.until, persist = args.persist, "this host is isolated");
        let isolated = Isolated {
            until: record.isolation.until,
            persist: args.persist,
            server: walls.server,
            name_servers: walls.name_servers,
            allow: walls.allow,
        };
        self.tell(record.report(now), Some(record));
        Ok(isolated)
    }

    /// Ends the isolation. Blocks.
    ///
    /// # Errors
    /// It cannot be done here, or was refused: then everything is as it was.
    pub fn unisolate(&self) -> Result<Unisolated, Fault> {
        let _changing = self.changing.lock();
        self.check()?;
        let now = (self.clock)()?;
        let Some(record) = self.present.lock().record.clone() else {
            let was_isolated = self.network.stands()?;
            if was_isolated {
                self.network.lower()?;
                self.tell(unrecorded_end(IsolationEnd::Unisolated, now), None);
            }
            return Ok(Unisolated { was_isolated });
        };
        self.write(&record.undoing())?;
        if let Err(fault) = self.network.lower() {
            self.write_back(Some(&record));
            return Err(fault);
        }
        self.forget(&record, IsolationEnd::Unisolated, now)?;
        Ok(Unisolated { was_isolated: true })
    }

    fn check(&self) -> Result<(), Fault> {
        match self.network.lacks() {
            None => Ok(()),
            Some(why) => Err(Fault::unsupported("isolation_unavailable", why)),
        }
    }

    /// The server and what is needed to find it, as they are now. Addresses that are known already count, too.
    fn surroundings(&self, before: Option<&Record>) -> Result<Walls, Fault> {
        let known = before.map_or(&[][..], |record| &record.server);
        let server = joined(&self.server.found(), known);
        if server.is_empty() {
            let text = format!(
                "no address of {} is known: the host would be lost",
                self.server.url()
            );
            return Err(Fault::live_response("server_unknown", text));
        }
        let name_servers = match self.server.is_named() {
            true => self.network.name_servers(),
            false => Vec::new(),
        };
        Ok(Walls {
            server,
            name_servers,
            allow: Vec::new(),
        })
    }

    fn write(&self, record: &Record) -> Result<(), Fault> {
        let unwritable = |error: &dyn std::fmt::Display| {
            Fault::server("isolation_unrecorded", format!("{error}: nothing was changed"))
        };
        let text = serde_json::to_vec(record).map_err(|error| unwritable(&error))?;
        self.state.write(NAME, &text).map_err(|error| unwritable(&error))
    }

    /// After a refusal the record says again what is in force.
    fn write_back(&self, before: Option<&Record>) {
        let written = match before {
            Some(record) => self.write(record).map_err(|fault| fault.text),
            None => self.state.remove(NAME).map_err(|error| error.to_string()),
        };
        if let Err(error) = written {
            tracing::error!(error, "failed to put the record of the isolation right");
        }
    }

    fn forget(&self, record: &Record, why: IsolationEnd, now: Moment) -> Result<(), Fault> {
        self.state
            .remove(NAME)
            .map_err(|error| Fault::server("isolation_unrecorded", error.to_string()))?;
        tracing::warn!(%why, command_id = %record.isolation.command_id, "this host is isolated no more");
        self.tell(record.ended(why, now), None);
        Ok(())
    }

    fn tell(&self, report: IsolationReport, record: Option<Record>) {
        let mut present = self.present.lock();
        if let Some(link) = &present.link {
            link.frame(frame(&report));
        }
        present.record = record;
        present.report = Some(report);
    }

    /// Looks whether it is over, or was undone by others, and brings about what should be. Blocks.
    fn settle(&self) -> Result<(), Fault> {
        let Some(record) = self.present.lock().record.clone() else {
            return self.settle_unrecorded();
        };
        let now = (self.clock)()?;
        if !self.is_recorded()? {
            self.network.lower()?;
            return self.forget(&record, IsolationEnd::ByHand, now);
        }
        match record.standing(now) {
            Standing::Over(why) => {
                // After a boot there is nothing to undo; a system that was told to undo it may have forgotten, too.
                if self.network.lacks().is_none() && self.network.stands()? {
                    self.network.lower()?;
                }
                self.forget(&record, why, now)
            }
            Standing::Reinstate(moved, left) => self.raise_again(*moved, left, now),
            Standing::Lasts(_) if self.network.stands()? => {
                self.present.lock().report = Some(record.report(now));
                Ok(())
            }
            Standing::Lasts(left) => {
                tracing::warn!(
                    "the rules of this host's isolation were removed by others: they are loaded again"
                );
                self.raise_again(record, left, now)
            }
        }
    }

    fn settle_unrecorded(&self) -> Result<(), Fault> {
        let is_open = matches!(self.present.lock().report, Some(IsolationReport::Unknown));
        if is_open && !self.network.stands()? {
            self.tell(unrecorded_end(IsolationEnd::Unknown, (self.clock)()?), None);
        }
        Ok(())
    }

    /// Somebody who removes the record wants the isolation to end.
    fn is_recorded(&self) -> Result<bool, Fault> {
        let found = self.state.read(NAME);
        let found = found.map_err(|error| Fault::server("isolation_unrecorded", error.to_string()))?;
        Ok(found.is_some())
    }

    /// No name server is asked first: meanwhile the host would be open. Before connecting it is.
    fn raise_again(&self, mut record: Record, left: Duration, now: Moment) -> Result<(), Fault> {
        record.learn(self.server.reached_at().as_slice());
        self.write(&record)?;
        self.network.raise(&record.walls(&self.allow), left)?;
        tracing::warn!(left_s = left.as_secs(), "the isolation of this host goes on");
        self.tell(record.report(now), Some(record));
        Ok(())
    }

    fn log(&self, settled: Result<(), Fault>) {
        if let Err(fault) = settled {
            tracing::error!(%fault, "failed to settle the isolation of this host; it is tried again");
        }
    }

    /// Keeps it as it should be, for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            // The kernel tells nobody when an isolation ends or its table is removed.
            tokio::time::sleep(self.next_look()).await;
            self.clone()
                .blocking(|isolation| {
                    let _changing = isolation.changing.lock();
                    isolation.log(isolation.settle());
                })
                .await;
        }
    }

    /// At its end, or after [`LOOK`].
    fn next_look(&self) -> Duration {
        let standing = match &self.present.lock().record {
            Some(record) => (self.clock)().map(|now| record.standing(now)),
            None => return LOOK,
        };
        match standing {
            // A moment after its end: not to look twice.
            Ok(Standing::Lasts(left)) => (left + Duration::from_millis(50)).min(LOOK),
            _ => LOOK,
        }
    }

    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        act: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        match tokio::task::spawn_blocking(move || act(&self)).await {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(%error, "failed to look after the isolation of this host");
                None
            }
        }
    }

    /// To be called before each connection: while the host is isolated and its server is given by name, where the
    /// server is now is let through. Returns the addresses known before, for when no name server answers.
    pub async fn before_connecting(self: &Arc<Self>) -> Vec<SocketAddr> {
        let known = match &self.present.lock().record {
            Some(record) => record.server.clone(),
            None => return Vec::new(),
        };
        if self.server.is_named() {
            let asked = self.clone().blocking(|isolation| isolation.server.resolved());
            if let Ok(Some(found)) = tokio::time::timeout(LOOK_UP, asked).await {
                self.clone()
                    .blocking(move |isolation| isolation.log(isolation.follow_server(&found)))
                    .await;
            }
        }
        known
    }

    fn follow_server(&self, found: &[SocketAddr]) -> Result<(), Fault> {
        let _changing = self.changing.lock();
        let Some(mut record) = self.present.lock().record.clone() else {
            return Ok(());
        };
        let now = (self.clock)()?;
        if let Standing::Lasts(left) = record.standing(now)
            && record.learn(found)
        {
            self.write(&record)?;
            self.network.raise(&record.walls(&self.allow), left)?;
            tracing::info!(
                addresses = record.server.len(),
                "the server has another address, which is let through"
            );
            self.present.lock().record = Some(record);
        }
        Ok(())
    }

    /// The server was reached at this address.
    pub fn reached(&self, address: SocketAddr) {
        self.server.reached(address);
    }

    /// What `hello` says of it.
    pub fn report(&self) -> Option<IsolationReport> {
        let present = self.present.lock();
        match (&present.record, (self.clock)()) {
            (Some(record), Ok(now)) => Some(record.report(now)),
            _ => present.report.clone(),
        }
    }

    /// The server welcomed the agent on `link`: changes are told there. What changed since `hello` is told again.
    pub fn attach(&self, link: &Arc<Link>) {
        let report = self.report();
        let mut present = self.present.lock();
        present.link = Some(link.clone());
        if let Some(report) = &report {
            link.frame(frame(report));
        }
    }

    /// The connection is gone.
    pub fn detach(&self, link: &Arc<Link>) {
        let mut present = self.present.lock();
        present.link = present.link.take().filter(|known| !Arc::ptr_eq(known, link));
    }
}

/// Of an isolation of which only the rules were there: nobody knows which command began it.
fn unrecorded_end(why: IsolationEnd, now: Moment) -> IsolationReport {
    IsolationReport::Ended {
        command_id: CommandId(Uuid::nil()),
        at: now.clock,
        why,
    }
}

fn frame(report: &IsolationReport) -> AgentFrame {
    AgentFrame::Isolation {
        isolation: Box::new(report.clone()),
    }
}
