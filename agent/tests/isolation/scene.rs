//! A namespace with a wire, and what is tried in it.

use super::namespace::{self, Namespace};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tripline_agent::isolation::{HostIsolation, Moment, Server};
use tripline_agent::platform;
use tripline_agent::platform::isolation::NetworkIsolation;
use tripline_agent::state_dir::StateDir;
use tripline_protocol::CommandId;
use uuid::Uuid;

/// The one that stays reachable.
pub(crate) const SERVER: SocketAddr = at(1);
/// One that does not.
pub(crate) const ANOTHER: SocketAddr = at(2);

const fn at(host: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, host), 7443))
}

/// How long an answer may take; one that is dropped takes as long.
const ANSWER: Duration = Duration::from_millis(700);
/// How long a condition may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test in a namespace of its own; `name` is the test's.
pub(crate) fn run(name: &str, test: impl FnOnce(&Scene)) {
    namespace::run(name, |namespace| test(&Scene::of(namespace)));
}

/// Waits for a condition, not for a time.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
    }
}

/// Whether what is sent comes back.
pub(crate) fn answers(connection: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    connection.write_all(b"ping").is_ok() && connection.read_exact(&mut back).is_ok() && back == *b"ping"
}

/// A namespace, and the state directory of the agents that run in it.
pub(crate) struct Scene {
    namespace: Namespace,
    folder: tempfile::TempDir,
}

impl Scene {
    fn of(namespace: Namespace) -> Self {
        let scene = Self {
            namespace,
            folder: tempfile::tempdir().expect("a folder"),
        };
        let lacks = scene.network().lacks();
        assert_eq!(lacks, None, "nft was there, and the kernel took a table");
        scene
    }

    pub(crate) fn network(&self) -> Arc<dyn NetworkIsolation> {
        platform::native().network_isolation(Some(self.namespace.nft_program()))
    }

    /// An agent starts in this boot, with the state that the one before it left.
    pub(crate) fn agent(&self, boot: u128) -> HostIsolation {
        let agent = self.isolation(boot);
        agent.take_up().expect("a readable record");
        agent
    }

    /// The state directory is opened in this boot, and nothing is done yet.
    pub(crate) fn isolation(&self, boot: u128) -> HostIsolation {
        let state = StateDir::open(self.folder.path()).expect("a state directory");
        let platform = platform::native();
        let clock = move || {
            Ok(Moment {
                clock: SystemTime::now().into(),
                boot: Uuid::from_u128(boot),
                since_boot: platform.since_boot(),
            })
        };
        let server = Server::new(format!("https://{SERVER}").parse().expect("a URL"));
        HostIsolation::new(
            self.network(),
            Arc::new(state),
            Box::new(clock),
            server,
            Vec::new(),
        )
    }

    pub(crate) fn command(&self) -> CommandId {
        CommandId(Uuid::new_v4())
    }

    /// What a boot leaves of tables: nothing.
    pub(crate) fn boot(&self) {
        self.namespace
            .nft("flush ruleset\n", &["-f", "-"])
            .expect("flushed");
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> Option<TcpStream> {
        let mut connection = TcpStream::connect_timeout(&address, ANSWER).ok()?;
        connection.set_read_timeout(Some(ANSWER)).expect("a time-out");
        answers(&mut connection).then_some(connection)
    }

    /// Over UDP, to a name server's port.
    pub(crate) fn can_send_to(&self, address: SocketAddr) -> bool {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(ANSWER)).expect("a time-out");
        let mut back = [0; 4];
        socket.send_to(b"ping", (address.ip(), 53)).is_ok() && socket.recv_from(&mut back).is_ok()
    }

    pub(crate) fn has_loopback(&self) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        TcpStream::connect_timeout(&address, ANSWER).is_ok()
    }

    pub(crate) fn make_a_foreign_table(&self) -> String {
        let rules = "table inet others {\nset kept { type ipv4_addr; elements = { 203.0.113.1 }; }\nchain input {\ntype filter hook input priority 0; policy accept;\nip saddr @kept drop\n}\n}\n";
        self.namespace.nft(rules, &["-f", "-"]).expect("a table");
        self.foreign_table()
    }

    /// With its handles: a table that was made anew has others.
    pub(crate) fn foreign_table(&self) -> String {
        self.namespace
            .nft("", &["--handle", "list", "table", "inet", "others"])
            .expect("the table")
    }

    /// The rules that isolate, with their handles, and without what counts up or down.
    pub(crate) fn own_table(&self) -> Vec<String> {
        let table = self
            .namespace
            .nft("", &["--handle", "list", "table", "inet", "tripline_isolation"])
            .expect("the table");
        let lines = table.lines();
        let steady = lines.filter(|line| !line.contains("counter") && !line.contains("expires"));
        steady.map(str::to_owned).collect()
    }

    pub(crate) fn tables(&self) -> String {
        self.namespace.nft("", &["list", "tables"]).expect("the tables")
    }
}
