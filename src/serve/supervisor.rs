//! What the service manager that started the server is told: that it serves, and that it ends.
//!
//! The protocol is systemd's (`sd_notify(3)`): lines in a datagram to the socket that `NOTIFY_SOCKET` names. Without
//! that variable nobody is told anything. Deliberately not here: the watchdog; what a restart can mend, the
//! server mends by itself (`docs/decisions/0018-packages.md`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

/// Names the socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if there is one that wants to know.
#[derive(Debug, Default)]
pub(super) struct Supervisor(Option<UnixDatagram>);

impl Supervisor {
    /// The one that this process' environment names. One that cannot be reached is named in the log: it would wait
    /// for what it is never told.
    pub(super) fn from_environment() -> Self {
        Self::reach(std::env::var_os(VARIABLE)).unwrap_or_else(|error| {
            tracing::warn!(%error, "the service manager cannot be told anything: {VARIABLE} leads nowhere");
            Self::default()
        })
    }

    fn reach(socket: Option<OsString>) -> io::Result<Self> {
        match socket.filter(|name| !name.is_empty()) {
            Some(name) => connect(&name).map(|socket| Self(Some(socket))),
            None => Ok(Self::default()),
        }
    }

    /// Its listeners are open; `status` is shown by `systemctl status`.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// It ends in order.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what was begun\n");
    }

    fn tell(&self, lines: &str) {
        let Some(socket) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// A path, or `@` and an abstract name.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not keep the server from serving.
    socket.set_nonblocking(true)?;
    match name.as_bytes().split_first() {
        Some((b'@', name)) => connect_abstract(&socket, name)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.connect_addr(&address)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn the_socket_that_is_named_hears_that_the_server_is_ready_and_that_it_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::reach(Some(path.into())).unwrap();
        supervisor.ready("serves");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=serves\n");
        supervisor.stopping();
        assert!(heard(&manager).starts_with("STOPPING=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_with_an_abstract_name_is_reached() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("tripline-notify-{}", uuid::Uuid::new_v4());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::reach(Some(format!("@{name}").into())).unwrap();
        supervisor.ready("serves");
        assert!(heard(&manager).starts_with("READY=1\n"));
    }

    #[test]
    fn without_a_manager_nobody_is_told_and_one_that_is_not_there_is_an_error() {
        Supervisor::reach(None).unwrap().ready("serves");
        Supervisor::reach(Some(OsString::new())).unwrap().stopping();
        let folder = tempfile::tempdir().unwrap();
        assert!(Supervisor::reach(Some(folder.path().join("none").into())).is_err());
    }
}
