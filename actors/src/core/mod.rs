//! The actors as edges see them: one cloneable handle, one async method per request.

mod attached;
mod audit;
mod control;
mod dead;
mod decisions;
mod doors;
mod drain;
mod explain;
mod fanouts;
mod fleet;
mod generation;
mod hold;
mod isolation;
mod limacharlie;
mod littlebrother;
mod once;
mod outbox;
mod reading;
mod service_requests;
mod services;
mod sessions;
mod status;
mod streams;
mod submit;
mod trace;
mod transcript;

pub use attached::Attached;
pub use audit::FetchedFrom;
pub(crate) use drain::Ending;
pub use fanouts::{FanoutFilter, FanoutHostFilter};
pub use fleet::{KeyFilter, Presented};
pub use limacharlie::RESOURCE_BYTES_MAX;
pub use services::ServiceJobFilter;
pub use sessions::{OwnSession, SessionFilter};
pub use transcript::FilePages;

use crate::artifact::ArtifactStore;
use crate::audit::{By, Redactor};
use crate::clock::Clock;
use crate::directory::{AttachTo, EnrolAgent, GetHost, LabelHost, ListHosts};
use crate::door::Answer;
use crate::ground::Ground;
use crate::ingest::{GetPosition, Incoming, KeepPosition, Offer, SetPosition};
use crate::labels::LabelChange;
use crate::outbox::BrokerReturned;
use crate::pipeline::RuleSet;
use crate::ports::Publisher;
use crate::refusal::Refusal;
use crate::router::{GetRules, Rules};
use crate::scheduler::{CancelJob, CountOpen, GetJob, GetSlots, ListJobs};
use crate::store::Store;
use doors::Doors;
use generation::{Generations, Peers};
use std::sync::Arc;
use tokio::sync::mpsc;
use tripline_protocol::api::{Enrol, Enrolled, HostView, JobView, Page, PipelinesView, SlotsView};
use tripline_protocol::frame::{Hello, ServerFrame};
use tripline_protocol::job::JobState;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{FanoutId, HostId, JobId, Label, Name, Org, Sha256, Span, Subjects, Timestamp};

/// Settings of the actors; every field has its default in [`CoreConfig::default`].
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Subjects under the configured prefix.
    pub subjects: Subjects,
    /// `slots.total`
    pub slots_total: u32,
    /// `slots.interactive_reserved`
    pub slots_interactive_reserved: u32,
    /// `slots.jobs_reserved`
    pub slots_jobs_reserved: u32,
    /// `events.max_age`
    pub events_max_age: Span,
    /// `slots.idle_timeout`
    pub session_idle_timeout: Span,
    /// `session.reconnect_grace`
    pub reconnect_grace: Span,
    /// `session.wait_timeout`: how long a session waits for a host that is offline.
    pub session_wait_timeout: Span,
    /// `jobs.queued_per_host_max`
    pub jobs_per_host_max: u32,
    /// `jobs.queued_per_pipeline_max`
    pub jobs_per_pipeline_max: u32,
    /// `jobs.queued_max`
    pub jobs_max: u32,
    /// `jobs.retain`: how long ended jobs can be looked up.
    pub jobs_retain: Span,
    /// `jobs.retain_max`: how many ended jobs can be looked up.
    pub jobs_retain_max: u64,
    /// `session.retain_max`: how many ended sessions can be looked up, for `jobs.retain` at most.
    pub sessions_retain_max: u64,
    /// `outbox.messages_max`
    pub outbox_max: u32,
    /// `outbox.resend_window`: how long acked messages are kept to be published again at start.
    pub outbox_resend_window: Span,
    /// `disk.free_min`: bytes that must be free in `data_dir`, below which new work is refused.
    pub disk_free_min: u64,
    /// `hosts.idle_timeout`: when an idle, detached host leaves memory.
    pub host_idle: Span,
    /// `hosts.known_max`: how many hosts there may be.
    pub hosts_max: u32,
    /// `hosts.protected`: labels of hosts that no pipeline touches.
    pub hosts_protected: Vec<Label>,
    /// `audit.retain`: how long records of the audit are kept.
    pub audit_retain: Span,
    /// `audit.retain_max`: how many records of a chain are kept.
    pub audit_retain_max: u64,
    /// `audit.redact`
    pub audit_redact: Redactor,
    /// `hosts.key_age_max`: when an agent is asked to replace its key; `None`: only when somebody wants it.
    pub key_age_max: Option<Span>,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            subjects: Subjects::default(),
            slots_total: 10,
            slots_interactive_reserved: 2,
            slots_jobs_reserved: 2,
            events_max_age: Span::from_secs(3600),
            session_idle_timeout: Span::from_secs(300),
            reconnect_grace: Span::from_secs(30),
            session_wait_timeout: Span::from_secs(120),
            jobs_per_host_max: 1_000,
            jobs_per_pipeline_max: 10_000,
            jobs_max: 200_000,
            jobs_retain: Span::from_secs(7 * 24 * 3600),
            jobs_retain_max: 1_000_000,
            sessions_retain_max: 100_000,
            outbox_max: 300_000,
            outbox_resend_window: Span::from_secs(240),
            disk_free_min: 256 * 1024 * 1024,
            host_idle: Span::from_secs(60),
            hosts_max: 100_000,
            hosts_protected: Vec::new(),
            audit_retain: Span::from_secs(400 * 24 * 3600),
            audit_retain_max: 1_000_000,
            audit_redact: Redactor::default(),
            key_age_max: None,
        }
    }
}

