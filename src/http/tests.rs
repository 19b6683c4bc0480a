//! What handlers ask, for tests of their bounds: real actors on a store in a temporary folder, and no broker.

use super::*;
use crate::config::Littlebrother;
use crate::{dead, feed};
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use futures_util::FutureExt;
use futures_util::future::ready;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use sha2::Digest;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tripline_actors::access::Principal;
use tripline_actors::clock::SystemClock;
use tripline_actors::ports::{OutMessage, PublishError, Publisher};
use tripline_actors::store::{Options, Store};
use tripline_actors::{AttachAgent, CoreConfig, LinkMessage};
use tripline_protocol::api::{CreateToken, Enrol, Enrolled, Role};
use tripline_protocol::frame::{CommandResult, Hello, ServerFrame};
use tripline_protocol::session::OpenSession;
use tripline_protocol::verb::Verb;
use tripline_protocol::{InstallId, Sha256, Span};
use uuid::Uuid;

/// Where a broker would be.
struct NoBroker;

impl BrokerStatus for NoBroker {
    fn connected(&self) -> bool {
        false
    }

    fn detail(&self) -> String {
        "there is none".into()
    }
}

impl Publisher for NoBroker {
    fn publish_run(
        &self,
        run: Vec<OutMessage>,
    ) -> Pin<Box<dyn Future<Output = Vec<Result<u64, PublishError>>> + Send>> {
        let none = Err(PublishError::Transient("there is none".into()));
        Box::pin(ready(vec![none; run.len()]))
    }

    fn notify(&self, _: String, _: Vec<u8>) {}

    fn purge(
        &self,
        _: Vec<(String, String)>,
    ) -> Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>> {
        Box::pin(ready(Err(PublishError::Transient("there is none".into()))))
    }

    fn is_reachable(&self) -> bool {
        false
    }
}

impl Feed for NoBroker {
    fn follow(&self, _: feed::Follow) -> mpsc::Receiver<feed::Piece> {
        mpsc::channel(1).1
    }
}

type Asked<T> = futures_util::future::BoxFuture<'static, Result<T, dead::Error>>;

impl DeadLetters for NoBroker {
    fn read(&self, _: dead::Section) -> Asked<dead::Letters> {
        ready(Err(dead::Error::Away)).boxed()
    }

    fn get(&self, _: u64) -> Asked<Option<dead::RawLetter>> {
        ready(Err(dead::Error::Away)).boxed()
    }

    fn remove(&self, _: u64) -> Asked<bool> {
        ready(Err(dead::Error::Away)).boxed()
    }
}

/// A server without its listeners, with one caller and one host.
pub(super) struct House {
    pub(super) state: HttpState,
    pub(super) caller: Principal,
    token: String,
    pub(super) host: Enrolled,
    _dir: tempfile::TempDir,
}

impl House {
    /// The host's agent is away.
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let state = state(&dir);
        let token = make_token(&state, Role::Operator).await;
        let caller = state.access.authenticate(&token).expect("a caller");
        let enrol = state.access.authenticate(&make_token(&state, Role::Enrol).await);
        let enrolled = state.core.enrol(enrol.expect("a token").token_id, enrolment());
        let host = enrolled.await.expect("a host");
        Self {
            state,
            caller,
            token,
            host,
            _dir: dir,
        }
    }

    /// What is answered to the caller.
    pub(super) async fn answer(&self, request: TestRequest) -> ServiceResponse {
        let state = web::Data::new(self.state.clone());
        let app = init_service(App::new().app_data(state).configure(routes::configure)).await;
        let request = request.insert_header(("x-auth-token", &*self.token));
        let answer = call_service(&app, request.to_request()).await;
        answer.map_into_boxed_body()
    }

    /// What opens a session of the caller's on the host.
    pub(super) fn session(&self) -> OpenSession {
        OpenSession {
            org: None,
            host: self.host.host_id.to_string(),
            idle_timeout: None,
        }
    }

    /// The host's agent comes, and does at once whatever it is told, with nothing to show for it.
    pub(super) async fn agent_comes(&self) {
        let (link, mut told) = mpsc::channel(64);
        let attach = AttachAgent {
            host_id: self.host.host_id,
            presented: Default::default(),
            hello: hello(),
            link,
        };
        let attached = self.state.core.attach_agent(attach).await.expect("attached");
        tokio::spawn(async move {
            while let Some(message) = told.recv().await {
                if let LinkMessage::Frame(ServerFrame::Command(command)) = message {
                    let result = CommandResult {
                        command_id: command.command_id,
                        output: Some(json!({})),
                        error: None,
                        truncated: None,
                    };
                    attached.result(result, None);
                }
            }
        });
    }

    /// The end of everything that runs.
    pub(super) async fn over(self) {
        self.state.core.drain(Span::ZERO).await;
    }
}

