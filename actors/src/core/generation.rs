//! A generation of actors: made together from the store, stopped together when one of them panics.

use crate::audit::AuditKeeper;
use crate::directory::{CloseAll, Directory};
use crate::door::Door;
use crate::fanout::Fanouts;
use crate::ground::Ground;
use crate::guardian::{Retire, Sentinel};
use crate::ingest::Ingest;
use crate::limacharlie::{Others, ServiceRole};
use crate::outbox::Outbox;
use crate::pipeline::RuleSet;
use crate::refusal::Refusal;
use crate::router::{EtypeRouter, Rules, SetRules};
use crate::scheduler::{GetSlots, JobScheduler};
use crate::service::Services;
use crate::slot::SessionSlot;
use crate::timekeeper::{PipelineTicks, PipelinesListen, Timekeeper};
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The first pause before a new generation, doubled with each restart in a row.
const RESTART_PAUSE: Duration = Duration::from_millis(50);
/// The last pause.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The addresses of a generation.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) ingest: Addr<Ingest>,
    pub(super) router: Addr<EtypeRouter>,
    pub(super) fanouts: Addr<Fanouts>,
    pub(super) scheduler: Addr<JobScheduler>,
    pub(super) directory: Addr<Directory>,
    pub(super) outbox: Addr<Outbox>,
    pub(super) services: Addr<Services>,
    pub(super) limacharlie: Addr<ServiceRole>,
    audit: Addr<AuditKeeper>,
    timekeeper: Addr<Timekeeper>,
    slots: Vec<Addr<SessionSlot>>,
}

impl Peers {
    /// Makes all actors from what the store holds.
    fn make(
        ground: &Arc<Ground>,
        rules: Rules,
        alarm: &UnboundedSender<&'static str>,
    ) -> Result<Self, Refusal> {
        let alarm = alarm.clone();
        let guard = Arc::new(move |name: &'static str| {
            let alarm = alarm.clone();
            Sentinel::new(move || {
                // The receiver lives as long as the arbiter; without it nobody is left to be told.
                let _ = alarm.send(name);
            })
        });
        let service_guard = Arc::clone(&guard);
        let router_context = Context::<EtypeRouter>::new();
        let fanouts_context = Context::<Fanouts>::new();
        let outbox_context = Context::<Outbox>::new();
        let scheduler_context = Context::<JobScheduler>::new();
        let services_context = Context::<Services>::new();
        let directory_context = Context::<Directory>::new();
        let slot_contexts: Vec<_> = (0..ground.config.slots_total)
            .map(|_| Context::<SessionSlot>::new())
            .collect();
        let router = router_context.address();
        let fanouts = fanouts_context.address();
        let outbox = outbox_context.address();
        let scheduler = scheduler_context.address();
        let services = services_context.address();
        let directory = directory_context.address();
        let slots: Vec<Addr<SessionSlot>> = slot_contexts.iter().map(AsyncContext::address).collect();

