//! Connections that have not shown a valid token or key yet, of which there may be so many: when one more comes, the
//! one that has been there longest is closed.
//!
//! Whoever is let in proves itself with its first request, within milliseconds, so those who hold many connections
//! and say nothing throw out each other and nobody else. Deliberately not here: what proves a caller (`auth`).

use super::bounds::Bounds;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown};
use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type TlsStream = actix_tls::accept::rustls_0_23::TlsStream<TcpStream>;

/// Between two lines in the log about connections that are closed.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The connections of a listener that are strangers'. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Strangers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order they came. A descriptor of its own: that of the connection may be another's by the time it is used.
    sockets: BTreeMap<u64, OwnedFd>,
    told_at: Option<Instant>,
    untold: u64,
}

/// A connection; among its data until it ends.
#[derive(Debug)]
pub(super) struct Visit {
    strangers: Strangers,
    number: u64,
    asked: AtomicBool,
}

impl Strangers {
    pub(super) fn new(bounds: Bounds) -> Self {
        let open = Mutex::default();
        Self(Arc::new(Inner { bounds, open }))
    }

    /// A connection was accepted.
    pub(super) fn greet(&self, stream: &dyn Any, data: &mut Extensions) {
        let Some(socket) = socket(stream) else { return };
        let patience = u32::try_from(self.0.bounds.send_timeout.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, patience) {
            tracing::debug!(%error, "a connection has no limit for what its client does not take");
        }
        match socket.try_clone_to_owned() {
            Ok(socket) => drop(data.insert(self.arrive(socket))),
            // Without files left nobody is to come in; the connection ends with the first thing it needs.
            Err(error) => {
                tracing::warn!(%error, "a connection is closed: no more files can be opened");
                end(socket);
            }
        }
    }

    fn arrive(&self, socket: OwnedFd) -> Visit {
        let mut open = self.0.open.lock();
        let number = open.next;
        open.next += 1;
        open.sockets.insert(number, socket);
        count(1.0);
        while open.sockets.len() > self.0.bounds.strangers_max {
            let Some((_, oldest)) = open.sockets.pop_first() else {
                break;
            };
            end(oldest.as_fd());
            count(-1.0);
            metrics::counter!("tripline_http_strangers_closed_total").increment(1);
            open.note_closed(self.0.bounds.strangers_max);
        }
        drop(open);
        let asked = AtomicBool::new(false);
        let strangers = self.clone();
        Visit {
            strangers,
            number,
            asked,
        }
    }

    fn forget(&self, number: u64) {
        let socket = self.0.open.lock().sockets.remove(&number);
        if socket.is_some() {
            count(-1.0);
        }
    }
}

/// Of all listeners together.
fn count(more: f64) {
    metrics::gauge!("tripline_http_strangers").increment(more);
}

impl Open {
    fn note_closed(&mut self, most: usize) {
        self.untold += 1;
        if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            tracing::warn!(
                closed = self.untold,
                most,
                "connections are closed that have not shown a token or key: there are more than limits.strangers_max"
            );
            (self.told_at, self.untold) = (Some(Instant::now()), 0);
        }
    }
}

impl Visit {
    /// It showed a valid token or key: it is no stranger's.
    fn prove(&self) {
        self.strangers.forget(self.number);
    }

    /// A whole head of a request came.
    pub(super) fn note_request(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

/// The caller of a request showed a valid token or key.
pub(super) fn prove(request: &HttpRequest) {
    if let Some(visit) = request.conn_data::<Visit>() {
        visit.prove();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.strangers.forget(self.number);
        if !self.asked.load(Ordering::Relaxed) {
            metrics::counter!("tripline_http_silent_connections_total").increment(1);
        }
    }
}

fn socket(stream: &dyn Any) -> Option<BorrowedFd<'_>> {
    let plain = stream.downcast_ref::<TcpStream>();
    let tls = || {
        stream
            .downcast_ref::<TlsStream>()
            .map(|stream| stream.get_ref().0)
    };
    plain.or_else(tls).map(AsFd::as_fd)
}

/// Ends a connection from outside of it.
fn end(socket: BorrowedFd<'_>) {
    if let Err(error) = shutdown(socket, Shutdown::Both) {
        tracing::debug!(%error, "a connection had ended by itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream as Client};

    struct Site {
        strangers: Strangers,
        listener: TcpListener,
    }

    impl Site {
        fn new(strangers_max: usize) -> Self {
            let bounds = Bounds {
                strangers_max,
                ..Bounds::default()
            };
            Self {
                strangers: Strangers::new(bounds),
                listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            }
        }

        /// Both ends of a connection, and its data.
        fn comes(&self) -> (Client, Client, Visit) {
            let client = Client::connect(self.listener.local_addr().expect("bound")).expect("connected");
            let (accepted, _) = self.listener.accept().expect("accepted");
            let visit = self
                .strangers
                .arrive(accepted.try_clone().expect("another").into());
            (client, accepted, visit)
        }

        fn open(&self) -> usize {
            self.strangers.0.open.lock().sockets.len()
        }
    }

    #[test]
    fn one_more_stranger_ends_the_one_that_was_there_longest() {
        let site = Site::new(2);
        let (mut first, _accepted, _visit) = site.comes();
        let _others = [site.comes(), site.comes()];
        assert_eq!(first.read(&mut [0]).expect("closed"), 0);
        assert_eq!(site.open(), 2);
    }

    #[test]
    fn whoever_proved_itself_is_not_counted_and_not_ended() {
        let site = Site::new(1);
        let (mut known, _accepted, visit) = site.comes();
        visit.prove();
        let strangers: Vec<_> = (0..5).map(|_| site.comes()).collect();
        known.set_nonblocking(true).expect("an option");
        let waits = known.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(site.open(), 1);
        drop(strangers);
        assert_eq!(site.open(), 0);
    }
}
