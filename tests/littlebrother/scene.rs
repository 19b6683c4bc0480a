//! One real client that reports to Tripline, and one person whose processes it watches.

use crate::harness::{Site, eventually, until};
use crate::peers::{Exchange, Person, RealClient, Wire};
use crate::tripline::{Settings, Tripline};
use serde_json::Value;
use tripline_protocol::HostId;

/// What the clients of these tests call themselves.
pub(crate) const NAME: &str = "beethoven.music.example";

/// Everything at work.
pub(crate) struct Scene {
    pub(crate) client: RealClient,
    pub(crate) wire: Wire,
    pub(crate) tripline: Tripline,
    pub(crate) person: Person,
    /// Last, because its folder goes with it.
    pub(crate) site: Site,
}

impl Scene {
    /// With the settings of all tests.
    pub(crate) async fn start() -> Self {
        Self::start_with(|settings| settings, &[]).await
    }

    /// With other settings, and pipelines.
    pub(crate) async fn start_with(change: impl FnOnce(Settings) -> Settings, pipelines: &[&str]) -> Self {
        let mut scene = Self::prepare(change, pipelines).await;
        scene.client.spawn();
        scene.client_knows_users().await;
        scene
    }

    /// The client does not run yet.
    pub(crate) async fn prepare(change: impl FnOnce(Settings) -> Settings, pipelines: &[&str]) -> Self {
        let site = Site::new().await;
        let person = Person::new(&site);
        let tripline = Tripline::start(&site, &change(Settings::of(&person)), pipelines).await;
        let wire = Wire::to(&tripline.url()).await;
        Self {
            client: RealClient::prepare(&site, NAME, wire.url()),
            wire,
            tripline,
            person,
            site,
        }
    }

    /// Waits until an answer with users and mapping got to the client.
    pub(crate) async fn client_knows_users(&self) {
        until("the client got users and a mapping", || {
            let exchanges = self.wire.exchanges();
            let got = |kind| {
                exchanges
                    .iter()
                    .any(|one| one.delivered && !one.got(kind).is_empty())
            };
            got("UPDATE_CONFIG") && got("UPDATE_LOGIN_MAPPING")
        })
        .await;
    }

    /// The id of the client's record.
    pub(crate) async fn host_id(&self) -> HostId {
        self.tripline.client(NAME).await.host_id
    }

    /// Waits until the client sent an event about a process in a message after the first `after`; the first such.
    pub(crate) async fn sent(&self, after: usize, event_type: &str, pid: u32) -> Value {
        eventually(&format!("the client sends {event_type} of {pid}"), async || {
            let exchanges = self.wire.exchanges();
            exchanges
                .iter()
                .skip(after)
                .find_map(|one| sent_of(one, event_type, pid))
        })
        .await
    }

    /// Waits for so many more whole exchanges.
    pub(crate) async fn exchanges_more(&self, more: usize) -> Vec<Exchange> {
        let count = self.wire.count() + more;
        until(&format!("{more} more messages"), || self.wire.count() >= count).await;
        self.wire.exchanges()
    }
}

fn sent_of(exchange: &Exchange, event_type: &str, pid: u32) -> Option<Value> {
    let sent = exchange.sent(event_type);
    sent.into_iter().find(|event| event["pid"] == pid).cloned()
}