fn state(dir: &tempfile::TempDir) -> HttpState {
    let store = Store::open(&Options::new(dir.path())).expect("a store");
    let artifacts = ArtifactStore::open(dir.path(), u64::MAX).expect("a folder");
    let (artifacts, broker) = (Arc::new(artifacts), Arc::new(NoBroker));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let core = Core::start(
        CoreConfig::default(),
        store.clone(),
        Arc::clone(&artifacts),
        Arc::default(),
        Arc::clone(&broker) as Arc<dyn Publisher>,
        Arc::clone(&clock),
    );
    HttpState {
        core: core.expect("actors"),
        access: Arc::new(Access::new(store.clone(), Arc::clone(&clock))),
        exporter: Exporter::new(store, Arc::clone(&artifacts), Arc::clone(&clock), dir.path(), 0),
        artifacts,
        broker: broker.clone(),
        clock,
        littlebrother: Arc::new(Dialect::new(&Littlebrother::default())),
        limacharlie: None,
        feed: broker.clone(),
        dead: broker,
        subjects: Subjects::default(),
        places: Places::default(),
        exports: Exports::default(),
        limits: Limits::new(LimitOptions {
            requests_per_second: 1_000,
            requests_burst: 1_000,
            failed_logins_max: 100,
        }),
    }
}

async fn make_token(state: &HttpState, role: Role) -> String {
    let wanted = CreateToken {
        name: "test".into(),
        role,
        org: None,
        uses: None,
        expires: None,
    };
    state.access.create(wanted).await.expect("a token").token
}

fn enrolment() -> Enrol {
    Enrol {
        install_id: InstallId(Uuid::from_u128(1)),
        key_sha256: Sha256::from_digest(&sha2::Sha256::digest("a key").into()),
        hostname: "pc".into(),
        addresses: Vec::new(),
        platform: "linux".into(),
        arch: "x86_64".into(),
    }
}

/// What the host's agent says first.
pub(super) fn hello() -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: "pc".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "test".into(),
        addresses: Vec::new(),
        labels: Vec::new(),
        verbs: vec![Verb::ListProcesses],
        resumes: false,
        journal_id: Uuid::from_u128(1),
        run_id: None,
        running: Vec::new(),
        finished: Vec::new(),
        isolation: None,
    }
}

/// Waits for what others do, within a bound that only a hang reaches.
pub(super) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waits).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}

/// What the operating system makes of a backlog: it may have a bound of its own, and takes one more than it is told.
fn in_the_kernel(backlog: u32) -> usize {
    let own = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
    backlog.min(own.trim().parse().expect("a number")) as usize + 1
}

/// Takes the only connection that a listener serves at a time, and lets others come until one does not get in: as many
/// as its backlog says.
pub(super) fn fills_its_backlog(at: SocketAddr, path: &str, backlog: u32) {
    let expected = in_the_kernel(backlog);
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("the limit that is allowed");
    let enough = |most: u64| most > 2 * expected as u64;
    assert!(
        files.maximum.is_none_or(enough),
        "raise the hard limit of open files"
    );
    let mut served = TcpStream::connect(at).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    served.write_all(request.as_bytes()).expect("sent");
    assert!(served.read(&mut [0; 1024]).expect("an answer") > 0);
    // Each is there at once or, for want of room, not at all.
    let come = || TcpStream::connect_timeout(&at, Duration::from_secs(1));
    let waiting: Vec<TcpStream> = (0..expected + 10).map_while(|_| come().ok()).collect();
    // The listener may have taken one more from the kernel before it knew that its worker is full.
    assert!(
        (expected..=expected + 1).contains(&waiting.len()),
        "{} of {expected} wait",
        waiting.len()
    );
}
