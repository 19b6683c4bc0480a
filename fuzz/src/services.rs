//! What services answer to the cloud's side: to `health`, to a message, and to who asks for a resource.
//!
//! Input: a line `health`, `message` or `resource`, and the body of the answer, with HTTP status 200; or a line `status` and a
//! number, an answer to a message with that status.

use crate::input::order_and_rest;
use serde_json::json;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::{Clock, ManualClock};
use tripline_actors::pipeline::RuleSet;
use tripline_actors::ports::{
    BoxFuture, CallFailure, OutMessage, PublishError, Publisher, ServiceCall, ServiceCaller, ServiceTokens,
};
use tripline_actors::store::{Options, Store};
use tripline_actors::{Core, CoreConfig, Delivery, IngestPosition, ServiceJobFilter};
use tripline_protocol::api::{ServiceJobView, ServiceView};
use tripline_protocol::limacharlie::{Answer, JobUpdate, Jwt, Mtd, RetryAdvice};
use tripline_protocol::subject::Subjects;
use tripline_protocol::{Etype, Name, Org, Sha256, Span, Timestamp};

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(20);
/// What is kept of jobs, as docs/limits.md has it.
const UPDATES_MAX: usize = 100;
const HISTORY_MAX: usize = 1_000;
const ID_BYTES_MAX: usize = 128;
const CAUSE_CHARS_MAX: usize = 1_000;
/// What it wants, when it is not asked about that.
const WELL: &str = r#"{"success":true,"data":{"mtd":{"callbacks":["detection","get_resource"],"detect_subscriptions":["c"]}}}"#;

/// Each answer has the outcome that the decision table has for it, and what is kept of it keeps to its bounds.
pub fn run(data: &[u8]) {
    let (order, body) = order_and_rest(data);
    let stage = stage();
    stage.runtime.block_on(async {
        match order {
            b"health" => stage.health(body).await,
            b"message" => stage.message(Answer::read(body).map_err(CallFailure::from)).await,
            b"resource" => stage.resource(body).await,
            _ => {
                let order = String::from_utf8_lossy(order);
                let status = order.strip_prefix("status ").and_then(|word| word.parse().ok());
                // 200 comes with a body.
                if let Some(status @ (100..=199 | 201..=999)) = status {
                    stage.message(Err(CallFailure::Status(status))).await;
                }
            }
        }
    });
}

type Said = Result<Answer, CallFailure>;

/// Answers to everything but `health` the same, and to `health` that.
struct Told {
    health: Said,
    others: Said,
}

struct Teller(Mutex<Told>);

impl ServiceCaller for Teller {
    fn call(&self, call: ServiceCall) -> BoxFuture<Said> {
        let told = self.0.lock().expect("not poisoned");
        let said = match call.call.etype.as_str() {
            "health" => told.health.clone(),
            "org_install" => Ok(Answer::done()),
            _ => told.others.clone(),
        };
        Box::pin(async { said })
    }
}

impl ServiceTokens for Teller {
    fn token(&self, _: &Name, _: (&Org, Timestamp), _: u8, _: Timestamp) -> Jwt {
        Jwt::new("token".to_owned())
    }
}

/// Takes everything and forgets it.
struct Sink(AtomicU64);

impl Publisher for Sink {
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Vec<Result<u64, PublishError>>> {
        let before = self.0.fetch_add(run.len() as u64, Ordering::Relaxed);
        Box::pin(async move { (1..=run.len() as u64).map(|number| Ok(before + number)).collect() })
    }

    fn notify(&self, _: String, _: Vec<u8>) {}

    fn purge(&self, _: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

/// The actors of a server with one service.
struct Stage {
    runtime: Runtime,
    core: Core,
    clock: ManualClock,
    teller: Arc<Teller>,
    messages: AtomicU64,
    _dir: TempDir,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let stage = Stage::new();
        stage.runtime.block_on(stage.register());
        stage
    })
}

