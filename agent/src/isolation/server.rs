//! Where the server is: what its name stands for now, and where it was reached.

use crate::server_url::ServerUrl;
use crate::stop::parking::Mutex;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The server, as an agent finds it.
pub struct Server {
    url: ServerUrl,
    reached: Mutex<Option<SocketAddr>>,
}

impl Server {
    /// The one at `url`, not reached yet.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            url,
            reached: Mutex::default(),
        }
    }

    /// For people.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Whether it is given by name, so that a name server has to be asked.
    pub fn is_named(&self) -> bool {
        self.url.host().parse::<IpAddr>().is_err()
    }

    /// It was reached at this address.
    pub(super) fn reached(&self, address: SocketAddr) {
        *self.reached.lock() = Some(address);
    }

    /// Where it was reached last.
    pub(super) fn reached_at(&self) -> Option<SocketAddr> {
        *self.reached.lock()
    }

    /// What its name stands for now; nothing if nobody says. Blocks.
    pub(super) fn resolved(&self) -> Vec<SocketAddr> {
        match (self.url.host(), self.url.port()).to_socket_addrs() {
            Ok(found) => found.collect(),
            Err(error) => {
                tracing::warn!(server = %self.url, %error, "failed to find the server's address");
                Vec::new()
            }
        }
    }

    /// Where it was reached last, and what its name stands for now. Blocks.
    pub(super) fn found(&self) -> Vec<SocketAddr> {
        let mut found = self.resolved();
        found.extend(self.reached_at());
        found
    }
}
