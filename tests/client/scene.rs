//! A server over TLS, agents, and a client.

use crate::harness::scripted::{Persona, ScriptedAgent};
use crate::harness::{AgentProcess, Api, Server, Site, free_port};
use serde_json::json;
use std::path::{Path, PathBuf};
use tripline_client::{Builder, Client, Host, RemotePath, Session};

/// Everything at work.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) agents: Vec<AgentProcess>,
    pub(crate) server: Server,
    /// HTTPS, also after another start.
    pub(crate) url: String,
    /// An operator's.
    pub(crate) token: String,
    /// Last, because its folder goes with it.
    pub(crate) site: Site,
}

impl Scene {
    /// One real agent, and what is configured by default.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], 1).await
    }

    /// So many real agents, with settings of the server.
    pub(crate) async fn start_with(settings: &[(&str, &str)], agents: usize) -> Self {
        let site = Site::new().await;
        let mut server = Server::prepare(&site, settings);
        // Clients find it where it was when it was started again.
        let address = format!("127.0.0.1:{}", free_port());
        server.set("http.tls_listen", &address);
        server.spawn();
        server.ready().await;
        let url = format!("https://{address}");
        let token = server
            .api()
            .create_token(json!({"name": "tests", "role": "operator"}))
            .await;
        let client = builder(&url, &server).token(&token).connect().await;
        let mut scene = Self {
            client: client.expect("a client"),
            agents: Vec::new(),
            server,
            url,
            token,
            site,
        };
        for number in 1..=agents {
            let agent = AgentProcess::start(&scene.site, &scene.server, &number.to_string()).await;
            scene.agents.push(agent);
        }
        scene
    }

    /// A host whose agent does what a test says.
    pub(crate) async fn scripted(&self, persona: Persona) -> ScriptedAgent {
        let token = self.api().enrol_token().await;
        let agent = ScriptedAgent::start(&self.server.url(), &token, persona).await;
        agent.expect("an agent")
    }

    pub(crate) fn api(&self) -> Api {
        self.server.api()
    }

    /// As which a test knows nothing but the address and the authority.
    pub(crate) fn builder(&self) -> Builder {
        builder(&self.url, &self.server)
    }

    /// A client with another token.
    pub(crate) async fn client_as(&self, role: &str) -> Client {
        let token = self.api().create_token(json!({"name": role, "role": role})).await;
        self.builder().token(token).connect().await.expect("a client")
    }

    /// The host of a real agent, from 0.
    pub(crate) async fn host(&mut self, agent: usize) -> Host {
        let host_id = self.agents[agent].host_id().await;
        self.client.host(host_id).await.expect("a host")
    }

    /// A session on the host of the first real agent.
    pub(crate) async fn session(&mut self) -> Session {
        self.host(0).await.session().await.expect("a session")
    }

    /// A path of the test's own folder, which is the host's, too.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }
}

fn builder(url: &str, server: &Server) -> Builder {
    Client::builder(url).ca_file(server.data_dir().join("tls/ca.pem"))
}

/// A path of this machine as the host has it.
pub(crate) fn on_host(path: &Path) -> RemotePath {
    path.to_str().expect("a path that is text").into()
}

/// No byte of it repeats where a piece of a transfer begins.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}
