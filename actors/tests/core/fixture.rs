//! A core in a temporary directory, and doubles named by what they do.

#[path = "publisher.rs"]
mod publisher;

pub(crate) use publisher::RecordingPublisher;
use serde_json::{Value, json};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::check::{Contents, check};
use tripline_actors::clock::{Clock, ManualClock};
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_actors::ports::OutMessage;
use tripline_actors::store::{Options, Store, Table};
use tripline_actors::{AttachAgent, Attached, Core, CoreConfig, HostFilter, LinkMessage};
use tripline_protocol::api::{CreateToken, Enrol, Enrolled, JobView, Role, SubmitJob};
use tripline_protocol::frame::{Command, CommandResult, Hello, ServerFrame};
use tripline_protocol::job::{JobSpec, JobState};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, Fault, HostId, InstallId, JobId, Sha256, Span, Timestamp};
use uuid::Uuid;

/// Waits until `look` finds something, within a bound that only a hang reaches.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // Between two looks at actors on another thread.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let bounded = tokio::time::timeout(HANG, found).await;
    bounded.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(60);

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// What the actors decide about.
const TABLES: [Table; 64] = [
    Table::Control,
    Table::Job,
    Table::OpenJob,
    Table::JobByTime,
    Table::JobTombstone,
    Table::TombstoneByTime,
    Table::HandledEvent,
    Table::HandledByTime,
    Table::PublishedResult,
    Table::SettledByTime,
    Table::DeadByTime,
    Table::Window,
    Table::TouchedHost,
    Table::PipelineEnds,
    Table::PipelinePause,
    Table::Withheld,
    Table::WithheldByTime,
    Table::WithheldTally,
    Table::Host,
    Table::HostBySensor,
    Table::HostByName,
    Table::AgentKey,
    Table::LbHost,
    Table::LbProcess,
    Table::LbLink,
    Table::LbAlive,
    Table::LbSilent,
    Table::HostLabels,
    Table::Token,
    Table::Once,
    Table::OnceByTime,
    Table::Outbox,
    Table::Sent,
    Table::Quarantine,
    Table::Artifact,
    Table::ArtifactUse,
    Table::Session,
    Table::SessionByNumber,
    Table::SessionByTime,
    Table::OpenSession,
    Table::EndedSession,
    Table::SessionCommand,
    Table::SessionFile,
    Table::FileBySession,
    Table::Fanout,
    Table::FanoutByTime,
    Table::FanoutDefinition,
    Table::FanoutChunk,
    Table::FanoutHost,
    Table::LcOrg,
    Table::Clock,
    Table::Service,
    Table::ServiceSecret,
    Table::ServiceOrg,
    Table::ServiceDelivery,
    Table::ServiceEvent,
    Table::ServiceEventUse,
    Table::ServiceJob,
    Table::ServiceResource,
    Table::ServiceRequest,
    Table::LcCall,
    Table::LcCallByTime,
    Table::LcNews,
    Table::LcLink,
];

/// A clock that goes on a little whenever somebody looks at it, so that no two things happen at once.
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.advance(Span::from_millis(1));
        self.0.now()
    }
}

/// What a core is started with.
pub(crate) struct Setup {
    pub(crate) config: CoreConfig,
    /// Files of pipelines.
    pub(crate) pipelines: Vec<&'static str>,
    pub(crate) clock: ManualClock,
    /// The clock goes on by itself.
    pub(crate) ticks: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: config(),
            pipelines: Vec::new(),
            clock: ManualClock::new(SystemTime::now().into()),
            ticks: false,
        }
    }
}

pub(crate) struct Fixture {
    sound: Sound,
    setup: Setup,
    dir: TempDir,
    pub(crate) core: Core,
    pub(crate) store: Store,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) publisher: Arc<RecordingPublisher>,
    pub(crate) access: Access,
}

/// At the end of every test: the rows that it made can be read and fit together.
struct Sound {
    store: Store,
    dir: PathBuf,
}

impl Drop for Sound {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.store.flush_and_close();
        let contents = Contents::look(&self.dir, true, &mut |_| {}).unwrap();
        let report = check(&self.store, Some(&contents)).unwrap();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
    }
}

pub(crate) fn config() -> CoreConfig {
    CoreConfig {
        slots_interactive_reserved: 0,
        slots_jobs_reserved: 0,
        ..CoreConfig::default()
    }
}

