//! The two listeners: binding, limits, renewal of the certificate, graceful stop.

use super::HttpState;
use super::agent_channel::Known;
use super::bounds::Bounds;
use super::limacharlie;
use super::littlebrother::{self, Clients, Listener, Served};
use super::strangers::Strangers;
use super::tls::{self, Certificates, TlsOptions};
use super::{metrics, observe, routes};
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};
use tripline_actors::Core;
use tripline_actors::clock::Clock;
use tripline_protocol::Timestamp;

/// Connections the kernel keeps while none is accepted.
const BACKLOG: u32 = 4096;
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop waits for requests in progress.
const STOP_SECONDS: u64 = 10;
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
const CERTIFICATE_CHECK: Duration = Duration::from_secs(6 * 3600);

/// How to listen.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `http.listen`: plain HTTP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `http.tls_listen`: HTTPS; port 0 takes a free one.
    pub tls_listen: Option<SocketAddr>,
    /// `http.allow_plaintext`: whether `listen` may be another interface than loopback.
    pub allow_plaintext: bool,
    /// The certificate of the HTTPS listener.
    pub tls: TlsOptions,
    /// Worker threads of each server; 0 for one per core.
    pub workers: usize,
    /// `littlebrother.listen`: plain HTTP for LittleBrother clients alone; port 0 takes a free one.
    pub littlebrother_listen: Option<SocketAddr>,
    /// `limits.*`: what a caller may hold.
    pub bounds: Bounds,
}

impl HttpOptions {
    fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            workers => workers,
        }
    }
}

/// Why the listeners did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tokens would travel in the clear.
    #[error(
        "listen on http.listen = {addr}: plain HTTP is for loopback; use http.tls_listen, or set \
         http.allow_plaintext = true where something else protects the way"
    )]
    Plaintext {
        /// The address.
        addr: SocketAddr,
    },
    /// The port is taken, or the address is not this machine's.
    #[error("listen on {key} = {addr}")]
    Bind {
        /// `http.listen`, `http.tls_listen` or `littlebrother.listen`.
        key: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate to present.
    #[error("prepare the certificate of http.tls_listen")]
    Tls(#[from] tls::Error),
    /// Another recorder of metrics was installed in this process.
    #[error("install the recorder of metrics")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// The listeners, serving. Dropping it does not stop them.
#[derive(Debug)]
pub struct RunningHttp {
    /// Where plain HTTP is served, with the port that was taken.
    pub addr: SocketAddr,
    /// Where HTTPS is served, with the port that was taken.
    pub tls_addr: Option<SocketAddr>,
    handle: ServerHandle,
    littlebrother: Option<Listener>,
    stopping: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
    upkeep: JoinHandle<()>,
}

impl RunningHttp {
    /// Takes no new connections, says `Bye shutdown` to agents, answers waiting long polls, and returns
    /// when requests in progress are done, at the latest after 10 s.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        self.end(true).await;
        self.upkeep.abort();
        if let Some(littlebrother) = self.littlebrother {
            littlebrother.ended().await;
        }
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "http listeners ended with an error"),
            Err(error) => tracing::error!(%error, "http listeners died"),
        }
    }

    /// Ends at once, whatever is in progress.
    pub async fn abandon(&self) {
        self.end(false).await;
    }

    /// Where LittleBrother clients are served alone, with the port that was taken.
    pub fn littlebrother_addr(&self) -> Option<SocketAddr> {
        self.littlebrother.as_ref().map(|listener| listener.addr)
    }

    async fn end(&self, grace: bool) {
        let littlebrother = async {
            if let Some(littlebrother) = &self.littlebrother {
                littlebrother.stop(grace).await;
            }
        };
        tokio::join!(self.handle.stop(grace), littlebrother);
    }
}

