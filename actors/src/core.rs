//! The actors as edges see them: one cloneable handle, one async method per request.

use crate::refusal::Refusal;
use tokio::sync::mpsc;
use tripline_protocol::api::{
    Enrol, Enrolled, HostView, JobView, Page, PipelinesView, PublishedEvent, SlotsView, SubmitJob,
};
use tripline_protocol::frame::{AgentFrame, CommandResult, Hello, ServerFrame};
use tripline_protocol::job::JobState;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Event, HostId, JobId, Name, Org, Sha256, Span, Subjects, Timestamp};

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
    /// `session.reconnect_grace`
    pub reconnect_grace: Span,
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
    /// `outbox.messages_max`
    pub outbox_max: u32,
    /// `outbox.resend_window`: how long acked messages are kept to be published again at start.
    pub outbox_resend_window: Span,
    /// `disk.free_min`: bytes that must be free in `data_dir`, below which new work is refused.
    pub disk_free_min: u64,
    /// `hosts.idle_timeout`: when an idle, detached host leaves memory.
    pub host_idle: Span,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            subjects: Subjects::default(),
            slots_total: 10,
            slots_interactive_reserved: 2,
            slots_jobs_reserved: 2,
            events_max_age: Span::from_secs(3600),
            reconnect_grace: Span::from_secs(30),
            jobs_per_host_max: 1_000,
            jobs_per_pipeline_max: 10_000,
            jobs_max: 200_000,
            jobs_retain: Span::from_secs(7 * 24 * 3600),
            jobs_retain_max: 1_000_000,
            outbox_max: 300_000,
            outbox_resend_window: Span::from_secs(240),
            disk_free_min: 256 * 1024 * 1024,
            host_idle: Span::from_secs(60),
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
    /// Only after the job that `Page::next` named.
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
    /// Its first frame.
    pub hello: Hello,
    /// The way to it.
    pub link: AgentLink,
}

/// An attachment; dropping it detaches the agent.
#[derive(Debug)]
pub struct Attached {
    /// The attachment's number.
    pub epoch: u64,
}

impl Attached {
    /// Hands on a result. `artifact` is the verified file that a transfer of this command left.
    pub fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>) {
        let _ = (result, artifact);
    }

    /// Hands on any other frame than hello, result, credit, ping and pong, which are the connection's own.
    pub fn frame(&self, frame: AgentFrame) {
        let _ = frame;
    }

    /// A transfer failed at the server (full disk, wrong hash): the command fails with it.
    pub fn transfer_failed(&self, command_id: CommandId, fault: tripline_protocol::Fault) {
        let _ = (command_id, fault);
    }
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
pub struct Core {}

impl Core {
    /// How far the events stream was handled; `None` before the first stream was seen.
    pub async fn ingest_position(&self) -> Result<Option<IngestPosition>, Refusal> {
        todo!()
    }

    /// Another stream: go on after `position`. Durable when it returns.
    pub async fn set_ingest_position(&self, position: IngestPosition) -> Result<(), Refusal> {
        todo!()
    }

    /// Handles deliveries in order. `Ok`: everything they cause is durable, ack all of them.
    /// `Busy`: nothing was changed; offer the same batch again later and nothing after it before.
    pub async fn ingest(&self, batch: Vec<Delivery>) -> Result<(), Refusal> {
        todo!()
    }

    /// Accepts a job; durable when it returns.
    pub async fn submit_job(&self, request: SubmitJob) -> Result<JobView, Refusal> {
        todo!()
    }

    /// One job.
    pub async fn get_job(&self, org: Option<Org>, job_id: JobId) -> Result<JobView, Refusal> {
        todo!()
    }

    /// Many jobs, newest first.
    pub async fn list_jobs(&self, filter: JobFilter) -> Result<Page<JobView>, Refusal> {
        todo!()
    }

    /// Cancels a job that has not ended; a running one ends when its host confirms.
    pub async fn cancel_job(&self, org: Option<Org>, job_id: JobId) -> Result<JobView, Refusal> {
        todo!()
    }

    /// A host by id, sensor id or hostname.
    pub async fn get_host(&self, org: Option<Org>, name: String) -> Result<HostView, Refusal> {
        todo!()
    }

    /// Many hosts, by host id; `after` is `Page::next` of the page before, `limit` 1 to 1000.
    pub async fn list_hosts(
        &self,
        org: Option<Org>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<HostView>, Refusal> {
        todo!()
    }

    /// All session slots.
    pub async fn slots(&self) -> Result<SlotsView, Refusal> {
        todo!()
    }

    /// Takes an event from an edge: durable in the outbox when it returns, published soon after.
    pub async fn publish_event(&self, event: Event) -> Result<PublishedEvent, Refusal> {
        todo!()
    }

    /// The rules in force.
    pub async fn pipelines(&self) -> Result<PipelinesView, Refusal> {
        todo!()
    }

    /// Puts a new set of rules in force.
    pub fn set_rules(&self, rules: std::sync::Arc<crate::pipeline::RuleSet>) {
        let _ = rules;
    }

    /// Remembers why a newer set was refused; the present one stays.
    pub fn refuse_rules(&self, why: String) {
        let _ = why;
    }

    /// Enrols an agent with the token `token_id`: the same install id gives the same host.
    pub async fn enrol(&self, token_id: String, request: Enrol) -> Result<Enrolled, Refusal> {
        todo!()
    }

    /// The host whose agent key has this hash, if the key is not revoked.
    pub fn host_of_key(&self, key_sha256: &Sha256) -> Result<Option<HostId>, Refusal> {
        todo!()
    }

    /// Attaches an agent. An older connection of the same host is replaced (`Bye replaced`).
    pub async fn attach_agent(&self, request: AttachAgent) -> Result<Attached, Refusal> {
        todo!()
    }

    /// The broker came back: publish what waits now rather than at the next retry.
    pub fn broker_returned(&self) {}

    /// Whether the server can do its work.
    pub fn readiness(&self) -> Readiness {
        todo!()
    }

    /// Stops taking work, waits until everything decided is durable and what can be published is, at most
    /// `within`, then stops the actors.
    pub async fn drain(&self, within: Span) {
        todo!()
    }
}
