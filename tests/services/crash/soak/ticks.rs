//! Which ticks there are, and that there are those that must be.

use super::listener::Listener;
use crate::harness::{Outside, eventually};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::{EventKey, HostId, Org, Span, Timestamp};

const SOURCE: &str = "tripline/timekeeper";
pub(super) const PERIOD: Span = Span::from_secs(3600);

/// The ticks of the stream: of whom, as in their ids, and when each was due, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Ticks(BTreeMap<String, Vec<u64>>);

impl Ticks {
    /// What the stream has now.
    pub(super) async fn read(outside: &Outside) -> Self {
        let mut ticks = Self::default();
        for message in events(outside).await {
            let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            if event["source"] != SOURCE {
                continue;
            }
            assert!(
                message.subject.starts_with("tripline.events.default."),
                "an org has ticks whose ticks are not ours: {}",
                message.subject
            );
            let id = event["id"].as_str().expect("an id");
            let (whose, due) = id.rsplit_once('/').expect("when it was due");
            let due = due.parse().expect("a time");
            ticks.0.entry(whose.to_owned()).or_default().push(due);
        }
        ticks
    }

    /// Each of these had the last one that was due.
    pub(super) fn are_up_to(&self, now: Timestamp, everybody: &BTreeSet<String>) -> bool {
        let now = u64::try_from(now.as_micros() / 1000).expect("after 1970");
        let is_next_due = |dues: &Vec<u64>| {
            dues.iter()
                .max()
                .is_some_and(|last| last + PERIOD.as_millis() <= now)
        };
        everybody
            .iter()
            .all(|whose| self.0.get(whose).is_some_and(|dues| !is_next_due(dues)))
    }

    /// When each had its last.
    pub(super) fn last(&self) -> BTreeMap<String, u64> {
        let last = |(whose, dues): (&String, &Vec<u64>)| Some((whose.clone(), *dues.iter().max()?));
        self.0.iter().filter_map(last).collect()
    }

    /// One in every period from then on, for each of these and for nobody else: none is there twice, and none is left out.
    pub(super) fn are_one_a_period(&self, since: &BTreeMap<String, u64>) {
        let known: BTreeSet<&String> = self.0.keys().collect();
        assert_eq!(known, since.keys().collect(), "who has ticks");
        for (whose, dues) in &self.0 {
            let mut in_order = dues.clone();
            in_order.sort_unstable();
            let is_later = |pair: &[u64]| pair[0] < pair[1];
            let is_one_on = |pair: &[u64]| pair[0] < since[whose] || pair[1] - pair[0] == PERIOD.as_millis();
            let holds = |pair: &[u64]| is_later(pair) && is_one_on(pair);
            assert!(in_order.windows(2).all(holds), "{whose}: {in_order:?}");
        }
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        let ids = |(whose, dues): (&String, &Vec<u64>)| {
            dues.iter()
                .map(|due| format!("{whose}/{due}"))
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(ids)
    }

    /// The ids of a host's.
    pub(super) fn of_host(&self, host: HostId) -> BTreeSet<String> {
        let of_host = format!("sensor_per_1h/{host}/");
        self.ids().filter(|id| id.starts_with(&of_host)).collect()
    }

    /// Etypes and `mid`s under which the service is to hear of them.
    pub(super) fn told_to(&self, listener: &Listener) -> BTreeSet<(String, String)> {
        let own = format!("once_per_1h/{}/", listener.name);
        let is_its = |id: &String| !id.starts_with("once_per_1h/") || id.starts_with(&own);
        let told = |id: String| {
            let etype = id.split('/').next().expect("an etype");
            (etype.to_owned(), listener.mid(key(&id), etype))
        };
        self.ids().filter(is_its).map(told).collect()
    }
}

/// Everything in the stream of events now, of all orgs, which only its operator may read.
pub(super) async fn events(outside: &Outside) -> Vec<async_nats::Message> {
    eventually("the events", async || {
        Outside::try_read(&outside.operator, "TRIPLINE_EVENTS").await
    })
    .await
}

/// The event that a tick of ours is.
pub(super) fn key(id: &str) -> EventKey {
    EventKey::derive(&Org::default_org(), SOURCE, id)
}

/// Who has ticks, as their ids begin.
pub(super) fn everybody(listeners: &[Listener], hosts: &[HostId]) -> BTreeSet<String> {
    let services = listeners
        .iter()
        .map(|listener| format!("once_per_1h/{}", listener.name));
    let hosts = hosts.iter().map(|host| format!("sensor_per_1h/{host}"));
    let org = "org_per_1h".to_owned();
    services.chain(hosts).chain([org]).collect()
}
