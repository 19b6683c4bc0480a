//! The server as a whole: what is made of what, in which order it starts, and in which it stops.
//!
//! Start: store, rules, actors, HTTP, broker, NATS. Stop: no event and no new work is taken, running jobs end while
//! agents stay connected, HTTP closes, the actors stop, the connection to the broker closes, the store closes, the
//! broker ends. Deliberately not here: what any of
//! them does.

mod admin;
mod bridges;
mod error;
mod exports;
mod options;
mod services;
mod signals;
mod supervisor;

pub use error::Error;
pub use exports::Exports;

use crate::cli::Failure;
use crate::config::{self, Config};
use crate::endpoints::Endpoints;
use crate::http::{self, HttpState, Limits, Places, RunningHttp};
use crate::limacharlie;
use crate::littlebrother::{self, ConfigWatch, Dialect, Running};
use crate::logging;
use crate::nats::api::CoreApi;
use crate::nats::embedded::EmbeddedOptions;
use crate::nats::{EmbeddedBroker, NatsDead, NatsEdge, NatsFeed, NatsPublisher};
use crate::rules::{Folders, RulesWatch, count};
use crate::traces::Traces;
use bridges::Broker;
use exports::Exporting;
use services::Calling;
use signals::{Asked, Signals};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use supervisor::Supervisor;
use tokio::sync::watch;
use tokio::time::Instant;
use tripline_actors::Core;
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::{Clock, SystemClock};
use tripline_actors::export::Exporter;
use tripline_actors::store::Store;
use tripline_protocol::Span;
use tripline_protocol::api::Asker;

/// What the actors get to drain, however long the edges took.
const DRAIN_LEAST: Duration = Duration::from_secs(1);

/// How long spans that wait may take at the end.
const TRACES_FLUSH_MAX: Duration = Duration::from_secs(3);

/// Runs the server until it is asked to end or cannot go on. `config` was loaded from `source`.
///
/// # Errors
/// Why it did not start or could not go on, with the exit code for it.
pub fn run(config: Config, source: config::Source) -> Result<(), Failure> {
    run_by(config, source, Arc::new(SystemClock::default()))
}

/// The same by another clock than the machine's: periods of a clock's ticks are an hour at least, and tests do not wait for
/// them. The `tripline` program has no way to ask for this.
///
/// # Errors
/// As [`run`].
pub fn run_by(config: Config, source: config::Source, clock: Arc<dyn Clock>) -> Result<(), Failure> {
    logging::install(&config.log).map_err(Error::from)?;
    for warning in &config.warnings {
        tracing::warn!(%warning, "configuration");
    }
    actix_rt::System::new()
        .block_on(serve(config, source, clock))
        .map_err(Failure::from)
}

async fn serve(config: Config, source: config::Source, clock: Arc<dyn Clock>) -> Result<(), Error> {
    let mut signals = Signals::install().map_err(Error::Signals)?;
    let supervisor = Supervisor::from_environment();
    let mut server = tokio::select! {
        server = Server::start(&config, source, clock) => server?,
        () = signals.stop() => return Ok(()),
    };
    let endpoints = server.announce()?;
    supervisor.ready(&format!("serves {} and {}", endpoints.tls_url(), endpoints.url()));
    match server.watch(&mut signals).await {
        End::Asked(by) => {
            tracing::info!("stopping");
            supervisor.stopping();
            let mut failed = server.failed.clone();
            let by_signal = by.is_none();
            tokio::select! {
                () = server.stop(by, config.drain.timeout) => Ok(()),
                () = signals.hurry(by_signal) => Err(Error::CutShort),
                why = failure(&mut failed) => Err(Error::StoreFailed(why)),
            }
        }
        End::StoreFailed(why) => {
            tracing::error!(why, "the store failed; nothing is taken or acknowledged any more");
            server.abandon().await;
            Err(Error::StoreFailed(why))
        }
    }
}

/// Why a running server ends.
enum End {
    /// By an administrator, or by a signal.
    Asked(Option<Asker>),
    StoreFailed(String),
}

/// Everything that runs.
struct Server {
    data_dir: PathBuf,
    store: Store,
    failed: watch::Receiver<Option<String>>,
    core: Core,
    rules: RulesWatch,
    configuration: ConfigWatch,
    exporting: Exporting,
    http: RunningHttp,
    broker: Option<EmbeddedBroker>,
    broker_url: String,
    nats: NatsEdge,
    traces: Option<Traces>,
}

