//! What is due, decided in memory: no store, no clock, no events.

use super::clocks::{Clocks, Row, Turn};
use super::listeners::{Listeners, PipelineTicks, ServiceTicks};
use super::newcomers::Noted;
use super::place::{Phase, Place};
use super::tick::{Subject, Tick};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{Period, TickScope};
use tripline_protocol::{HostId, Name, Org, Timestamp};

/// What is to be known about whose turn it is, and is not kept here.
pub(super) trait Book {
    /// The org of a host that gets ticks now.
    fn org_of(&self, host_id: HostId) -> Option<Org>;

    /// Whether an org gets ticks from here; `is_subscribed`: a service is subscribed to.
    fn serves(&self, org: &Org, is_subscribed: bool) -> bool;
}

/// Changes of rows: keys, and values or that they end.
pub(super) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Who is due, how far the clocks have come, and who listens.
#[derive(Debug, Default)]
pub(super) struct State {
    listeners: Listeners,
    orgs: Clocks<Org>,
    /// Of services; `None`: of the pipelines.
    once: Clocks<Option<Name>>,
    sensors: Clocks<HostId>,
}

impl State {
    /// Reads a row of an earlier process; false: it says nothing.
    pub(super) fn restore(&mut self, row: &[u8], value: &[u8]) -> bool {
        let Some((scope, period)) = tick_of(row) else {
            return false;
        };
        match scope {
            TickScope::Org => restore(&mut self.orgs, period, value),
            TickScope::Once => restore(&mut self.once, period, value),
            TickScope::Sensor => restore(&mut self.sensors, period, value),
        }
    }

    /// Hosts came and went.
    pub(super) fn note(&mut self, noted: Noted) {
        if !noted.gone.is_empty() {
            self.sensors.ring.retain(|host_id| !noted.gone.contains(host_id));
        }
        self.add(noted.come, &noted.orgs);
    }

    fn add(&mut self, hosts: impl IntoIterator<Item = HostId>, orgs: &BTreeSet<Org>) {
        let sensors = hosts.into_iter();
        self.sensors
            .ring
            .add(sensors.map(|host_id| (Phase::of(host_id.as_bytes()), host_id)));
        self.orgs.ring.add(orgs.iter().map(of_org));
    }

    /// These listen, and nobody else.
    pub(super) fn set_listeners(
        &mut self,
        pipelines: PipelineTicks,
        services: BTreeMap<Name, ServiceTicks>,
        now: Timestamp,
    ) -> Rows {
        self.listeners = Listeners { pipelines, services };
        self.listen(now)
    }

    /// Pipelines listen to these from now on.
    pub(super) fn set_pipelines(&mut self, ticks: PipelineTicks, now: Timestamp) -> Rows {
        self.listeners.pipelines = ticks;
        self.listen(now)
    }

    /// Services listen to these from now on.
    pub(super) fn set_services(&mut self, services: BTreeMap<Name, ServiceTicks>, now: Timestamp) -> Rows {
        self.listeners.services = services;
        self.listen(now)
    }

    fn listen(&mut self, now: Timestamp) -> Rows {
        let listeners = &self.listeners;
        let services = &listeners.services;
        let orgs = services.values().flat_map(|service| &service.orgs);
        self.orgs.ring.add(orgs.chain([&Org::default_org()]).map(of_org));
        let known = |who: &Option<Name>| who.as_ref().is_none_or(|name| services.contains_key(name));
        self.once.ring.retain(known);
        let all = services.keys().cloned().map(Some).chain([None]);
        self.once.ring.add(all.map(|who| (of_who(who.as_ref()), who)));
        let wanted = |scope| move |period| listeners.want(scope, period);
        let mut rows = rows_of(TickScope::Org, self.orgs.set(wanted(TickScope::Org), now));
        rows.extend(rows_of(
            TickScope::Once,
            self.once.set(wanted(TickScope::Once), now),
        ));
        rows.extend(rows_of(
            TickScope::Sensor,
            self.sensors.set(wanted(TickScope::Sensor), now),
        ));
        rows
    }

