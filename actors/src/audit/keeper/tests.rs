//! How much of the chains is with the broker at once, and what goes out again after a start.

use super::*;
use crate::artifact::ArtifactStore;
use crate::audit::fixture::{Chains, NOW};
use crate::clock::ManualClock;
use crate::core::CoreConfig;
use crate::ports::{BoxFuture, Publisher};
use crate::recorder;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::thread;
use tripline_protocol::audit::Action;

/// Takes everything and never answers.
#[derive(Default)]
struct SilentBroker(Mutex<Vec<AuditRecord>>);

impl Publisher for SilentBroker {
    fn publish_run(&self, run: Vec<OutMessage>) -> BoxFuture<Vec<Result<u64, PublishError>>> {
        let records = run
            .iter()
            .map(|message| serde_json::from_slice(&message.payload).unwrap());
        self.0.lock().extend(records);
        Box::pin(std::future::pending())
    }

    fn notify(&self, _: String, _: Vec<u8>) {}

    fn purge(&self, _: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        Box::pin(std::future::pending())
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

impl SilentBroker {
    /// Chains and numbers of what it was given since it was asked last.
    fn given(&self) -> Vec<(String, u64)> {
        let given = std::mem::take(&mut *self.0.lock());
        given.into_iter().map(|record| (record.org, record.n)).collect()
    }
}

/// What `act` does with a keeper of these chains that no tick disturbs.
fn with_keeper(
    chains: &Chains,
    act: impl FnOnce(&mut AuditKeeper, &SilentBroker, &mut Context<AuditKeeper>),
) {
    let broker = Arc::new(SilentBroker::default());
    let artifacts = Arc::new(ArtifactStore::open(chains.dir.path(), 0).unwrap());
    let clock = Arc::new(ManualClock::new(NOW));
    let store = chains.store.clone();
    let ground = Ground::load(
        CoreConfig::default(),
        store,
        artifacts,
        Arc::clone(&broker) as _,
        clock,
    );
    AuditKeeper::create(|ctx| {
        let mut keeper = AuditKeeper::new(Arc::new(ground.unwrap()), Sentinel::new(|| {}));
        act(&mut keeper, &broker, ctx);
        keeper
    });
}

/// The broker has taken these.
fn taken(chain: &str, numbers: impl IntoIterator<Item = u64>) -> WindowDone {
    WindowDone {
        chain: chain.to_owned(),
        answers: numbers.into_iter().map(|number| (number, Ok(()))).collect(),
    }
}

#[actix::test]
async fn so_many_records_of_a_chain_are_with_the_broker_and_the_others_wait() {
    recorder::install();
    let waiting = || recorder::gauge(thread::current().id(), "tripline_audit_waiting").unwrap();
    let chains = Chains::new();
    chains.add("default", Action::HostLabel, WINDOW + 1);
    with_keeper(&chains, |keeper, broker, ctx| {
        keeper.publish(ctx);
        keeper.publish(ctx);
        keeper.measure();
        assert_eq!(broker.given().len(), WINDOW);
        assert_eq!(waiting(), (WINDOW + 1) as f64);
        keeper.window_done(taken("default", 1..=WINDOW as u64));
        keeper.publish(ctx);
        keeper.measure();
        assert_eq!(broker.given(), [("default".to_owned(), WINDOW as u64 + 1)]);
        assert_eq!(waiting(), 1.0);
    });
}

#[actix::test]
async fn so_many_chains_have_records_with_the_broker_and_the_others_wait() {
    let chains = Chains::new();
    chains.add_chains(0..CHAINS_IN_FLIGHT_MAX + 1);
    with_keeper(&chains, |keeper, broker, ctx| {
        keeper.publish(ctx);
        keeper.publish(ctx);
        let mut given: BTreeSet<_> = broker.given().into_iter().collect();
        assert_eq!(given.len(), CHAINS_IN_FLIGHT_MAX);
        let (first, number) = given.first().unwrap().clone();
        keeper.window_done(taken(&first, [number]));
        keeper.publish(ctx);
        given.extend(broker.given());
        assert_eq!(given.len(), CHAINS_IN_FLIGHT_MAX + 1, "the one that waited");
    });
}

#[actix::test]
async fn so_many_published_records_go_out_again_after_a_start_and_older_ones_do_not() {
    let chains = Chains::new();
    for (more, first) in [(RESENT_MAX, 1), (2, 3)] {
        chains.add("default", Action::HostLabel, more);
        let mut published = key::u64(chains.store.head("default").number).to_vec();
        published.extend_from_slice(&key::time(NOW));
        let mut batch = Batch::new();
        batch.put(Table::AuditPublished, b"default".to_vec(), published);
        chains.commit(batch);
        with_keeper(&chains, |keeper, broker, ctx| {
            keeper.publish(ctx);
            assert_eq!(broker.given().first(), Some(&("default".to_owned(), first)));
        });
    }
}