        let outbox_actor = Outbox::load(Arc::clone(ground), guard("outbox"))?;
        // Before the scheduler: jobs are noted for the orgs that it knows of.
        let role_actor = ServiceRole::load(
            Arc::clone(ground),
            Others {
                scheduler: scheduler.clone(),
                directory: directory.clone(),
                outbox: outbox.clone(),
                fanouts: fanouts.clone(),
                router: router.clone(),
                services: services.clone(),
            },
            guard("limacharlie"),
        )?;
        let fanouts_actor = Fanouts::load(
            Arc::clone(ground),
            scheduler.clone(),
            directory.clone(),
            guard("fanouts"),
        )?;
        let scheduler_actor = JobScheduler::load(
            Arc::clone(ground),
            (router.clone(), Arc::clone(&rules.set)),
            (fanouts.clone(), fanouts_actor.turns()),
            outbox.clone(),
            directory.clone(),
            slots.clone(),
            guard("scheduler"),
        )?;
        let directory_actor = Directory::load(
            Arc::clone(ground),
            scheduler.clone(),
            outbox.clone(),
            slots.clone(),
            guard("directory"),
        )?;
        services_context.run(Services::load(
            Arc::clone(ground),
            outbox.clone(),
            services.clone(),
            Box::new(move || service_guard("service")),
            guard("services"),
        )?);
        let timekeeper = Timekeeper::load(
            Arc::clone(ground),
            outbox.clone(),
            PipelineTicks::of(&rules.set),
            guard("timekeeper"),
        )?;
        let router_actor = EtypeRouter::load(
            Arc::clone(ground),
            scheduler.clone(),
            fanouts.clone(),
            services.clone(),
            rules,
            scheduler_actor.open_by_pipeline(),
            guard("router"),
        )?;
        let ingest = Ingest::load(Arc::clone(ground), router.clone(), guard("ingest"))?.start();
        let audit = AuditKeeper::new(Arc::clone(ground), guard("audit")).start();
        let timekeeper = timekeeper.start();
        router_context.run(router_actor);
        fanouts_context.run(fanouts_actor);
        outbox_context.run(outbox_actor);
        directory_context.run(directory_actor);
        for (index, context) in (0..).zip(slot_contexts) {
            let (scheduler, directory, outbox) = (scheduler.clone(), directory.clone(), outbox.clone());
            context.run(SessionSlot::new(
                Arc::clone(ground),
                index,
                scheduler,
                directory,
                outbox,
                guard("slot"),
            ));
        }
        scheduler_context.run(scheduler_actor);
        let limacharlie = role_actor.start();
        Ok(Self {
            ingest,
            router,
            fanouts,
            scheduler,
            directory,
            outbox,
            services,
            limacharlie,
            audit,
            timekeeper,
            slots,
        })
    }

    /// These rules are in force from now on.
    fn set_rules(&self, rules: Rules) {
        let ticks = PipelineTicks::of(&rules.set);
        self.timekeeper.do_send(PipelinesListen(ticks));
        self.router.do_send(SetRules(rules));
    }

    /// Waits until every slot has handled what the scheduler gave it when it started: the question goes the
    /// same way, and along all slots.
    async fn resumed(&self) {
        if let Ok((reply, answer)) = Door::new("start", 1).enter() {
            self.scheduler.do_send(GetSlots { reply });
            if let Err(refusal) = answer.wait().await {
                // An actor died already; the alarm about it is on its way.
                tracing::debug!(%refusal, "a generation did not start whole");
            }
        }
    }

    /// Tells all of them to stop and waits until they have.
    async fn retire(&self, reason: &'static str) {
        self.directory.do_send(CloseAll(reason));
        self.ingest.do_send(Retire);
        self.limacharlie.do_send(Retire);
        self.router.do_send(Retire);
        self.fanouts.do_send(Retire);
        self.scheduler.do_send(Retire);
        self.slots.iter().for_each(|slot| slot.do_send(Retire));
        self.directory.do_send(Retire);
        self.services.do_send(Retire);
        self.outbox.do_send(Retire);
        self.audit.do_send(Retire);
        self.timekeeper.do_send(Retire);
        while self.is_any_connected() {
            tokio::task::yield_now().await;
        }
    }

    fn is_any_connected(&self) -> bool {
        self.ingest.connected()
            || self.router.connected()
            || self.fanouts.connected()
            || self.scheduler.connected()
            || self.directory.connected()
            || self.outbox.connected()
            || self.services.connected()
            || self.limacharlie.connected()
            || self.audit.connected()
            || self.timekeeper.connected()
            || self.slots.iter().any(Addr::connected)
    }
}

/// The present generation and how to make the next.
pub(super) struct Generations {
    ground: Arc<Ground>,
    rules: RwLock<Rules>,
    present: ArcSwapOption<Peers>,
    arbiter: Arbiter,
    restarts: AtomicU64,
    stopping: AtomicBool,
}