fn name() -> Name {
    "told".parse().expect("a name")
}

fn well() -> Said {
    Ok(Answer::read(WELL.as_bytes()).expect("an answer"))
}

/// Makes the actors where they can be, on a thread that lasts as long as the process.
fn on_a_system(make: impl FnOnce() -> Core + Send + 'static) -> Core {
    let (made, core) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            made.send(make()).expect("somebody waits for it");
            std::future::pending::<()>().await;
        });
    });
    core.recv().expect("actors")
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000));
        let store = Store::open(&Options::new(dir.path())).expect("a store");
        let artifacts = ArtifactStore::open(dir.path(), 1 << 20).expect("a folder");
        let rules = RuleSet::parse(&[], &[]).expect("no rules");
        let clock_of_core = Arc::new(clock.clone());
        let core = on_a_system(move || {
            Core::start(
                CoreConfig::default(),
                store,
                Arc::new(artifacts),
                Arc::new(rules),
                Arc::new(Sink(AtomicU64::new(0))),
                clock_of_core,
            )
            .expect("actors")
        });
        let told = Told {
            health: well(),
            others: Ok(Answer::done()),
        };
        Self {
            runtime: Runtime::new().expect("a runtime"),
            core,
            clock,
            teller: Arc::new(Teller(Mutex::new(told))),
            messages: AtomicU64::new(0),
            _dir: dir,
        }
    }

    async fn register(&self) {
        let position = IngestPosition {
            stream_created: Timestamp::from_micros(1),
            last_sequence: 0,
        };
        self.core.set_ingest_position(position).await.expect("a position");
        self.core
            .set_services(Arc::clone(&self.teller) as _, Arc::clone(&self.teller) as _);
        // One attempt: what is to come again is given up, so that each message has its end.
        let body =
            json!({ "name": "told", "url": "http://service.example/", "secret": "s3cr3t", "attempts": 1 });
        let body = serde_json::from_value(body).expect("a registration");
        self.core.register_service(body).await.expect("registered");
        self.until("it is installed", |view| {
            view.healthy_at.is_some() && view.waiting == 0
        })
        .await;
    }

    async fn view(&self) -> ServiceView {
        self.core.get_service(None, name()).await.expect("the service")
    }

    async fn until(&self, what: &str, holds: impl Fn(&ServiceView) -> bool) -> ServiceView {
        eventually(what, || async {
            let view = self.view().await;
            holds(&view).then_some(view)
        })
        .await
    }

    /// Asks for its health, and waits until that is answered; as it is then.
    async fn ask_health(&self, said: Said) -> ServiceView {
        self.teller.0.lock().expect("not poisoned").health = said;
        self.clock.advance(Span::from_secs(1));
        let now = self.clock.now();
        self.core.retry_service(name()).await.expect("asked");
        self.until("its health is known", |view| {
            let failed = view
                .last_failure
                .as_ref()
                .is_some_and(|failure| failure.at == now);
            view.healthy_at == Some(now) || failed
        })
        .await
    }

    async fn is_well(&self) {
        let view = self.ask_health(well()).await;
        assert_eq!(view.healthy_at, Some(self.clock.now()), "{view:?}");
    }

    async fn health(&self, body: &[u8]) {
        let said = Answer::read(body).map_err(CallFailure::from);
        let wants = said.as_ref().ok().filter(|answer| answer.success);
        let wants =
            wants.and_then(|answer| serde_json::from_value::<Mtd>(answer.data.get("mtd")?.clone()).ok());
        let view = self.ask_health(said.clone()).await;
        if view.healthy_at == Some(self.clock.now()) {
            assert_eq!(view.wants, wants, "it wants what it says");
            assert!(wants.is_some(), "it is well and did not say what it wants");
        } else {
            let failure = view.last_failure.expect("a failure");
            assert_eq!(failure.etype, "health");
            assert!(
                !failure.text.is_empty() && failure.text.chars().count() <= 500,
                "{failure:?}"
            );
        }
        self.is_well().await;
    }

    /// An event that it listens to is answered so.
    async fn message(&self, said: Said) {
        self.is_well().await;
        let before = self.view().await;
        let jobs = said
            .as_ref()
            .map(|answer| answer.jobs.clone())
            .unwrap_or_default();
        let outcome = (before.delivered, before.given_up);
        let expected = match said.as_ref().map(Answer::advice) {
            Ok(RetryAdvice::Done | RetryAdvice::GiveUp) => (outcome.0 + 1, outcome.1),
            // It waits until the service is there again.
            Err(CallFailure::Status(401)) => outcome,
            Ok(RetryAdvice::Again) | Err(_) => (outcome.0, outcome.1 + 1),
        };
        let is_held = expected == outcome;
        self.teller.0.lock().expect("not poisoned").others = said;
        self.publish().await;
        if is_held {
            let misconfigured = |view: &ServiceView| json!(view.state) == json!("misconfigured");
            self.until("its secret is wrong", misconfigured).await;
            self.teller.0.lock().expect("not poisoned").others = Ok(Answer::done());
            self.ask_health(well()).await;
            self.until("it is delivered", |view| view.delivered == outcome.0 + 1)
                .await;
        } else {
            let ended = |view: &ServiceView| (view.delivered, view.given_up) != outcome;
            let view = self.until("the message has its end", ended).await;
            assert_eq!(
                (view.delivered, view.given_up),
                expected,
                "{:?}",
                view.last_failure
            );
        }
        self.keeps(&jobs).await;
    }

    async fn publish(&self) {
        let sequence = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let detection: Etype = "detection".parse().expect("an etype");
        let delivery = Delivery {
            subject: Subjects::default().event(&Org::default_org(), &detection),
            headers: Vec::new(),
            payload: json!({ "cat": "c", "n": sequence })
                .to_string()
                .into_bytes()
                .into(),
            stream: "TRIPLINE_EVENTS".into(),
            sequence,
            stored_at: self.clock.now(),
            delivered: 1,
        };
        self.core.ingest(vec![delivery]).await.expect("taken");
    }

    /// What it told of jobs is there, as far as it may be.
    async fn keeps(&self, updates: &[JobUpdate]) {
        let is_fit = |id: &str| !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains('\0');
        for update in updates.iter().take(UPDATES_MAX) {
            let found = self.core.get_service_job(None, name(), update.id.clone()).await;
            assert_eq!(found.is_ok(), is_fit(&update.id), "{:?}", update.id);
            if let Ok(job) = found {
                keeps_to_bounds(&job);
            }
        }
        let filter = ServiceJobFilter {
            org: None,
            service: name(),
            after: None,
            limit: 10,
        };
        let page = self.core.list_service_jobs(filter).await.expect("jobs");
        assert!(page.items.len() >= updates.iter().take(1).filter(|update| is_fit(&update.id)).count());
    }

    /// What it hands out is what its hash says.
    async fn resource(&self, body: &[u8]) {
        self.teller.0.lock().expect("not poisoned").others = Answer::read(body).map_err(CallFailure::from);
        let asked = self.core.service_resource(None, name(), "rules".to_owned());
        let Ok(resource) = asked.await else { return };
        let content = decoded(&resource.res_data);
        let digest = Sha256::from_digest(&<sha2::Sha256 as sha2::Digest>::digest(content).into());
        assert_eq!(resource.hash, digest);
    }
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64")
}

fn keeps_to_bounds(job: &ServiceJobView) {
    assert!(job.history.len() <= HISTORY_MAX && job.cause.chars().count() <= CAUSE_CHARS_MAX);
    let written = json!(job);
    let read: ServiceJobView = serde_json::from_value(written.clone()).expect("a job");
    assert_eq!(json!(read), written, "read as it was written");
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // Between two looks at actors on another thread.
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    let bounded = tokio::time::timeout(HANG, found).await;
    bounded.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