pub(crate) fn rules(pipelines: &[&str]) -> Arc<RuleSet> {
    let file = |text: &&str| SourceFile {
        path: "p.yaml".into(),
        text: (*text).into(),
    };
    let files: Vec<SourceFile> = pipelines.iter().map(file).collect();
    Arc::new(RuleSet::parse(&files, &[]).unwrap())
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub(crate) fn start_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&options(&dir)).unwrap();
        Self::start_on(dir, store, setup)
    }

    fn start_on(dir: TempDir, store: Store, setup: Setup) -> Self {
        let artifacts = Arc::new(ArtifactStore::open(dir.path(), 1 << 30).unwrap());
        let publisher = Arc::new(RecordingPublisher::default());
        let clock: Arc<dyn Clock> = match setup.ticks {
            true => Arc::new(Ticking(setup.clock.clone())),
            false => Arc::new(setup.clock.clone()),
        };
        let access = Access::new(store.clone(), clock.clone());
        let core = Core::start(
            setup.config.clone(),
            store.clone(),
            artifacts.clone(),
            rules(&setup.pipelines),
            publisher.clone(),
            clock,
        )
        .unwrap();
        let sound = Sound {
            store: store.clone(),
            dir: dir.path().to_owned(),
        };
        Self {
            sound,
            setup,
            dir,
            core,
            store,
            artifacts,
            publisher,
            access,
        }
    }

    /// Stops the core in the middle of whatever it does, and starts another on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Setup)) -> Self {
        let Self {
            sound,
            mut setup,
            dir,
            core,
            store,
            artifacts,
            publisher,
            access,
        } = self;
        core.drain(Span::ZERO).await;
        drop((sound, core, store, artifacts, publisher, access));
        let options = options(&dir);
        let store = eventually("the store is free", || async { Store::open(&options).ok() }).await;
        change(&mut setup);
        Self::start_on(dir, store, setup)
    }

    /// Ends it and leaves its data.
    pub(crate) async fn stop(self) -> TempDir {
        let Self {
            sound,
            dir,
            core,
            store,
            artifacts,
            publisher,
            access,
            setup: _,
        } = self;
        core.drain(Span::ZERO).await;
        drop((sound, core, store, artifacts, publisher, access));
        let options = options(&dir);
        drop(eventually("the store is free", || async { Store::open(&options).ok() }).await);
        dir
    }

    /// Another core on data that was left.
    pub(crate) fn resume(dir: TempDir) -> Self {
        let store = Store::open(&options(&dir)).unwrap();
        Self::start_on(dir, store, Setup::default())
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.setup.clock.advance(Span::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    /// A token that enrols so many agents.
    pub(crate) async fn token(&self, org: Option<&str>, uses: Option<u32>) -> String {
        let token = CreateToken {
            name: "test".into(),
            role: Role::Enrol,
            org: org.map(|org| org.parse().unwrap()),
            uses,
            expires: None,
        };
        self.access.create(token).await.unwrap().view.id
    }

    pub(crate) async fn enrol(&self, hostname: &str) -> Enrolled {
        self.enrol_in(None, hostname).await
    }

    pub(crate) async fn enrol_in(&self, org: Option<&str>, hostname: &str) -> Enrolled {
        let token = self.token(org, None).await;
        self.core.enrol(token, enrolment(hostname)).await.unwrap()
    }

    pub(crate) async fn attach(&self, host_id: HostId, hostname: &str) -> Agent {
        Agent::attach(&self.core, host_id, hello(hostname)).await
    }

    pub(crate) async fn submit(&self, host_id: HostId, steps: Vec<Step>) -> JobView {
        self.core.submit_job(request(host_id, steps)).await.unwrap()
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, job_id: JobId) -> JobView {
        eventually("the job ends", || async {
            let view = self.core.get_job(None, job_id).await.unwrap();
            matches!(view.state, JobState::Ended(_)).then_some(view)
        })
        .await
    }

    /// Waits until so many messages with this part in their subject were published.
    pub(crate) async fn published(&self, part: &str, count: usize) -> Vec<OutMessage> {
        eventually(part, || async {
            let found = self.publisher.with(part);
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// All rows of all tables but those of the audit, which knows who was turned away, and those that say what the
    /// broker has taken meanwhile.
    pub(crate) fn all_rows(&self) -> Vec<(Table, Vec<Row>)> {
        let rows = |table| (table, self.store.scan(table, &[], None, 100_000).unwrap());
        let tables = TABLES.into_iter().filter(|table| *table != Table::Sent);
        tables.map(rows).collect()
    }

    /// The thread of the actors, once something was published.
    pub(crate) async fn thread(&self) -> ThreadId {
        eventually("something is published", || async {
            *self.publisher.thread.lock().unwrap()
        })
        .await
    }

    /// How many rows a table has.
    pub(crate) fn rows(&self, table: Table) -> usize {
        self.store.scan(table, &[], None, 10_000).unwrap().len()
    }
}

pub(crate) fn options(dir: &TempDir) -> Options {
    Options {
        cache_bytes: 16 * 1024 * 1024,
        ..Options::new(dir.path())
    }
}

/// The first page of all hosts.
pub(crate) fn page(limit: usize) -> HostFilter {
    HostFilter {
        limit,
        ..HostFilter::default()
    }
}

pub(crate) fn request(host_id: HostId, steps: Vec<Step>) -> SubmitJob {
    let job = JobSpec::new("test".parse().unwrap(), steps);
    SubmitJob {
        org: None,
        host: host_id.to_string(),
        job: Some(job),
        named: None,
        params: Default::default(),
        idempotency_key: None,
        investigation_id: None,
    }
}

pub(crate) fn enrolment(hostname: &str) -> Enrol {
    Enrol {
        install_id: InstallId(Uuid::new_v4()),
        key_sha256: Sha256::from_digest(&rand_digest()),
        hostname: hostname.into(),
        addresses: vec![],
        platform: "linux".into(),
        arch: "x86_64".into(),
    }
}

pub(crate) fn list() -> Step {
    Step::new(Verb::ListProcesses, json!({}))
}

pub(crate) fn delete() -> Step {
    Step::new(Verb::DeleteFile, json!({ "path": "/tmp/x" }))
}

fn rand_digest() -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    digest
}

pub(crate) fn hello(hostname: &str) -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: hostname.into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "test".into(),
        addresses: vec![],
        labels: vec![],
        verbs: vec![
            Verb::ListProcesses,
            Verb::DeleteFile,
            Verb::ListDirectory,
            Verb::CreateProcess,
        ],
        resumes: false,
        journal_id: Uuid::from_u128(1),
        run_id: None,
        running: vec![],
        finished: vec![],
        isolation: None,
    }
}

/// An agent played by the test, by hand.
pub(crate) struct Agent {
    pub(crate) attached: Attached,
    link: mpsc::Receiver<LinkMessage>,
}

impl Agent {
    pub(crate) async fn attach(core: &Core, host_id: HostId, hello: Hello) -> Self {
        let (sender, link) = mpsc::channel(256);
        let attached = core
            .attach_agent(AttachAgent {
                host_id,
                presented: Default::default(),
                hello,
                link: sender,
            })
            .await
            .unwrap();
        Self { attached, link }
    }

    /// One that was attached by hand, too.
    pub(crate) fn of(attached: Attached, link: mpsc::Receiver<LinkMessage>) -> Self {
        Self { attached, link }
    }

    /// What comes next down the link, within a bound that only a hang reaches.
    pub(crate) async fn next(&mut self) -> Option<LinkMessage> {
        let next = tokio::time::timeout(HANG, self.link.recv());
        next.await.expect("nothing came")
    }

    pub(crate) async fn frame(&mut self) -> ServerFrame {
        match self.next().await {
            Some(LinkMessage::Frame(frame)) => frame,
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// The reason with which the link ends.
    pub(crate) async fn close(&mut self) -> &'static str {
        match self.next().await {
            Some(LinkMessage::Close(reason)) => reason,
            other => panic!("expected the end, got {other:?}"),
        }
    }

    pub(crate) async fn command(&mut self) -> Command {
        match self.frame().await {
            ServerFrame::Command(command) => *command,
            other => panic!("expected a command, got {other:?}"),
        }
    }

    pub(crate) async fn cancel(&mut self) -> CommandId {
        match self.frame().await {
            ServerFrame::Cancel { command_id } => command_id,
            other => panic!("expected a cancel, got {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> Vec<CommandId> {
        match self.frame().await {
            ServerFrame::Ack { command_ids } => command_ids,
            other => panic!("expected an ack, got {other:?}"),
        }
    }

    pub(crate) fn answer(&self, command_id: CommandId, output: Value) {
        self.result(command_id, Some(output), None);
    }

    pub(crate) fn fail(&self, command_id: CommandId, fault: Fault) {
        self.result(command_id, None, Some(fault));
    }

    fn result(&self, command_id: CommandId, output: Option<Value>, error: Option<Fault>) {
        let result = CommandResult {
            command_id,
            output,
            error,
            truncated: None,
        };
        self.attached.result(result, None);
    }

    /// Runs the next command and waits until it may be forgotten.
    pub(crate) async fn obey(&mut self) -> Command {
        let command = self.command().await;
        self.answer(command.command_id, json!({}));
        assert_eq!(self.ack().await, [command.command_id]);
        command
    }
}
