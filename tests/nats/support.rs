//! Brokers for tests, an intake that remembers, and waiting for conditions.

use async_nats::jetstream;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripline::nats::embedded::find::Search;
use tripline::nats::embedded::{EmbeddedBroker, EmbeddedOptions};
use tripline::nats::service::Endpoint;
use tripline::nats::{Api, ConnectionInfo, Intake, NatsDead, NatsEdge, NatsFeed, NatsOptions, NatsPublisher};
use tripline_actors::{Delivery, IngestPosition, Refusal};
use tripline_protocol::Subjects;
use tripline_protocol::api::Problem;

/// Longest wait for anything; only failing tests wait that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the repository is.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// nats-server, or a failure that says how to get one.
pub(crate) fn server_binary() -> PathBuf {
    search().find().expect("the tests need a broker")
}

pub(crate) fn search() -> Search {
    let mut search = Search::from_environment();
    search.folders.push(root().join(".nats/bin"));
    search
}

pub(crate) fn options(data_dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        search: search(),
        guard: PathBuf::from(env!("CARGO_BIN_EXE_tripline")),
        ..EmbeddedOptions::new(
            data_dir.to_owned(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Subjects::default(),
        )
    }
}

/// A broker in a folder that goes with it.
pub(crate) struct TestBroker {
    pub(crate) folder: TempDir,
    pub(crate) broker: EmbeddedBroker,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let broker = EmbeddedBroker::start(options(folder.path()))
            .await
            .expect("a broker");
        Self { folder, broker }
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.broker.info()
    }

    /// Ends the broker and waits until it runs again under another process id.
    pub(crate) async fn kill(&self) {
        let before = self.broker.pid().expect("a running broker");
        kill(before);
        eventually("the broker is started again", || {
            self.broker.pid().is_some_and(|pid| pid != before)
        })
        .await;
    }

    pub(crate) fn nats_options(&self) -> NatsOptions {
        NatsOptions::embedded(self.info(), Subjects::default())
    }

    /// A client as the server's own user.
    pub(crate) async fn admin(&self) -> async_nats::Client {
        client(&self.info().url, &self.info().server, "_INBOX_tripline").await
    }

    pub(crate) async fn publisher(&self) -> async_nats::Client {
        client(&self.info().url, &self.info().publisher, "_INBOX").await
    }

    pub(crate) async fn subscriber(&self) -> async_nats::Client {
        client(&self.info().url, &self.info().subscriber, "_INBOX").await
    }
}

pub(crate) async fn client(
    url: &str,
    login: &tripline::nats::connection::Login,
    inbox: &str,
) -> async_nats::Client {
    async_nats::ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone())
        .custom_inbox_prefix(inbox)
        .connect(url)
        .await
        .expect("a connection")
}

/// Waits until the broker has the subscriptions of this connection: it answers in their order, while a flush only says
/// that they are on their way.
pub(crate) async fn subscribed(client: &async_nats::Client) {
    let answer = client.request("$JS.API.INFO", "".into()).await;
    answer.expect("an answer");
}

/// `kill -9`.
pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("to kill");
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        // Between two looks at a condition of another process, which cannot wake this one.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Publishes to JetStream as the publisher user and waits for the acks.
pub(crate) async fn publish_events(client: &async_nats::Client, range: std::ops::Range<u64>) {
    let jetstream = jetstream::new(client.clone());
    let mut acks = Vec::new();
    for number in range {
        acks.push(
            jetstream
                .publish("tripline.events.default.test", number.to_string().into())
                .await
                .expect("to send"),
        );
    }
    for ack in acks {
        ack.await.expect("an ack");
    }
}

/// An intake that remembers what it was given and answers as it is told.
#[derive(Clone, Default)]
pub(crate) struct RememberingIntake(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    position: Option<IngestPosition>,
    taken: Vec<Delivery>,
    offered: Vec<Vec<u64>>,
    answers: VecDeque<Refusal>,
    returned: u32,
    unavailable: bool,
}

