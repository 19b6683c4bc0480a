//! `littlebrother.listen`: the dialect alone, over plain HTTP, for real clients on other machines.
//!
//! A real client opens a connection for each message and closes it when it has read the answer.

use super::super::bounds::Bounds;
use super::super::observe;
use super::super::strangers::Strangers;
use super::error::Error;
use super::{Clients, Served, configure};
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Connections the kernel keeps while none is accepted: all clients of a site may come at once.
pub(super) const BACKLOG: u32 = 4096;
/// Connections at once, over all workers.
pub(in super::super) const CONNECTIONS_MAX: usize = 10_000;
/// A client that keeps its connection sends again within its check interval, 5 s unless it is configured.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The listener, serving.
#[derive(Debug)]
pub(in super::super) struct Listener {
    /// Its address, with the port that was taken.
    pub(in super::super) addr: SocketAddr,
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
}

impl Listener {
    /// Binds and serves. Call it within a Tokio runtime.
    pub(in super::super) fn start<C: Clients + Send + Sync>(
        addr: SocketAddr,
        workers: usize,
        stop_seconds: u64,
        bounds: Bounds,
        served: Served<C>,
    ) -> io::Result<Self> {
        let served = web::Data::new(served);
        let strangers = Strangers::new(bounds);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(served.clone())
                .app_data(bounds)
                .configure(configure::<C>)
                .default_service(web::to(no_such_path))
                .wrap(from_fn(observe::observe))
        })
        .workers(workers)
        .backlog(BACKLOG)
        .max_connections(connections_max(bounds, workers))
        .on_connect(move |stream, data| strangers.greet(stream, data))
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(bounds.head_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(stop_seconds)
        .h1_allow_half_closed(false)
        .disable_signals()
        .bind(addr)?;
        let addr = server.addrs().first().copied().unwrap_or(addr);
        let server = server.run();
        Ok(Self {
            addr,
            handle: server.handle(),
            server: tokio::spawn(server),
        })
    }

    /// Takes nothing more; with `grace`, returns when requests in progress are done.
    pub(in super::super) async fn stop(&self, grace: bool) {
        self.handle.stop(grace).await;
    }

    /// Returns when it has ended.
    pub(in super::super) async fn ended(self) {
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "littlebrother listener ended with an error"),
            Err(error) => tracing::error!(%error, "littlebrother listener died"),
        }
    }
}

/// Connections of each worker.
fn connections_max(bounds: Bounds, workers: usize) -> usize {
    let all = CONNECTIONS_MAX.min(bounds.connections_max);
    all.div_ceil(workers.max(1))
}

async fn no_such_path() -> Result<HttpResponse, Error> {
    Err(Error::NoSuchPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_connections_have_a_bound_of_their_own_and_are_no_more_than_all_may_be() {
        let each = |connections_max: usize, workers| {
            let bounds = Bounds {
                connections_max,
                ..Bounds::default()
            };
            super::connections_max(bounds, workers)
        };
        assert_eq!(each(CONNECTIONS_MAX + 1, 1), CONNECTIONS_MAX);
        assert_eq!(each(CONNECTIONS_MAX + 1, 4), CONNECTIONS_MAX / 4);
        assert_eq!(each(CONNECTIONS_MAX - 1, 1), CONNECTIONS_MAX - 1);
    }
}