/// Told to handlers when the server stops.
#[derive(Debug, Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    #[cfg(test)]
    pub(super) fn told_by(stopping: watch::Receiver<bool>) -> Self {
        Self(stopping)
    }

    /// Returns when the server stops, at once if it does already.
    pub(super) async fn stopped(&mut self) {
        // An error means that the sender is gone, which is the end as well.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// Binds and serves. Call it within a Tokio runtime.
pub fn start(options: HttpOptions, state: HttpState) -> Result<RunningHttp, Error> {
    let clock = Arc::clone(&state.clock);
    let served = state.littlebrother.is_on().then(|| Served {
        clients: state.core.clone(),
        dialect: Arc::clone(&state.littlebrother),
        limits: state.limits.clone(),
        clock: Arc::clone(&clock),
    });
    let called = state.limacharlie.as_ref().map(|runtime| limacharlie::Served {
        runtime: Arc::clone(runtime),
        core: state.core.clone(),
        limits: state.limits.clone(),
        clock: Arc::clone(&clock),
        places: limacharlie::Places::new(),
    });
    let now = clock.now();
    let state = web::Data::new(state);
    let littlebrother = listen_apart(&options, served.clone())?;
    let served = served.map(web::Data::new);
    let called = called.map(web::Data::new);
    let mut running = start_with(&options, clock, move |config| {
        // First where most requests come from: a path is compared with one route after the other.
        if let Some(called) = &called {
            config.app_data(called.clone()).configure(limacharlie::configure);
        }
        if let Some(served) = &served {
            let core = littlebrother::configure::<Core>;
            config.app_data(served.clone()).configure(core);
        }
        config.app_data(state.clone()).configure(routes::configure);
    })?;
    running.littlebrother = littlebrother;
    metrics::note_start(now);
    Ok(running)
}

/// The listener of the dialect alone, if there is to be one.
fn listen_apart<C: Clients + Send + Sync>(
    options: &HttpOptions,
    served: Option<Served<C>>,
) -> Result<Option<Listener>, Error> {
    let (Some(addr), Some(served)) = (options.littlebrother_listen, served) else {
        return Ok(None);
    };
    let bound = Listener::start(addr, options.workers(), STOP_SECONDS, options.bounds, served);
    let key = "littlebrother.listen";
    bound
        .map(Some)
        .map_err(|source| Error::Bind { key, addr, source })
}

fn start_with(
    options: &HttpOptions,
    clock: Arc<dyn Clock>,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<RunningHttp, Error> {
    if !options.allow_plaintext && !options.listen.ip().to_canonical().is_loopback() {
        return Err(Error::Plaintext { addr: options.listen });
    }
    let recorder = metrics::recorder()?;
    let certificates = match options.tls_listen {
        Some(_) => Some(Certificates::load(options.tls.clone(), clock.now())?),
        None => None,
    };
    let (stopping, stopped) = watch::channel(false);
    let (shown, stopped) = (web::Data::new(recorder.clone()), Stopping(stopped));
    let (bounds, known) = (options.bounds, Known::new(Arc::clone(&clock)));
    let (server, addr, tls_addr) = bind(options, certificates.clone(), move |config| {
        config.app_data(shown.clone()).app_data(stopped.clone());
        config.app_data(bounds).app_data(known.clone());
        configure(config);
    })?;
    let handle = server.handle();
    Ok(RunningHttp {
        addr,
        tls_addr,
        handle,
        littlebrother: None,
        stopping,
        server: tokio::spawn(server),
        upkeep: tokio::spawn(upkeep(recorder, certificates, clock)),
    })
}

type Bound = (Server, SocketAddr, Option<SocketAddr>);

fn bind(
    options: &HttpOptions,
    certificates: Option<Arc<Certificates>>,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<Bound, Error> {
    let (workers, bounds) = (options.workers(), options.bounds);
    let connections_max = bounds.connections_max.div_ceil(workers);
    let strangers = Strangers::new(bounds);
    let mut server = HttpServer::new(move || {
        App::new()
            .configure(configure.clone())
            .wrap(from_fn(observe::observe))
    })
    .workers(workers)
    .backlog(BACKLOG)
    .max_connections(connections_max)
    // A worker with so many TLS handshakes takes no connection at all, so those who only begin one must not get there.
    .max_connection_rate(connections_max)
    .on_connect(move |stream, data| strangers.greet(stream, data))
    .tcp_nodelay(true)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(bounds.head_timeout)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .tls_handshake_timeout(bounds.head_timeout)
    .shutdown_timeout(STOP_SECONDS)
    // Who has gone hears no answer: what it waited for is dropped with its connection.
    .h1_allow_half_closed(false)
    .disable_signals();
    let failed = |key, addr| move |source| Error::Bind { key, addr, source };
    server = server
        .bind(options.listen)
        .map_err(failed("http.listen", options.listen))?;
    if let (Some(addr), Some(certificates)) = (options.tls_listen, certificates) {
        let config = certificates.server_config()?;
        server = server
            .bind_rustls_0_23(addr, config)
            .map_err(failed("http.tls_listen", addr))?;
    }
    // Both were bound in this order.
    let mut bound = server.addrs().into_iter();
    let (addr, tls_addr) = (bound.next().unwrap_or(options.listen), bound.next());
    Ok((server.run(), addr, tls_addr))
}

/// Keeps histograms from growing between scrapes, and the certificate from running out.
async fn upkeep(recorder: PrometheusHandle, certificates: Option<Arc<Certificates>>, clock: Arc<dyn Clock>) {
    let now = Instant::now();
    let mut metrics_due = interval_at(now + METRICS_UPKEEP, METRICS_UPKEEP);
    let mut certificate_due = interval_at(now + CERTIFICATE_CHECK, CERTIFICATE_CHECK);
    loop {
        tokio::select! {
            _ = metrics_due.tick() => recorder.run_upkeep(),
            _ = certificate_due.tick() => renew(certificates.clone(), clock.now()).await,
        }
    }
}

async fn renew(certificates: Option<Arc<Certificates>>, now: Timestamp) {
    let Some(certificates) = certificates else { return };
    let renewed = tokio::task::spawn_blocking(move || certificates.renew(now)).await;
    match renewed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "certificate not renewed; the present one stays"
        ),
        Err(error) => tracing::error!(%error, "renewal of the certificate died"),
    }
}

#[cfg(test)]
mod tests;
