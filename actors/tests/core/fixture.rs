//! A core in a temporary directory, and doubles named by what they do.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::SystemClock;
use tripline_actors::pipeline::RuleSet;
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};
use tripline_actors::store::{Options, Store};
use tripline_actors::{AttachAgent, Attached, Core, CoreConfig, LinkMessage};
use tripline_protocol::api::{CreateToken, Enrol, Enrolled, JobView, Role, SubmitJob};
use tripline_protocol::frame::{Command, CommandResult, Hello, ServerFrame};
use tripline_protocol::job::{JobSpec, JobState};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, HostId, InstallId, JobId, Sha256};
use uuid::Uuid;

/// Takes everything at once and remembers it; can be told that the broker is away.
#[derive(Default)]
pub(crate) struct RecordingPublisher {
    pub(crate) published: Mutex<Vec<OutMessage>>,
    pub(crate) notices: Mutex<Vec<String>>,
    pub(crate) away: std::sync::atomic::AtomicBool,
}

impl Publisher for RecordingPublisher {
    fn publish(&self, message: OutMessage) -> BoxFuture<Result<(), PublishError>> {
        if self.away.load(std::sync::atomic::Ordering::Relaxed) {
            return Box::pin(async { Err(PublishError::Transient("away".into())) });
        }
        self.published.lock().unwrap().push(message);
        Box::pin(async { Ok(()) })
    }

    fn notify(&self, subject: String, _: Vec<u8>) {
        self.notices.lock().unwrap().push(subject);
    }
}

impl RecordingPublisher {
    pub(crate) fn results(&self) -> Vec<OutMessage> {
        let published = self.published.lock().unwrap();
        published
            .iter()
            .filter(|message| message.subject.contains(".results."))
            .cloned()
            .collect()
    }
}

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) core: Core,
    pub(crate) store: Store,
    pub(crate) publisher: Arc<RecordingPublisher>,
    pub(crate) access: Access,
}

pub(crate) fn config() -> CoreConfig {
    CoreConfig {
        slots_interactive_reserved: 0,
        slots_jobs_reserved: 0,
        ..CoreConfig::default()
    }
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config(), RuleSet::default())
    }

    pub(crate) fn start_in(dir: TempDir, config: CoreConfig, rules: RuleSet) -> Self {
        let options = Options {
            path: dir.path().to_owned(),
            cache_bytes: 16 * 1024 * 1024,
            disk_free_min: config.disk_free_min,
        };
        let store = Store::open(&options).unwrap();
        let artifacts = Arc::new(ArtifactStore::open(dir.path(), 1 << 30).unwrap());
        let publisher = Arc::new(RecordingPublisher::default());
        let clock = Arc::new(SystemClock::default());
        let access = Access::new(store.clone(), clock.clone());
        let core = Core::start(
            config,
            store.clone(),
            artifacts,
            Arc::new(rules),
            publisher.clone(),
            clock,
        )
        .unwrap();
        Self {
            dir,
            core,
            store,
            publisher,
            access,
        }
    }

    pub(crate) async fn enrol(&self, hostname: &str) -> Enrolled {
        let token = CreateToken {
            name: "test".into(),
            role: Role::Enrol,
            org: None,
            uses: None,
            expires: None,
        };
        let token = self.access.create(token).await.unwrap();
        let request = Enrol {
            install_id: InstallId(Uuid::new_v4()),
            key_sha256: Sha256::from_digest(&rand_digest()),
            hostname: hostname.into(),
            addresses: vec![],
            platform: "linux".into(),
            arch: "x86_64".into(),
        };
        self.core.enrol(token.view.id, request).await.unwrap()
    }

    pub(crate) async fn attach(&self, host_id: HostId, hostname: &str) -> Agent {
        Agent::attach(&self.core, host_id, hello(hostname)).await
    }

    pub(crate) async fn submit(&self, host_id: HostId, steps: Vec<Step>) -> JobView {
        let job = JobSpec {
            name: "test".parse().unwrap(),
            expires: None,
            timeout: None,
            priority: Default::default(),
            steps,
        };
        let request = SubmitJob {
            org: None,
            host: host_id.to_string(),
            job: Some(job),
            named: None,
            params: Default::default(),
            idempotency_key: None,
        };
        self.core.submit_job(request).await.unwrap()
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, job_id: JobId) -> JobView {
        loop {
            let view = self.core.get_job(None, job_id).await.unwrap();
            if matches!(view.state, JobState::Ended(_)) {
                return view;
            }
            tokio::task::yield_now().await;
        }
    }
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
        verbs: vec![
            Verb::ListProcesses,
            Verb::DeleteFile,
            Verb::ListDirectory,
            Verb::CreateProcess,
        ],
        journal_id: Uuid::from_u128(1),
        running: vec![],
        finished: vec![],
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
                hello,
                link: sender,
            })
            .await
            .unwrap();
        Self { attached, link }
    }

    /// The next frame, within a bound that only a hang reaches.
    pub(crate) async fn frame(&mut self) -> ServerFrame {
        let next = tokio::time::timeout(Duration::from_secs(30), self.link.recv());
        match next.await.expect("no frame came").expect("the link ended") {
            LinkMessage::Frame(frame) => frame,
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    pub(crate) async fn command(&mut self) -> Command {
        match self.frame().await {
            ServerFrame::Command(command) => *command,
            other => panic!("expected a command, got {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> Vec<CommandId> {
        match self.frame().await {
            ServerFrame::Ack { command_ids } => command_ids,
            other => panic!("expected an ack, got {other:?}"),
        }
    }

    pub(crate) fn answer(&self, command_id: CommandId, output: serde_json::Value) {
        let output = Some(output);
        self.attached.result(
            CommandResult {
                command_id,
                output,
                error: None,
                truncated: None,
            },
            None,
        );
    }
}
