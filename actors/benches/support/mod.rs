//! What benches of the actors with a store share: the actors themselves, hosts, a broker that takes everything, and figures.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::Clock;
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};
use tripline_actors::store::{Options, Store};
use tripline_actors::{Core, CoreConfig};
use tripline_protocol::api::{CreateToken, Enrol, Role};
use tripline_protocol::{InstallId, Sha256};

/// What goes wrong ends the program.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Takes everything, keeps nothing, and counts what is published to subjects that end so.
pub(crate) struct CountingPublisher {
    end: &'static str,
    count: AtomicU64,
}

impl CountingPublisher {
    pub(crate) fn of(end: &'static str) -> Arc<Self> {
        let count = AtomicU64::default();
        Arc::new(Self { end, count })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Publisher for CountingPublisher {
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Vec<Result<u64, PublishError>>> {
        let counted = run.iter().filter(|message| message.subject.ends_with(self.end));
        self.count.fetch_add(counted.count() as u64, Ordering::Relaxed);
        Box::pin(async move { vec![Ok(1); run.len()] })
    }

    fn notify(&self, _: String, _: Vec<u8>) {}

    fn purge(&self, _: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

/// The number on the command line, if there is one.
pub(crate) fn count_given<N: std::str::FromStr<Err: Error + 'static>>(otherwise: N) -> Outcome<N> {
    let given = std::env::args().skip(1).find(|argument| argument != "--bench");
    Ok(given.map_or(Ok(otherwise), |given| given.parse())?)
}

/// The actors in `dir`, with one pipeline.
pub(crate) fn start(
    dir: &Path,
    pipeline: String,
    publisher: &Arc<CountingPublisher>,
    clock: Arc<dyn Clock>,
) -> Outcome<(Core, Store)> {
    let file = SourceFile {
        path: "bench.yaml".into(),
        text: pipeline,
    };
    let rules = Arc::new(RuleSet::parse(&[file], &[])?);
    let store = Store::open(&Options::new(dir))?;
    let artifacts = Arc::new(ArtifactStore::open(dir, u64::MAX)?);
    let (config, publisher) = (CoreConfig::default(), Arc::clone(publisher) as _);
    let core = Core::start(config, store.clone(), artifacts, rules, publisher, clock)?;
    Ok((core, store))
}

/// A token for as many hosts as come.
pub(crate) async fn enrol_token(store: &Store, clock: Arc<dyn Clock>) -> Outcome<String> {
    let token = CreateToken {
        name: "bench".into(),
        role: Role::Enrol,
        org: None,
        uses: None,
        expires: None,
    };
    Ok(Access::new(store.clone(), clock).create(token).await?.view.id)
}

/// One of many hosts.
pub(crate) fn host(number: u32) -> Enrol {
    let mut digest = [7; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Enrol {
        install_id: InstallId(uuid::Uuid::from_u128(u128::from(number) + 1)),
        key_sha256: Sha256::from_digest(&digest),
        hostname: format!("host-{number}"),
        addresses: vec!["10.0.0.1".into()],
        platform: "linux".into(),
        arch: "x86_64".into(),
    }
}

/// How busy the machine is.
pub(crate) fn load_average() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(format!("load average: {}", text.trim()))
}

/// Resident memory of this process.
pub(crate) fn rss_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.ok_or("no VmRSS in /proc/self/status")?;
    Ok(text.trim().trim_end_matches(" kB").parse()?)
}