impl RememberingIntake {
    /// The numbers of the events it took, in the order it took them.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let numbers = |delivery: &Delivery| std::str::from_utf8(&delivery.payload).unwrap().parse().unwrap();
        self.0.lock().taken.iter().map(numbers).collect()
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.0.lock().taken.clone()
    }

    /// The sequences of each batch it was offered.
    pub(crate) fn offered(&self) -> Vec<Vec<u64>> {
        self.0.lock().offered.clone()
    }

    pub(crate) fn position(&self) -> Option<IngestPosition> {
        self.0.lock().position
    }

    pub(crate) fn set_position(&self, position: Option<IngestPosition>) {
        self.0.lock().position = position;
    }

    /// Refuses the next batches so.
    pub(crate) fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.0.lock().answers.extend(refusals);
    }

    pub(crate) fn set_unavailable(&self, unavailable: bool) {
        self.0.lock().unavailable = unavailable;
    }

    /// How often the broker returned.
    pub(crate) fn returned(&self) -> u32 {
        self.0.lock().returned
    }
}

impl Intake for RememberingIntake {
    async fn position(&self) -> Result<Option<IngestPosition>, Refusal> {
        Ok(self.0.lock().position)
    }

    async fn set_position(&self, position: IngestPosition) -> Result<(), Refusal> {
        self.0.lock().position = Some(position);
        Ok(())
    }

    async fn keep_position(&self) -> Result<(), Refusal> {
        Ok(())
    }

    async fn ingest(&self, batch: Vec<Delivery>) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        let mut memory = self.0.lock();
        memory
            .offered
            .push(batch.iter().map(|delivery| delivery.sequence).collect());
        if let Some(refusal) = memory.answers.pop_front() {
            return Err(refusal);
        }
        if let (Some(position), Some(last)) = (&mut memory.position, batch.last()) {
            position.last_sequence = position.last_sequence.max(last.sequence);
        }
        memory.taken.extend(batch);
        Ok(())
    }

    fn available(&self) -> bool {
        !self.0.lock().unavailable
    }

    fn broker_returned(&self) {
        self.0.lock().returned += 1;
    }
}

/// Answers every request with what was asked, and refuses those without the token `good`.
pub(crate) struct EchoApi;

impl Api for EchoApi {
    async fn call(&self, endpoint: Endpoint, token: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        if token != Some("good") {
            return Err(Problem {
                kind: "urn:tripline:problem:unauthenticated".into(),
                title: "Unauthorized".into(),
                status: 401,
                detail: "a token is needed".into(),
                code: "unauthenticated".into(),
            });
        }
        let (noun, verb) = endpoint.words();
        Ok([format!("{noun}.{verb} ").as_bytes(), body].concat())
    }
}

/// An edge with its publisher and what it took.
pub(crate) struct TestEdge {
    pub(crate) edge: NatsEdge,
    pub(crate) publisher: Arc<NatsPublisher>,
    pub(crate) feed: Arc<NatsFeed>,
    pub(crate) dead: Arc<NatsDead>,
    pub(crate) intake: RememberingIntake,
}

impl TestEdge {
    pub(crate) async fn start(options: NatsOptions, intake: RememberingIntake) -> Self {
        let (publisher, feed, dead) = (NatsPublisher::new(), NatsFeed::new(), NatsDead::new());
        let edge = NatsEdge::start(options, (&publisher, &feed, &dead), intake.clone(), EchoApi)
            .await
            .expect("an edge");
        Self {
            edge,
            publisher,
            feed,
            dead,
            intake,
        }
    }

    pub(crate) async fn ready(&self) {
        let status = self.edge.status();
        eventually("the edge is connected", || status.connected()).await;
    }

    pub(crate) async fn took(&self, count: usize) {
        eventually("the events are taken", || self.intake.numbers().len() >= count).await;
    }
}

/// A connection, if the broker takes one now.
pub(crate) async fn try_client(
    url: &str,
    login: &tripline::nats::connection::Login,
) -> Option<async_nats::Client> {
    async_nats::ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone())
        .connection_timeout(Duration::from_secs(1))
        .connect(url)
        .await
        .ok()
}
