//! A host that is really isolated, with the real programs: the server in a network namespace of the test's own, the agent
//! in a second one at the other end of a wire.

use crate::harness::agent::in_network_of;
use crate::harness::{AgentProcess, Server, Site, free_port, job_of, run, tripline};
use crate::namespace::{self, Namespace};
use serde_json::json;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tripline_protocol::job::Outcome;

/// Where the server is, and the rest of the world.
const HERE: &str = "192.0.2.9";
/// Something on the host that answers.
const ON_THE_HOST: &str = "192.0.2.1:7443";
/// How long a connection may take to come about; one that is dropped takes as long.
const ANSWER: Duration = Duration::from_secs(1);

struct Scene {
    wire: Namespace,
    world: TcpListener,
    server: Server,
    agent: AgentProcess,
    host: String,
    _site: Site,
}

impl Scene {
    async fn set(wire: Namespace) -> Self {
        let site = Site::new().await;
        let listen = format!("{HERE}:{}", free_port());
        let settings = [("http.tls_listen", listen.as_str()), ("http.tls_names", HERE)];
        let server = Server::start(&site, &settings).await;
        let token = server.api().enrol_token().await;
        let mut agent = AgentProcess::prepare(&site, &format!("https://{listen}"), &token, "web01");
        agent.move_to_network_of(wire.beyond());
        let ca = server.data_dir().join("tls/ca.pem");
        agent.option("--ca", ca.to_str().expect("UTF-8"));
        agent.option("--isolation-nft", wire.nft_program().to_str().expect("UTF-8"));
        agent.spawn();
        let host = agent.host_id().await;
        server.api().attached(host, true).await;
        Self {
            world: TcpListener::bind((HERE, 0)).expect("a listener"),
            host: host.to_string(),
            wire,
            server,
            agent,
            _site: site,
        }
    }

    /// Whether the host reaches the world, and the world the host.
    async fn reach(&self) -> (bool, bool) {
        let world = self.world.local_addr().expect("an address");
        let mut out = in_network_of(self.wire.beyond(), "timeout");
        let seconds = ANSWER.as_secs().to_string();
        let connect = format!("exec 3<>/dev/tcp/{}/{}", world.ip(), world.port());
        out.args([&seconds, "bash", "-c", &connect]);
        let address: SocketAddr = ON_THE_HOST.parse().expect("an address");
        (
            run(out).await.code == 0,
            TcpStream::connect_timeout(&address, ANSWER).is_ok(),
        )
    }

    async fn cli(&self, arguments: &[&str]) {
        let data_dir = self.server.data_dir();
        let (url, token) = (self.server.url(), data_dir.join("admin.token"));
        let server = ["--server", &url, "--token-file", token.to_str().expect("UTF-8")];
        let ran = tripline(data_dir, &[&server, arguments].concat()).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// The server still does its work on the host.
    async fn a_job_succeeds(&self) {
        let host = self.host.parse().expect("an id");
        let job = self
            .server
            .api()
            .run(host, job_of("list_processes", json!({})))
            .await;
        assert_eq!(job.state.outcome(), Some(Outcome::Succeeded), "{job:?}");
    }

    async fn agent_dies(&mut self) {
        self.agent.kill();
        let host = self.host.parse().expect("an id");
        self.server.api().attached(host, false).await;
    }

    async fn agent_comes_back(&mut self) {
        self.agent.spawn();
        let host = self.host.parse().expect("an id");
        self.server.api().attached(host, true).await;
    }
}

#[test]
fn a_host_keeps_its_server_alone_also_without_its_agent_until_it_is_released() {
    namespace::run(
        "isolated::a_host_keeps_its_server_alone_also_without_its_agent_until_it_is_released",
        |wire| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(isolated_and_released(wire));
        },
    );
}

async fn isolated_and_released(wire: Namespace) {
    let mut scene = Scene::set(wire).await;
    let host = scene.host.clone();
    assert_eq!(scene.reach().await, (true, true));
    scene.cli(&["host", "isolate", &host, "--for", "1h"]).await;
    assert_eq!(scene.reach().await, (false, false));
    scene.a_job_succeeds().await;

    scene.agent_dies().await;
    assert_eq!(scene.reach().await, (false, false), "the kernel keeps it");
    scene.agent_comes_back().await;
    scene.a_job_succeeds().await;
    assert_eq!(scene.reach().await, (false, false), "a new start changes nothing");

    scene.cli(&["host", "unisolate", &host]).await;
    assert_eq!(scene.reach().await, (true, true));
    scene.a_job_succeeds().await;
}
