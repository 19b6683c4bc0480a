//! The scene of tests about pipelines: a server with a file of them, one agent, and clients of the broker.

use super::{AgentProcess, Outside, Server, Site};
use tripline_protocol::HostId;

/// A server that goes by rules, and a host.
pub(crate) struct Ruled {
    pub(crate) server: Server,
    pub(crate) outside: Outside,
    pub(crate) agent: AgentProcess,
    pub(crate) host: HostId,
    _site: Site,
}

impl Ruled {
    /// With these pipelines; the host is attached.
    pub(crate) async fn by(pipelines: &str) -> Self {
        let site = Site::new().await;
        site.write("pipelines/all.yaml", pipelines);
        let folder = site.path("pipelines");
        let server = Server::start(&site, &[("pipelines.dir", folder.to_str().expect("UTF-8"))]).await;
        let mut agent = AgentProcess::start(&site, &server, "a").await;
        Self {
            host: agent.host_id().await,
            outside: server.outside().await,
            server,
            agent,
            _site: site,
        }
    }
}