impl Server {
    async fn start(config: &Config, source: config::Source, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        raise_file_limit();
        // Before anything counts.
        http::metrics::recorder().map_err(http::Error::from)?;
        let store = Store::open(&options::store(config))?;
        let failed = listen(&store);
        // One that a killed server left leads nowhere; the lock says that nobody else's is removed.
        Endpoints::remove(config.data_dir()).map_err(|source| Error::Endpoints { source })?;
        let access = Access::new(store.clone(), Arc::clone(&clock));
        admin::ensure(&access, config).await?;
        let artifacts = Arc::new(ArtifactStore::open(
            config.data_dir(),
            config.artifacts.bytes_max.0,
        )?);
        let folders = Folders::of(config);
        let rules = Arc::new(folders.load()?);
        let (pipelines, named_jobs) = count(&rules);
        tracing::info!(pipelines, named_jobs, "rules in force");

        let (publisher, feed, dead) = (NatsPublisher::new(), NatsFeed::new(), NatsDead::new());
        let core = Core::start(
            options::core(config),
            store.clone(),
            Arc::clone(&artifacts),
            Arc::clone(&rules),
            publisher.clone(),
            Arc::clone(&clock),
        )
        .map_err(Error::Core)?;
        let traces = start_traces(config, &core)?;
        core.note_start(
            env!("CARGO_PKG_VERSION"),
            &config.sha256(),
            &config.changed(&Config::default()),
        );
        let zone = littlebrother::zone(&config.littlebrother);
        if let Some(settings) = littlebrother::settings(&config.littlebrother, &zone) {
            let (users, clients) = (settings.users.len(), config.littlebrother.secret.is_some());
            let zone = zone.0.iana_name().unwrap_or("without a name");
            tracing::info!(users, clients, zone, org = %settings.org, "littlebrother in force");
            core.set_littlebrother(Some(settings));
        }
        let limacharlie = limacharlie::runtime(&config.limacharlie, &core, clock.now());
        if limacharlie.is_some() {
            tracing::info!("LimaCharlie may call /lc");
        }
        let dialect = Arc::new(Dialect::new(&config.littlebrother));
        let calling = Calling::prepare(config, &core, &clock).await?;
        let access = calling.admit(access, &core);
        let exporter = Exporter::new(
            store.clone(),
            Arc::clone(&artifacts),
            Arc::clone(&clock),
            config.data_dir(),
            config.disk.free_min.0,
        );
        let (exports, exporting) = exports::start(config, exporter.clone()).map_err(Error::Exports)?;
        let limits = Limits::new(options::limits(config));
        let state = HttpState {
            core: core.clone(),
            access: Arc::new(access.clone()),
            artifacts,
            broker: Arc::new(Broker(publisher.status())),
            clock: Arc::clone(&clock),
            littlebrother: Arc::clone(&dialect),
            limacharlie,
            feed: feed.clone(),
            dead: dead.clone(),
            subjects: config.nats.subject_prefix.clone(),
            places: Places::default(),
            exporter,
            exports,
            limits: limits.clone(),
        };
        let http = http::start(options::http(config), state)?;
        let broker = start_broker(config).await?;
        let nats_options = options::nats(config, broker.as_ref().map(EmbeddedBroker::info));
        let broker_url = nats_options.url.clone();
        let api = CoreApi {
            core: core.clone(),
            access,
            clock,
            limits,
        };
        let nats = NatsEdge::start(nats_options, (&publisher, &feed, &dead), core.clone(), api).await?;
        let rules = RulesWatch::start(core.clone(), folders, &rules);
        let running = Running {
            caller: calling.begin(&core),
            core: core.clone(),
            dialect,
        };
        let configuration = ConfigWatch::start(running, source, config.clone(), zone);
        let data_dir = config.data_dir().to_owned();
        Ok(Self {
            data_dir,
            store,
            failed,
            core,
            rules,
            configuration,
            exporting,
            http,
            broker,
            broker_url,
            nats,
            traces,
        })
    }

