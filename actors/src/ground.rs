//! What all actors of a process stand on: the store, the clock, the settings, and the few figures they
//! share. It outlives a generation of actors.

use crate::artifact::ArtifactStore;
use crate::audit::{By, Denials, Entry};
use crate::changes::Streams;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::core::{CoreConfig, Ending};
use crate::directory::HostCount;
use crate::ingest::{Abandoned, Attester};
use crate::limacharlie::Limacharlie;
use crate::littlebrother::Settings;
use crate::once::Onces;
use crate::outbox::Load;
use crate::ports::Publisher;
use crate::refusal::Refusal;
use crate::service::Book;
use crate::session::LiveSessions;
use crate::store::{Batch, Store, Table};
use crate::tally::Tally;
use crate::timekeeper::Newcomers;
use crate::trace::Traces;
use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::{Asker, Pause};
use tripline_protocol::audit::Action;
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, Name, Org, Span, Timestamp};
use uuid::Uuid;

/// Batches that may wait for the disk before new work is refused.
const BATCHES_WAITING_MAX: usize = 20_000;
/// Rows read at once.
const ROWS_PAGE: usize = 1_000;

/// A live attachment, as everybody may see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attachment {
    pub(crate) epoch: u64,
    pub(crate) since: Timestamp,
    pub(crate) verbs: Arc<[Verb]>,
    /// What knows which commands it took: the agent's journal, or the LittleBrother client's own record.
    pub(crate) journal_id: Uuid,
}

/// How a host can be reached now: a set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reach {
    pub(crate) agent: Option<Attachment>,
    pub(crate) littlebrother: Option<Attachment>,
}

impl Reach {
    /// The attachment that new commands go to. An agent can do more than a LittleBrother client.
    fn best(&self) -> Option<&Attachment> {
        self.agent.as_ref().or(self.littlebrother.as_ref())
    }
}

/// Which hosts are attached. The Host actors write it, and the Directory where one of them died.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    live: RwLock<HashMap<HostId, Reach>>,
}

impl Attachments {
    /// The attachment that new commands go to.
    pub(crate) fn get(&self, host_id: HostId) -> Option<Attachment> {
        self.live
            .read()
            .get(&host_id)
            .and_then(|reach| reach.best().cloned())
    }

    /// All attachments of a host.
    pub(crate) fn reach(&self, host_id: HostId) -> Reach {
        self.live.read().get(&host_id).cloned().unwrap_or_default()
    }

    pub(crate) fn set_agent(&self, host_id: HostId, attachment: Attachment) {
        self.change(host_id, |reach| reach.agent = Some(attachment));
    }

    pub(crate) fn set_littlebrother(&self, host_id: HostId, attachment: Option<Attachment>) {
        self.change(host_id, |reach| reach.littlebrother = attachment);
    }

    /// Removes the agent's attachment of this epoch; a newer one stays.
    pub(crate) fn end_agent(&self, host_id: HostId, epoch: u64) {
        self.change(host_id, |reach| {
            reach.agent = reach.agent.take().filter(|live| live.epoch != epoch)
        });
    }

    /// Removes whatever attachments the host has.
    pub(crate) fn end_all(&self, host_id: HostId) {
        self.change(host_id, |reach| *reach = Reach::default());
    }

    fn change(&self, host_id: HostId, change: impl FnOnce(&mut Reach)) {
        let mut live = self.live.write();
        let reach = live.entry(host_id).or_default();
        change(reach);
        if reach.best().is_none() {
            live.remove(&host_id);
        }
        metrics::gauge!("tripline_host_attached").set(live.len() as f64);
    }

    /// How many hosts can be reached.
    pub(crate) fn len(&self) -> usize {
        self.live.read().len()
    }

    pub(crate) fn clear(&self) {
        self.live.write().clear();
    }
}