    /// Hosts that are known.
    pub(super) fn sensors(&self) -> usize {
        self.sensors.ring.len()
    }

    #[cfg(test)]
    pub(super) fn sensor_bytes(&self) -> usize {
        self.sensors.ring.bytes()
    }

    /// When the first who waits for a tick was due, in milliseconds since the Unix epoch; `None`: nobody waits.
    pub(super) fn waits_since(&self, now: Timestamp) -> Option<u64> {
        let since = [
            self.orgs.waits_since(now),
            self.once.waits_since(now),
            self.sensors.waits_since(now),
        ];
        since.into_iter().flatten().min()
    }

    /// The ticks that are due, so many as `turn` allows, and what is to be written with them.
    pub(super) fn advance(&mut self, now: Timestamp, mut turn: Turn, book: &impl Book) -> (Vec<Tick>, Rows) {
        let listeners = &self.listeners;
        let mut ticks = Vec::new();
        let mut make = |period, subject: Option<Subject>, due| {
            let is_made = subject.is_some();
            ticks.extend(subject.map(|subject| Tick { period, subject, due }));
            is_made
        };
        let orgs = self.orgs.advance(now, &mut turn, |period, org, due| {
            let wanted = listeners.want_of_org(TickScope::Org, period, org);
            let given = wanted && book.serves(org, listeners.is_subscribed(org));
            make(period, given.then(|| Subject::Org(org.clone())), due)
        });
        let once = self.once.advance(now, &mut turn, |period, who, due| {
            let given = listeners.want_once(period, who.as_ref());
            make(period, given.then(|| Subject::Once(who.clone())), due)
        });
        let sensors = self.sensors.advance(now, &mut turn, |period, host_id, due| {
            let org = book.org_of(*host_id);
            let given = org.filter(|org| {
                listeners.want_of_org(TickScope::Sensor, period, org) && book.serves(org, true)
            });
            make(period, given.map(|org| Subject::Sensor(*host_id, org)), due)
        });
        let mut rows = rows_of(TickScope::Org, orgs);
        rows.extend(rows_of(TickScope::Once, once));
        rows.extend(rows_of(TickScope::Sensor, sensors));
        (ticks, rows)
    }
}

fn of_org(org: &Org) -> (Phase, Org) {
    (Phase::of(org.as_str().as_bytes()), org.clone())
}

fn of_who(who: Option<&Name>) -> Phase {
    Phase::of(who.map_or("", Name::as_str).as_bytes())
}

fn restore<K>(clocks: &mut Clocks<K>, period: Period, value: &[u8]) -> bool
where
    K: Ord + Clone + serde::de::DeserializeOwned,
{
    let place: Option<Place<K>> = crate::record::decode("clock", value).ok();
    place.map(|place| clocks.restore(period, place)).is_some()
}

/// Rows of a scope as the store has them.
fn rows_of<K: serde::Serialize>(scope: TickScope, rows: Vec<Row<K>>) -> Rows {
    let encode = |place: Place<K>| crate::record::encode(&place);
    rows.into_iter()
        .map(|(period, place)| (row(scope, period).to_vec(), place.map(encode)))
        .collect()
}

/// The key of a clock's row: scope and period by their places in their enums, to which only new ones may be added at the end.
fn row(scope: TickScope, period: Period) -> [u8; 2] {
    [scope as u8, period as u8]
}

/// Whose row it is.
fn tick_of(key: &[u8]) -> Option<(TickScope, Period)> {
    super::listeners::all().find(|(scope, period)| row(*scope, *period) == key)
}

/// Whether a row can be read.
pub(crate) fn is_clock(key: &[u8], value: &[u8]) -> bool {
    State::default().restore(key, value)
}