/// A message of the events stream, as the NATS edge received it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its subject.
    pub subject: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: bytes::Bytes,
    /// Name of the stream.
    pub stream: String,
    /// Sequence in the stream.
    pub sequence: u64,
    /// When JetStream stored it.
    pub stored_at: Timestamp,
    /// How often it was delivered, 1 the first time.
    pub delivered: u64,
}

/// How far the events stream was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestPosition {
    /// When the stream was created; another time means another stream.
    pub stream_created: Timestamp,
    /// The last sequence handled.
    pub last_sequence: u64,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only of this org.
    pub org: Option<Org>,
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this host.
    pub host: Option<HostId>,
    /// Only of this name.
    pub name: Option<Name>,
    /// Only of this fan-out.
    pub fanout: Option<FanoutId>,
    /// Only after the job that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

/// Which hosts to list, by host id.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    /// Only of this org.
    pub org: Option<Org>,
    /// Only these.
    pub selector: HostSelector,
    /// Only after the host that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

/// What goes down an agent's connection.
#[derive(Debug)]
pub enum LinkMessage {
    /// A frame.
    Frame(ServerFrame),
    /// Send `Bye` with this reason, then close.
    Close(&'static str),
}

/// The way to an agent: the sending half of a bounded channel that its connection task drains. A full
/// channel counts as a dead connection.
pub type AgentLink = mpsc::Sender<LinkMessage>;

/// An agent with a valid key says hello.
#[derive(Debug)]
pub struct AttachAgent {
    /// Whose key it was.
    pub host_id: HostId,
    /// What it came with.
    pub presented: Presented,
    /// Its first frame.
    pub hello: Hello,
    /// The way to it.
    pub link: AgentLink,
}

/// Whether the server can do its work.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Readiness {
    /// The store takes writes.
    pub store: bool,
    /// Enough disk is free.
    pub disk: bool,
    /// The outbox is below its mark.
    pub outbox: bool,
    /// The actors run.
    pub actors: bool,
}

/// The actors. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    ground: Arc<Ground>,
    generations: Arc<Generations>,
    doors: Arc<Doors>,
    by: Arc<By>,
    /// How deep that is what led to the request, if a service was called.
    depth: Option<u8>,
}