pub(crate) struct Ground {
    pub(crate) config: CoreConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) load: Load,
    pub(crate) attachments: Attachments,
    pub(crate) hosts: HostCount,
    pub(crate) newcomers: Newcomers,
    pub(crate) attester: Attester,
    pub(crate) abandoned: Abandoned,
    pub(crate) sessions: LiveSessions,
    pub(crate) onces: Onces,
    /// `None`: the dialect is off.
    pub(crate) littlebrother: ArcSwapOption<Settings>,
    pub(crate) clients: Clients,
    /// The orgs of LimaCharlie.
    pub(crate) limacharlie: Limacharlie,
    /// There while no new jobs start; what is durable of it.
    pub(crate) pause: ArcSwapOption<Pause>,
    pub(crate) tally: Tally,
    pub(crate) traces: Traces,
    /// Changes of jobs and hosts, for who follows them.
    pub(crate) streams: Streams,
    /// Who asked for an orderly end, over the API.
    pub(crate) drain_asked: tokio::sync::watch::Sender<Option<Asker>>,
    /// There from when an orderly end began.
    pub(crate) ending: ArcSwapOption<Ending>,
    pub(crate) denials: Denials,
    /// Services, as everybody may see them.
    pub(crate) services: Book,
    /// This run of the server: another value after every start.
    pub(crate) run: Uuid,
    /// When it began.
    pub(crate) started: Timestamp,
}

impl Ground {
    /// With what the store holds; nobody is attached.
    pub(crate) fn load(
        config: CoreConfig,
        store: Store,
        artifacts: Arc<ArtifactStore>,
        publisher: Arc<dyn Publisher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Refusal> {
        let (run, started) = (Uuid::new_v4(), clock.now());
        Ok(Self {
            load: Load::new(config.outbox_max, Arc::clone(&clock)),
            attachments: Attachments::default(),
            hosts: HostCount::new(config.hosts_max),
            newcomers: Newcomers::default(),
            attester: Attester::load(&store)?,
            abandoned: Abandoned::default(),
            sessions: LiveSessions::load(&store)?,
            onces: Onces::load(&store)?,
            littlebrother: ArcSwapOption::empty(),
            clients: Clients::default(),
            limacharlie: Limacharlie::default(),
            pause: ArcSwapOption::empty(),
            tally: Tally::default(),
            traces: Traces::default(),
            streams: Streams::new(run),
            drain_asked: tokio::sync::watch::Sender::new(None),
            ending: ArcSwapOption::empty(),
            denials: Denials::default(),
            services: Book::load(&store)?,
            config,
            store,
            clock,
            artifacts,
            publisher,
            run,
            started,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether new work may be taken: events, jobs, enrolments. Running work goes on either way.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        self.room().inspect_err(count_refused)
    }

    /// Whether new work may be taken that leaves nothing for the outbox: interactive sessions.
    pub(crate) fn admit_writes(&self) -> Result<(), Refusal> {
        self.room_for_writes().inspect_err(count_refused)
    }

    /// Whether [`admit`](Self::admit) would take new work, for who looks before it makes some: nobody is refused.
    pub(crate) fn admits(&self) -> bool {
        self.room().is_ok()
    }

    fn room(&self) -> Result<(), Refusal> {
        self.room_for_writes()?;
        if !self.load.admits() {
            return Err(full("outbox", Span::from_secs(1)));
        }
        Ok(())
    }

    fn room_for_writes(&self) -> Result<(), Refusal> {
        if self.ending.load().is_some() {
            return Err(Refusal::Unavailable {
                detail: "it is stopping",
            });
        }
        if self.store.failed() {
            return Err(Refusal::Unavailable {
                detail: "its store cannot write",
            });
        }
        if self.store.disk_low() {
            return Err(full("disk", Span::from_secs(10)));
        }
        if self.store.durable_lag() > BATCHES_WAITING_MAX {
            return Err(full("store", Span::from_secs(1)));
        }
        Ok(())
    }

    /// A record that `action` was done now, to be completed and added to the decision's batch with [`Batch::audit`].
    pub(crate) fn audit(&self, action: Action, by: &By, org: Option<&Org>) -> Entry {
        Entry::new(action, by, org, self.now())
    }

    /// Answers once everything decided so far is durable.
    pub(crate) fn after_commit(&self, then: impl FnOnce() + Send + 'static) {
        self.store.commit(Batch::new(), then);
    }
}

/// There is no room for new work because `what` is full.
fn full(what: &'static str, retry_after: Span) -> Refusal {
    Refusal::Busy { what, retry_after }
}

/// New work was refused; each refusal because something is full is counted.
fn count_refused(refusal: &Refusal) {
    if let Refusal::Busy { what, .. } = *refusal {
        metrics::counter!("tripline_admission_refused_total", "reason" => what).increment(1);
    }
}

/// Reads and decodes a record. A record that cannot be decoded is reported as unreadable, not as absent.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    store: &Store,
    table: Table,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, Refusal> {
    let Some(bytes) = store.get(table, key)? else {
        return Ok(None);
    };
    decoded(what, &bytes).map(Some)
}

/// Decodes a record; one that cannot be is logged.
pub(crate) fn decoded<T: serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, Refusal> {
    crate::record::decode(what, bytes).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "stored record is unreadable"
        );
        UNREADABLE
    })
}

