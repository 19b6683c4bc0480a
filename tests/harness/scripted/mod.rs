//! Hosts in the test's own process whose agents do what a script says: with a registry, files and processes in
//! memory, every verb, and every way to be slow, to fail and to go away.
//!
//! ```ignore
//! let token = server.api().enrol_token().await;
//! let agent = ScriptedAgent::start(&server.url(), &token, Persona::windows("win01")).await?;
//! agent.machine().registry.set(r"HKLM\Software\Acme\Level", Data::Dword(7))?;
//! agent.machine().files.write(r"C:\data\big", Content::Generated { seed: 1, bytes: 1 << 30 });
//!
//! // The next two listings: slow, then an error. Then as if nothing had been said.
//! let denied = Fault::live_response("0x80070005", "Access is denied.");
//! let slow = Behaviour::After(Duration::from_millis(20));
//! agent.next(Verb::ListDirectory, [slow.clone(), Behaviour::Fail(denied)]);
//! // Every listing of processes, unless something is said for the next ones.
//! agent.always(Verb::ListProcesses, slow);
//!
//! assert!(agent.until(|seen| seen.commands.len() == 3).await);
//! agent.leave();       // it is off the network: what runs goes on,
//! agent.come_back();   // and its results arrive now
//! ```
//!
//! The agent speaks the real channel over a real WebSocket, over plain HTTP. It enrols anew with every `start`, runs
//! as one task per host (and one for each command under way) on the runtime of the caller, and ends when it is
//! dropped. When a connection is lost, it comes back at once; results are offered until they are acked. A command
//! ends at its deadline and when it is cancelled, as that of the real agent. Of many hosts, [`start_all`].
//!
//! The real agent differs: it has a journal on a disk, checks its configuration's limits, and refuses what is too
//! much for it. Deliberately not here: all of that, and what no good agent says, for which there is
//! `SimulatedAgent`.
//!
//! This folder needs nothing of the other tests and panics nowhere, so that a bench or another crate can include it
//! by its path: `#[path = "…/tests/harness/scripted/mod.rs"] mod scripted;`. It wants `base64`, `futures-util`,
//! `reqwest` (json), `serde_json`, `sha2`, `thiserror`, `tokio` (rt, sync, time, macros), `tokio-tungstenite`
//! (connect), `uuid` (v4), `tripline-protocol`, and a crypto provider installed for `rustls`.

mod behaviour;
mod channel;
mod command;
pub(crate) mod connection;
mod host;
mod isolation;
mod line;
mod machine;
mod persona;
mod transfer;

pub(crate) use behaviour::Behaviour;
pub(crate) use host::Seen;
pub(crate) use machine::{Content, Data, Machine};
pub(crate) use persona::Persona;

use connection::Account;
use host::Host;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;
use tripline_protocol::HostId;
use tripline_protocol::api::Enrolled;
use tripline_protocol::verb::Verb;

/// Longest wait for something to happen; only failing tests wait that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to enrol")]
    Enrol(#[from] reqwest::Error),
    #[error("the channel was refused with status {0}")]
    Refused(u16),
    #[error("the connection failed")]
    Socket(#[from] tungstenite::Error),
    #[error("not welcomed: {0}")]
    NotWelcomed(String),
}

/// A host with its agent, attached until it is dropped.
pub(crate) struct ScriptedAgent {
    host: Arc<Host>,
    enrolled: Enrolled,
    life: JoinHandle<()>,
}

impl ScriptedAgent {
    /// Enrols a host and attaches it. `url` is the server's plain one.
    pub(crate) async fn start(url: &str, enrol_token: &str, persona: Persona) -> Result<Self, Error> {
        let account = Account::enrol(url, enrol_token, &persona.hostname, persona.platform()).await?;
        let host = Arc::new(Host::new(persona));
        let first = channel::attach(&host, &account).await?;
        let enrolled = account.enrolled.clone();
        let life = tokio::spawn(channel::live(Arc::clone(&host), account, first));
        Ok(Self { host, enrolled, life })
    }

    pub(crate) fn host_id(&self) -> HostId {
        self.enrolled.host_id
    }

    /// The small integer that is its id for Carbon Black scripts.
    pub(crate) fn sensor_id(&self) -> u32 {
        self.enrolled.sensor_id
    }

    /// What is on the host, to be looked at and changed. Commands wait meanwhile: hold it over no `await`.
    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.host.machine()
    }

    /// What it does with the next commands of a verb, one each, after those that were said before.
    pub(crate) fn next(&self, verb: Verb, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.host.script().next(verb, behaviours);
    }

    /// What it does with every command of a verb that nothing else was said for.
    pub(crate) fn always(&self, verb: Verb, behaviour: Behaviour) {
        self.host.script().always(verb, behaviour);
    }

    /// What has happened to it until now.
    pub(crate) fn seen(&self) -> Seen {
        self.host.seen.borrow().clone()
    }

    /// Waits until something has happened to it; false when that takes too long.
    #[must_use = "it may never have happened"]
    pub(crate) async fn until(&self, happened: impl FnMut(&Seen) -> bool) -> bool {
        let mut seen = self.host.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(happened)).await;
        waited.is_ok_and(|seen| seen.is_ok())
    }

    /// Takes it off the network, without a word to the server.
    pub(crate) fn leave(&self) {
        self.host.present.send_replace(false);
    }

    /// Brings it back.
    pub(crate) fn come_back(&self) {
        self.host.present.send_replace(true);
    }
}

impl Drop for ScriptedAgent {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// Enrols and attaches many hosts.
pub(crate) async fn start_all(
    url: &str,
    enrol_token: &str,
    personas: impl IntoIterator<Item = Persona>,
) -> Result<Vec<ScriptedAgent>, Error> {
    let mut agents = Vec::new();
    for persona in personas {
        agents.push(ScriptedAgent::start(url, enrol_token, persona).await?);
    }
    Ok(agents)
}
