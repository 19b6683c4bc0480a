//! A server, services of its configuration, and who publishes detections.

use crate::harness::{Api, Outside, Server, Site, cloud_event, eventually};
use crate::peer::Peer;
use serde_json::{Value, json};
use std::path::PathBuf;
use tripline_protocol::HostId;

pub(crate) const SECRET: &str = "sesame-of-the-service";

/// Everything at work. Dropped from the first to the last.
pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) outside: Outside,
    pub(crate) server: Server,
    pub(crate) config: PathBuf,
    pub(crate) site: Site,
}

/// A service of the configuration on this machine.
pub(crate) fn service(name: &str, peer: &Peer, more: &str) -> String {
    format!(
        "[[services]]\nname = {name:?}\nurl = {:?}\nsecret = {SECRET:?}\nallow_private = true\n{more}\n",
        peer.url()
    )
}

impl Scene {
    /// With this configuration.
    pub(crate) async fn start(config: &str) -> Self {
        let site = Site::new().await;
        let config = site.write("tripline.toml", config);
        let mut server = Server::prepare(&site, &[]);
        server.set_config(&config);
        server.spawn();
        server.ready().await;
        Self {
            api: server.api(),
            outside: server.outside().await,
            server,
            config,
            site,
        }
    }

    /// Publishes a detection, whose `cat` tells peers what to do.
    pub(crate) async fn detect(&self, id: &str, cat: &str, host: HostId) {
        let data = json!({ "cat": cat, "detect": { "number": id } });
        let event = cloud_event(id, "detection", host, data);
        self.outside.publish("detection", &event).await;
    }

    pub(crate) async fn service(&self, name: &str) -> Value {
        let answer = self.api.get(&format!("/v1/services/{name}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Waits until the service is as `holds` says.
    pub(crate) async fn service_is(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/services/{name}");
        eventually(what, async || {
            // It may not be there yet.
            let answer = self.api.get(&path).await;
            (answer.status == 200 && holds(&answer.body)).then_some(answer.body)
        })
        .await
    }

    /// Waits until the org `default` has installed it.
    pub(crate) async fn installed(&self, name: &str) -> Value {
        self.service_is(name, "it is installed", |view| {
            view["installations"]["default"] == "installed"
        })
        .await
    }
}