const UNREADABLE: Refusal = Refusal::Unavailable {
    detail: "a stored record is unreadable",
};

/// Reads a table from its first row to its last. A row that cannot be decoded is logged, and `each` says what is to be
/// made of it: what guards counted must not be taken as absent.
pub(crate) fn rows<T: serde::de::DeserializeOwned>(
    store: &Store,
    table: Table,
    what: &'static str,
    mut each: impl FnMut(&[u8], Result<T, Refusal>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.scan(table, &[], after.as_deref(), ROWS_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (key, value) in &page {
            each(key, decoded(what, value))?;
        }
    }
}

/// The name that is the key of a row; one that is none is logged.
pub(crate) fn name_of(key: &[u8]) -> Result<Name, Refusal> {
    let name = std::str::from_utf8(key).ok().and_then(|name| name.parse().ok());
    name.ok_or_else(|| unreadable_key("a name"))
}

/// The key of a row says nothing.
pub(crate) fn unreadable_key(of: &'static str) -> Refusal {
    tracing::error!(of, "the key of a stored record is unreadable");
    UNREADABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::fixture::RecordingPublisher;
    use crate::recorder;
    use crate::store::Options;
    use std::sync::mpsc::channel;

    #[test]
    fn new_work_is_taken_until_so_many_batches_wait_for_the_disk() {
        recorder::install();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let artifacts = Arc::new(ArtifactStore::open(dir.path(), 0).unwrap());
        let publisher = Arc::new(RecordingPublisher::default());
        let clock = Arc::new(SystemClock::default());
        let ground = Ground::load(CoreConfig::default(), store, artifacts, publisher, clock).unwrap();
        let (release, held) = channel::<()>();
        let mut batch = Batch::new();
        batch.put(Table::Meta, b"a".to_vec(), b"b".to_vec());
        // Holds the writer of the store: what comes after it waits. An error says that the sender is gone.
        ground.store.commit(batch, move || {
            let _ = held.recv();
        });
        while ground.store.durable_lag() < BATCHES_WAITING_MAX {
            assert_eq!(ground.admit_writes(), Ok(()));
            ground.store.commit(Batch::new(), || {});
        }
        assert_eq!(ground.admit(), Ok(()));
        ground.store.commit(Batch::new(), || {});
        let refused = ground.admit_writes().unwrap_err();
        assert!(
            matches!(refused, Refusal::Busy { what: "store", .. }),
            "{refused:?}"
        );
        assert_eq!(ground.admit(), Err(refused), "for jobs and events, too");
        assert!(!ground.admits(), "who only looks is not counted");
        let counted = recorder::counter(
            std::thread::current().id(),
            "tripline_admission_refused_total store",
        );
        assert_eq!(counted, 2);
        drop(release);
        let (done, wait) = channel::<()>();
        ground.store.commit(Batch::new(), move || drop(done));
        assert!(wait.recv().is_err(), "the sender is dropped when all is durable");
        assert_eq!(ground.admit(), Ok(()));
        assert!(ground.admits());
    }
}
