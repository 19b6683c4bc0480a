//! A broker that somebody else runs.

use super::{Process, Site, eventually, free_port};
use std::path::PathBuf;
use std::process::Command;
use tripline::nats::embedded::find::Search;

/// `nats-server` without users.
pub(crate) struct Broker {
    process: Process,
    config: PathBuf,
    store: PathBuf,
    port: u16,
    url: String,
}

impl Broker {
    /// One that does not run yet.
    pub(crate) fn prepare(site: &Site) -> Self {
        let port = free_port();
        let broker = Self {
            process: Process::new("the broker", site.path("external-broker.log")),
            config: site.path("external-broker.conf"),
            store: site.path("external-broker"),
            port,
            url: format!("nats://127.0.0.1:{port}"),
        };
        broker.set_max_payload(2_000_000);
        broker
    }

    /// The largest message that it takes from its next start on.
    pub(crate) fn set_max_payload(&self, bytes: u32) {
        let Self { port, store, .. } = self;
        let text = format!(
            "host: 127.0.0.1\nport: {port}\nmax_payload: {bytes}\njetstream {{ store_dir: {store:?}, max_file_store: 4GB }}\n"
        );
        std::fs::write(&self.config, text).expect("to configure the broker");
    }

    pub(crate) async fn start(site: &Site) -> Self {
        let mut broker = Self::prepare(site);
        broker.spawn().await;
        broker
    }

    /// Starts it and waits until it takes connections.
    pub(crate) async fn spawn(&mut self) {
        let mut search = Search::from_environment();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        search.folders.push(root.join(".nats/bin"));
        let mut command = Command::new(search.find().expect("the tests need a broker"));
        command.arg("-c").arg(&self.config);
        self.process.spawn(command);
        eventually("the broker takes connections", async || {
            let client = async_nats::connect(&self.url).await.ok()?;
            let context = async_nats::jetstream::new(client);
            context.query_account().await.ok()
        })
        .await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