impl Core {
    /// Starts the actors on a thread of their own, with what the store holds.
    pub fn start(
        config: CoreConfig,
        store: Store,
        artifacts: Arc<ArtifactStore>,
        rules: Arc<RuleSet>,
        publisher: Arc<dyn Publisher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Core, Refusal> {
        let ground = Arc::new(Ground::load(config, store, artifacts, publisher, clock)?);
        let rules = Rules {
            set: rules,
            loaded_at: ground.started,
            refused: None,
        };
        let generations = Generations::start(Arc::clone(&ground), rules)?;
        Ok(Core {
            ground,
            generations,
            doors: Arc::new(Doors::new()),
            by: Arc::new(By::system()),
            depth: None,
        })
    }

    #[cfg(test)]
    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The actors of the present generation.
    fn peers(&self) -> Result<Arc<Peers>, Refusal> {
        self.generations.peers().ok_or(Refusal::Unavailable {
            detail: "its actors are restarting",
        })
    }

    /// How far the events stream was handled; `None` before the first stream was seen.
    pub async fn ingest_position(&self) -> Result<Option<IngestPosition>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.ingest.do_send(GetPosition { reply });
        answer.wait().await
    }

    /// Another stream, or one that has lost its beginning: go on after `position`. Durable when it returns.
    pub async fn set_ingest_position(&self, position: IngestPosition) -> Result<(), Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.ingest.do_send(SetPosition { position, reply });
        answer.wait().await
    }

    /// Makes durable how far the events stream was handled; otherwise that is up to a second behind.
    pub async fn keep_ingest_position(&self) -> Result<(), Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.ingest.do_send(KeepPosition { reply });
        answer.wait().await
    }

    /// Handles deliveries in order. `Ok`: everything they cause is durable, ack all of them.
    /// `Busy`: nothing was changed; offer the same batch again later and nothing after it before.
    /// The deliveries are handed over in the call itself: calls keep their order.
    pub fn ingest(&self, batch: Vec<Delivery>) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let sequences: Vec<u64> = batch.iter().map(|delivery| delivery.sequence).collect();
        let offered = self.offer(batch);
        let ground = Arc::clone(&self.ground);
        async move {
            let result = match offered {
                Ok(answer) => answer.wait().await,
                Err(refusal) => Err(refusal),
            };
            if matches!(result, Err(Refusal::Unavailable { .. })) {
                ground.abandoned.note(&sequences);
            }
            result
        }
    }

    fn offer(&self, batch: Vec<Delivery>) -> Result<Answer<()>, Refusal> {
        let subjects = &self.ground.config.subjects;
        let read = |delivery| Incoming::read(subjects, &self.ground.attester, delivery);
        let batch = batch.into_iter().map(read).collect();
        let (reply, answer) = self.doors.ingest.enter()?;
        self.peers()?.ingest.do_send(Offer { batch, reply });
        Ok(answer)
    }

    /// One job.
    pub async fn get_job(&self, org: Option<Org>, job_id: JobId) -> Result<JobView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(GetJob { org, job_id, reply });
        answer.wait().await
    }

    /// Many jobs, newest first.
    pub async fn list_jobs(&self, filter: JobFilter) -> Result<Page<JobView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(ListJobs { filter, reply });
        answer.wait().await
    }

    /// Cancels a job that has not ended; a running one ends when its host confirms.
    pub async fn cancel_job(&self, org: Option<Org>, job_id: JobId) -> Result<JobView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(CancelJob {
            org,
            job_id,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// A host by id, sensor id or hostname.
    pub async fn get_host(&self, org: Option<Org>, name: String) -> Result<HostView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(GetHost { org, name, reply });
        let mut view = answer.wait().await?;
        self.count_open(std::slice::from_mut(&mut view)).await?;
        Ok(view)
    }

    /// Changes the labels that administrators gave a host, by its id, sensor id or name.
    pub async fn label_host(
        &self,
        org: Option<Org>,
        name: String,
        change: LabelChange,
    ) -> Result<HostView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(LabelHost {
            org,
            name,
            change,
            by: self.on_record(),
            reply,
        });
        let mut view = answer.wait().await?;
        self.count_open(std::slice::from_mut(&mut view)).await?;
        Ok(view)
    }

    /// Many hosts, by host id. A page may have fewer than `limit`, and even none, while `next` says that there is
    /// more: so much is looked at for one page and no more.
    pub async fn list_hosts(&self, filter: HostFilter) -> Result<Page<HostView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(ListHosts {
            filter,
            only_targets: false,
            reply,
        });
        let mut page = answer.wait().await?;
        self.count_open(&mut page.items).await?;
        Ok(page)
    }

    /// Fills in how many jobs each host has open.
    async fn count_open(&self, views: &mut [HostView]) -> Result<(), Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        let hosts = views.iter().map(|view| view.host_id).collect();
        self.peers()?.scheduler.do_send(CountOpen { hosts, reply });
        let counts = answer.wait().await?;
        for view in views {
            view.jobs_open = counts.get(&view.host_id).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// All session slots.
    pub async fn slots(&self) -> Result<SlotsView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.scheduler.do_send(GetSlots { reply });
        answer.wait().await
    }

    /// The rules in force.
    pub async fn pipelines(&self) -> Result<PipelinesView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.router.do_send(GetRules { reply });
        answer.wait().await
    }

    /// Puts a new set of rules in force.
    pub fn set_rules(&self, rules: Arc<RuleSet>) {
        self.generations.set_rules(Ok(rules));
    }

    /// Remembers why a newer set was refused; the present one stays.
    pub fn refuse_rules(&self, why: String) {
        self.generations.set_rules(Err(why));
    }

    /// Enrols an agent with the token `token_id`: the same install id gives the same host.
    pub async fn enrol(&self, token_id: String, request: Enrol) -> Result<Enrolled, Refusal> {
        let (reply, answer) = self.doors.attach.enter()?;
        self.peers()?.directory.do_send(EnrolAgent {
            token_id,
            request,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// The host whose agent key has this hash, if the key is not revoked.
    pub fn host_of_key(&self, key_sha256: &Sha256) -> Result<Option<HostId>, Refusal> {
        crate::access::host_of_key(&self.ground.store, key_sha256)
    }

    /// Whether `org` (`None`: any) may read this artifact through this job.
    pub async fn artifact_of_job(
        &self,
        org: Option<Org>,
        job_id: JobId,
        sha256: &Sha256,
    ) -> Result<ArtifactRef, Refusal> {
        let job = self.get_job(org, job_id).await?;
        let found = job
            .steps
            .into_iter()
            .filter_map(|step| step.artifact)
            .find(|a| a.sha256 == *sha256);
        found.ok_or_else(|| Refusal::NotFound {
            what: "artifact",
            id: sha256.to_string(),
        })
    }

    /// Attaches an agent. An older connection of the same host is replaced (`Bye replaced`).
    pub async fn attach_agent(&self, request: AttachAgent) -> Result<Attached, Refusal> {
        let (reply, answer) = self.doors.attach.enter()?;
        self.peers()?.directory.do_send(AttachTo { request, reply });
        answer.wait().await
    }

    /// The broker came back: publish what waits now rather than at the next retry.
    pub fn broker_returned(&self) {
        if let Ok(peers) = self.peers() {
            peers.outbox.do_send(BrokerReturned);
        }
    }

    /// Whether the server can do its work.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            store: !self.ground.store.failed(),
            disk: !self.ground.store.disk_low(),
            outbox: self.ground.load.admits(),
            actors: self.generations.peers().is_some(),
        }
    }

    /// How often the actors had to be restarted after a panic; 0 in a healthy process.
    pub fn restarts(&self) -> u64 {
        self.generations.restarts()
    }
}