    /// Tells people and programs on this machine where it is.
    fn announce(&self) -> Result<Endpoints, Error> {
        let endpoints = Endpoints {
            pid: std::process::id(),
            http: self.http.addr,
            https: self.http.tls_addr.unwrap_or(self.http.addr),
            littlebrother: self.http.littlebrother_addr(),
        };
        endpoints
            .write(&self.data_dir)
            .map_err(|source| Error::Endpoints { source })?;
        // A closed stderr is nobody's concern.
        let littlebrother = endpoints.littlebrother_url();
        let littlebrother = littlebrother.map_or_else(String::new, |url| format!(", LittleBrother {url}"));
        let _ = writeln!(
            std::io::stderr().lock(),
            "tripline is ready: {} and {}{littlebrother}, broker {}",
            endpoints.tls_url(),
            endpoints.url(),
            self.broker_url
        );
        Ok(endpoints)
    }

    async fn watch(&mut self, signals: &mut Signals) -> End {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => return End::Asked(None),
                    Asked::Reload => {
                        tracing::info!("reading rules and configuration again");
                        self.rules.reload();
                        self.configuration.reload();
                    }
                },
                by = self.core.drain_asked() => return End::Asked(Some(by)),
                why = failure(&mut self.failed) => return End::StoreFailed(why),
            }
        }
    }

    /// Ends in order: what was begun is finished as far as `within` reaches.
    async fn stop(mut self, by: Option<Asker>, within: Span) {
        let deadline = Instant::now() + within.to_duration();
        let left = || deadline.saturating_duration_since(Instant::now());
        self.withdraw();
        drop((self.rules, self.configuration, self.exporting));
        self.nats.stop_intake().await;
        self.core.begin_drain(by, to_span(left()));
        // Agents are still there: what runs can end, and how far that has come can be asked.
        self.core.finish(to_span(left())).await;
        self.http.stop().await;
        self.core.note_stop();
        self.core.drain(for_actors(left())).await;
        self.nats.stop().await;
        if let Some(traces) = self.traces {
            traces.stop(TRACES_FLUSH_MAX).await;
        }
        let store = self.store;
        if let Err(error) = tokio::task::spawn_blocking(move || store.flush_and_close()).await {
            tracing::error!(%error, "the store did not close in order");
        }
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        tracing::info!("stopped");
    }

    /// Ends at once: nothing can be made durable any more.
    async fn abandon(self) {
        self.withdraw();
        self.http.abandon().await;
        drop(self.nats);
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }

    fn withdraw(&self) {
        if let Err(error) = Endpoints::remove(&self.data_dir) {
            tracing::warn!(%error, "server.json stays behind");
        }
    }
}

/// What the actors get of the time that is left.
fn for_actors(left: Duration) -> Span {
    to_span(left.max(DRAIN_LEAST))
}

fn to_span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The way of traces, if they are wanted.
fn start_traces(config: &Config, core: &Core) -> Result<Option<Traces>, Error> {
    let Some(options) = options::traces(config) else {
        return Ok(None);
    };
    let (endpoint, ratio) = (options.url.clone(), config.tracing.sample_ratio.0);
    let traces = Traces::start(options)?;
    core.set_traces(traces.sink(), ratio);
    tracing::info!(%endpoint, ratio, "traces are sent");
    Ok(Some(traces))
}

/// The broker of our own, unless another is configured.
async fn start_broker(config: &Config) -> Result<Option<EmbeddedBroker>, Error> {
    if config.nats.url.is_some() {
        return Ok(None);
    }
    let listen = config.nats.embedded_listen.to_socket();
    let options = EmbeddedOptions::new(
        config.data_dir().to_owned(),
        listen,
        config.nats.subject_prefix.clone(),
    );
    Ok(Some(EmbeddedBroker::start(options).await?))
}

/// Hears why the store failed, when it does.
fn listen(store: &Store) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    store.on_failure(move |why| drop(sender.send_replace(Some(why.to_owned()))));
    receiver
}

/// Waits until the store has failed.
async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        // The store is closed: it will not fail any more.
        Err(_) => std::future::pending().await,
    }
}

/// Every agent is a connection; the usual limit of 1024 open files is for other programs.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actors_get_a_least_of_time_to_end_and_more_where_more_is_left() {
        let more = DRAIN_LEAST + Duration::from_millis(1);
        for (left, given) in [
            (Duration::ZERO, DRAIN_LEAST),
            (DRAIN_LEAST, DRAIN_LEAST),
            (more, more),
        ] {
            assert_eq!(for_actors(left), to_span(given));
        }
    }
}