impl Generations {
    /// Makes the first generation on a thread of its own and waits until it runs.
    pub(super) fn start(ground: Arc<Ground>, rules: Rules) -> Result<Arc<Self>, Refusal> {
        let generations = Arc::new(Self {
            ground,
            rules: RwLock::new(rules),
            present: ArcSwapOption::empty(),
            arbiter: Arbiter::new(),
            restarts: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let (alarm, alarms) = unbounded_channel();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let keeper = Arc::clone(&generations);
        generations.arbiter.spawn(async move {
            let first = keeper.make(&alarm).await;
            let made = first.is_ok();
            // The starter waits for exactly this message.
            drop(sender.send(first));
            if made {
                keeper.keep(alarm, alarms).await;
            }
        });
        receiver.recv().unwrap_or(Err(Refusal::Unavailable {
            detail: "its actors did not start",
        }))?;
        Ok(generations)
    }

    /// Makes a generation. It is open to edges only when its hosts know which commands may be under way: an
    /// agent that says hello before would be told to end them.
    async fn make(&self, alarm: &UnboundedSender<&'static str>) -> Result<(), Refusal> {
        let rules = self.rules();
        let peers = Peers::make(&self.ground, rules.clone(), alarm)?;
        peers.resumed().await;
        let peers = Arc::new(peers);
        self.present.store(Some(Arc::clone(&peers)));
        // Who changed the rules meanwhile had nobody to tell; who does from now on has.
        let present = self.rules();
        if present != rules {
            peers.set_rules(present);
        }
        Ok(())
    }

    /// Replaces the generation whenever one of its actors panicked.
    async fn keep(&self, alarm: UnboundedSender<&'static str>, mut alarms: UnboundedReceiver<&'static str>) {
        let mut pause = RESTART_PAUSE;
        let mut healthy_since = tokio::time::Instant::now();
        while let Some(actor) = alarms.recv().await {
            let Some(old) = self.present.swap(None) else {
                continue;
            };
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            tracing::error!(
                actor,
                "an actor panicked; all actors are made anew from the store"
            );
            metrics::counter!("tripline_actor_panics_total", "actor" => actor).increment(1);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            old.retire("restart").await;
            pause = if healthy_since.elapsed() > RESTART_PAUSE_MAX {
                RESTART_PAUSE
            } else {
                pause * 2
            };
            // Back-off: actors that panic at once must not take the processor.
            tokio::time::sleep(pause.min(RESTART_PAUSE_MAX)).await;
            while alarms.try_recv().is_ok() {}
            self.ground.attachments.clear();
            self.ground.clients.clear();
            while let Err(error) = self.make(&alarm).await {
                tracing::error!(%error, "the actors cannot be made anew");
                // Back-off: what the store refuses now it may give later.
                tokio::time::sleep(RESTART_PAUSE_MAX).await;
            }
            // No host said that it was detached.
            self.ground.streams.hosts().lose();
            healthy_since = tokio::time::Instant::now();
        }
    }

    pub(super) fn peers(&self) -> Option<Arc<Peers>> {
        self.present.load_full()
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules.read().clone()
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn set_rules(&self, rules: Result<Arc<RuleSet>, String>) {
        let mut present = self.rules.write();
        match rules {
            Ok(set) => {
                *present = Rules {
                    set,
                    loaded_at: self.ground.now(),
                    refused: None,
                }
            }
            Err(why) => present.refused = Some(why),
        }
        if let Some(peers) = self.peers() {
            peers.set_rules(present.clone());
        }
    }

    /// Stops the actors for good and waits until they have.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(peers) = self.present.swap(None) {
            peers.retire("shutdown").await;
        }
        self.arbiter.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactStore;
    use crate::clock::SystemClock;
    use crate::core::CoreConfig;
    use crate::fixture::RecordingPublisher;
    use crate::pipeline::SourceFile;
    use crate::router::GetRules;
    use crate::store::{Options, Store};

    #[actix::test]
    async fn rules_that_change_while_a_generation_is_made_are_in_force_then() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let artifacts = Arc::new(ArtifactStore::open(dir.path(), 0).unwrap());
        let (publisher, clock) = (
            Arc::new(RecordingPublisher::default()),
            Arc::new(SystemClock::default()),
        );
        let ground = Ground::load(CoreConfig::default(), store, artifacts, publisher, clock).unwrap();
        let rules = Rules {
            set: Arc::new(RuleSet::parse(&[], &[]).unwrap()),
            loaded_at: ground.now(),
            refused: None,
        };
        let generations = Generations {
            ground: Arc::new(ground),
            rules: RwLock::new(rules),
            present: ArcSwapOption::empty(),
            arbiter: Arbiter::new(),
            restarts: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        };
        let file = SourceFile {
            path: "p.yaml".into(),
            text: "name: p\non: [a]\njob: { steps: [ list_processes: {} ] }\n".into(),
        };
        let changed = Arc::new(RuleSet::parse(&[file], &[]).unwrap());
        let (alarm, _alarms) = unbounded_channel();
        let (made, ()) = tokio::join!(generations.make(&alarm), async {
            assert!(generations.peers().is_none(), "it is being made");
            generations.set_rules(Ok(changed));
        });
        made.unwrap();
        let (reply, answer) = Door::new("rules", 1).enter().unwrap();
        generations.peers().unwrap().router.do_send(GetRules { reply });
        let names = answer.wait().await.unwrap().pipelines.into_iter();
        assert_eq!(names.map(|one| one.name.to_string()).collect::<Vec<_>>(), ["p"]);
        generations.stop().await;
    }
}
