//! `server.json` in the data directory: where the server that runs there can be reached, for the command
//! line and for tests that let it take any port. Written when the server is ready, removed when it stops.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where a server can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The server's process.
    pub pid: u32,
    /// Plain HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// Plain HTTP for LittleBrother clients alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub littlebrother: Option<SocketAddr>,
}

impl Endpoints {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("server.json")
    }

    /// Reads what a server left; `None` when there is nothing that can be read.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read(Self::path(data_dir)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        let path = Self::path(data_dir);
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&temporary, &path)
    }

    /// Removes it; that it is already gone is fine.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(data_dir: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(Self::path(data_dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The HTTPS URL for a client on this machine.
    pub fn tls_url(&self) -> String {
        format!("https://{}", reachable(self.https))
    }

    /// The URL for a LittleBrother client on this machine, where they have a listener of their own.
    pub fn littlebrother_url(&self) -> Option<String> {
        self.littlebrother
            .map(|address| format!("http://{}", reachable(address)))
    }

    /// The plain HTTP URL for a client on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.http))
    }
}

/// A server on all addresses is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Endpoints::read(folder.path()), None);
        let endpoints = Endpoints {
            pid: 7,
            http: ([127, 0, 0, 1], 1).into(),
            https: ([0, 0, 0, 0], 2).into(),
            littlebrother: Some(([0, 0, 0, 0], 3).into()),
        };
        endpoints.write(folder.path()).unwrap();
        assert_eq!(Endpoints::read(folder.path()), Some(endpoints.clone()));
        assert_eq!(endpoints.tls_url(), "https://127.0.0.1:2");
        assert_eq!(
            endpoints.littlebrother_url().as_deref(),
            Some("http://127.0.0.1:3")
        );
        Endpoints::remove(folder.path()).unwrap();
        Endpoints::remove(folder.path()).unwrap();
        assert_eq!(Endpoints::read(folder.path()), None);
    }
}
