//! The real one registered at a real server with a real broker, which play the cloud.

mod again;
mod burst;
mod etypes;
mod replies;
mod requests;
mod ticks;

use crate::harness::{Api, Outside, Server, Site, cloud_event, eventually, until};
use crate::peer::{RealService, Recorded};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::HostId;

/// Everything at work. Dropped from the first to the last.
struct Cloud {
    api: Api,
    outside: Outside,
    service: RealService,
    server: Server,
    name: &'static str,
    site: Site,
}

impl Cloud {
    /// With a service that is told to be so, and these further keys of its registration; the org `default` has installed it.
    async fn start(
        name: &'static str,
        subscriptions: &[&str],
        keys: &str,
        prepare: impl FnOnce(&mut RealService),
    ) -> Self {
        let site = Site::new().await;
        let mut service = RealService::prepare(&site, name);
        service.set("subscriptions", json!(subscriptions));
        prepare(&mut service);
        service.spawn().await;
        let config = format!(
            "[[services]]\nname = {name:?}\nurl = {:?}\nsecret = {:?}\nallow_private = true\n{keys}\n",
            service.url(),
            service.secret()
        );
        let config = site.write("tripline.toml", config);
        let mut server = Server::prepare(&site, &[]);
        server.set_config(&config);
        server.spawn();
        server.ready().await;
        let cloud = Self {
            api: server.api(),
            outside: server.outside().await,
            service,
            server,
            name,
            site,
        };
        cloud
            .is("installed", |view| {
                view["installations"]["default"] == "installed"
            })
            .await;
        cloud
    }

    /// Waits until the service is as `holds` says.
    async fn is(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/services/{}", self.name);
        eventually(what, async || {
            let answer = self.api.try_get(&path).await?;
            (answer.status == 200 && holds(&answer.body)).then_some(answer.body)
        })
        .await
    }

    /// Publishes an event about a host.
    async fn publish(&self, id: &str, etype: &str, host: HostId, data: Value) {
        self.outside
            .publish(etype, &cloud_event(id, etype, host, data))
            .await;
    }

    /// Publishes a detection, whose `cat` tells the service what to do.
    async fn detect(&self, id: &str, cat: &str, host: HostId) {
        let data = json!({ "cat": cat, "detect": { "number": id } });
        self.publish(id, "detection", host, data).await;
    }

    /// Does not wait for the pauses between attempts.
    async fn hurry(&self) {
        let path = format!("/v1/services/{}/retry", self.name);
        let answer = self.api.post(&path, &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The detections that the service was told of, each with all of its calls, once so many were answered with success and
    /// none waits any more. Each has one mid and no other has it.
    async fn handled(&self, count: usize) -> BTreeMap<String, Vec<Recorded>> {
        until("all detections are handled", || {
            let told = by_number(self.service.recorded());
            told.values().filter(|calls| calls.iter().any(is_done)).count() >= count
        })
        .await;
        let view = self.is("nothing waits", |view| view["waiting"] == 0).await;
        let told = by_number(self.service.recorded());
        assert_eq!(told.len(), count);
        assert_eq!(
            (&view["given_up"], &view["state"]),
            (&json!(0), &json!("up")),
            "{view}"
        );
        let mut all = BTreeSet::new();
        for (number, calls) in &told {
            let mids: BTreeSet<String> = calls.iter().map(|told| told.call["mid"].to_string()).collect();
            assert_eq!(mids.len(), 1, "{number}: the same on every attempt");
            all.extend(mids);
        }
        assert_eq!(all.len(), count, "each its own");
        told
    }
}

fn is_done(told: &Recorded) -> bool {
    told.answer
        .as_ref()
        .is_some_and(|answer| answer["success"] == true)
}

/// Detections of [`Cloud::detect`] by what they were published as.
fn by_number(recorded: Vec<Recorded>) -> BTreeMap<String, Vec<Recorded>> {
    let mut told: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    for recorded in recorded {
        if recorded.call["etype"] == "detection" {
            let number = recorded.call["data"]["detect"]["event"]["number"].as_str();
            let number = number.expect("it was published as one").to_owned();
            told.entry(number).or_default().push(recorded);
        }
    }
    told
}
