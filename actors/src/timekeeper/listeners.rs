//! Who listens to which ticks: nobody else gets any.

use crate::pipeline::RuleSet;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{Period, ServiceEtype, TickScope};
use tripline_protocol::{Etype, Name, Org};

/// The ticks that a service wants, of the orgs that subscribed to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceTicks {
    pub(crate) ticks: BTreeSet<(TickScope, Period)>,
    pub(crate) orgs: BTreeSet<Org>,
}

/// For whom a tick is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reach {
    all: bool,
    orgs: BTreeSet<Org>,
}

impl Reach {
    fn has(&self, org: &Org) -> bool {
        self.all || self.orgs.contains(org)
    }
}

/// The ticks that pipelines listen to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PipelineTicks(BTreeMap<(TickScope, Period), Reach>);

impl PipelineTicks {
    /// What these rules listen to: a pattern that covers a tick among others, too.
    pub(crate) fn of(rules: &RuleSet) -> Self {
        let mut ticks = BTreeMap::new();
        for (scope, period) in all() {
            let Some(etype) = etype(scope, period) else {
                continue;
            };
            let mut reach = Reach::default();
            for pipeline in rules.candidates(&etype) {
                match pipeline.listens_for() {
                    None => {}
                    Some([]) => reach.all = true,
                    Some(orgs) => reach.orgs.extend(orgs.iter().cloned()),
                }
            }
            if reach != Reach::default() {
                ticks.insert((scope, period), reach);
            }
        }
        Self(ticks)
    }
}

/// All ticks there are.
pub(super) fn all() -> impl Iterator<Item = (TickScope, Period)> {
    TickScope::ALL
        .into_iter()
        .flat_map(|scope| Period::ALL.map(|period| (scope, period)))
}

/// The etype of a tick. All of them are legal ones, as a test shows.
pub(super) fn etype(scope: TickScope, period: Period) -> Option<Etype> {
    ServiceEtype::Tick(scope, period).as_str().parse().ok()
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) pipelines: PipelineTicks,
    pub(super) services: BTreeMap<Name, ServiceTicks>,
}

impl Listeners {
    /// Whether anybody listens to this tick at all.
    pub(super) fn want(&self, scope: TickScope, period: Period) -> bool {
        let tick = (scope, period);
        self.pipelines.0.contains_key(&tick)
            || self
                .services
                .values()
                .any(|service| service.ticks.contains(&tick))
    }

    /// Whether anybody listens to a tick of this org or of one of its sensors.
    pub(super) fn want_of_org(&self, scope: TickScope, period: Period, org: &Org) -> bool {
        let tick = (scope, period);
        let mut services = self.services.values();
        self.pipelines.0.get(&tick).is_some_and(|reach| reach.has(org))
            || services.any(|service| service.ticks.contains(&tick) && service.orgs.contains(org))
    }

    /// Whether a service listens to its own tick; `None`: whether pipelines do to theirs, which is of the default org.
    pub(super) fn want_once(&self, period: Period, who: Option<&Name>) -> bool {
        let tick = (TickScope::Once, period);
        match who {
            Some(name) => {
                let service = self.services.get(name);
                service.is_some_and(|service| service.ticks.contains(&tick))
            }
            None => {
                let reach = self.pipelines.0.get(&tick);
                reach.is_some_and(|reach| reach.has(&Org::default_org()))
            }
        }
    }

    /// Whether a service is subscribed to.
    pub(super) fn is_subscribed(&self, org: &Org) -> bool {
        self.services.values().any(|service| service.orgs.contains(org))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::SourceFile;

    fn org(name: &str) -> Org {
        name.parse().unwrap()
    }

    fn rules(head: &str) -> PipelineTicks {
        let text = format!("name: p\n{head}\njob: {{ steps: [ list_processes: {{}} ] }}\n");
        let path = "p.yaml".into();
        PipelineTicks::of(&RuleSet::parse(&[SourceFile { path, text }], &[]).unwrap())
    }

    fn listens(pipelines: PipelineTicks) -> Vec<(TickScope, Period)> {
        let listeners = Listeners {
            pipelines,
            ..Listeners::default()
        };
        all()
            .filter(|(scope, period)| listeners.want(*scope, *period))
            .collect()
    }

    #[test]
    fn every_tick_is_an_etype() {
        assert!(all().all(|(scope, period)| etype(scope, period).is_some()));
        assert_eq!(all().count(), 18);
    }

    #[test]
    fn pipelines_listen_to_what_their_patterns_cover_unless_they_are_disabled() {
        assert_eq!(listens(rules("on: [PROHIBITED_PROCESS, acme.>]")), []);
        let tick = (TickScope::Sensor, Period::H12);
        assert_eq!(listens(rules("on: [a, sensor_per_12h]")), [tick]);
        assert_eq!(listens(rules("on: [sensor_per_12h]\nenabled: false")), []);
        assert_eq!(listens(rules("on: [\"*\"]")).len(), 18);
    }

    #[test]
    fn a_pipeline_of_some_orgs_listens_for_these_alone() {
        let of_acme = Listeners {
            pipelines: rules("on: [\"*\"]\norgs: [acme]"),
            ..Listeners::default()
        };
        for scope in [TickScope::Org, TickScope::Sensor] {
            assert!(of_acme.want_of_org(scope, Period::D7, &org("acme")));
            assert!(!of_acme.want_of_org(scope, Period::D7, &org("other")));
        }
        assert!(!of_acme.want_once(Period::D7, None), "that is of the default org");
        let of_all = Listeners {
            pipelines: rules("on: [once_per_7d]"),
            ..Listeners::default()
        };
        assert!(of_all.want_once(Period::D7, None) && !of_all.want_once(Period::H1, None));
    }

    #[test]
    fn a_service_listens_for_the_orgs_that_subscribed_to_it_and_once_for_itself() {
        let ticks = [(TickScope::Org, Period::H1), (TickScope::Once, Period::H1)];
        let service = ServiceTicks {
            ticks: ticks.into(),
            orgs: [org("acme")].into(),
        };
        let (name, other): (Name, Name) = ("yara".parse().unwrap(), "other".parse().unwrap());
        let listeners = Listeners {
            services: [(name.clone(), service)].into(),
            ..Listeners::default()
        };
        assert!(listeners.want_of_org(TickScope::Org, Period::H1, &org("acme")));
        assert!(!listeners.want_of_org(TickScope::Org, Period::H1, &org("other")));
        assert!(!listeners.want_of_org(TickScope::Org, Period::H3, &org("acme")));
        assert!(listeners.want_once(Period::H1, Some(&name)));
        assert!(!listeners.want_once(Period::H1, Some(&other)) && !listeners.want_once(Period::H1, None));
        assert!(listeners.is_subscribed(&org("acme")) && !listeners.is_subscribed(&org("other")));
    }
}
