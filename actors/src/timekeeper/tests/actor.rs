//! The actor over a store, with paused timers: a day is over in a moment.

use super::super::state::Book;
use super::super::*;
use crate::artifact::ArtifactStore;
use crate::clock::ManualClock;
use crate::core::CoreConfig;
use crate::directory::tests::put_host;
use crate::fixture::RecordingPublisher;
use crate::ground::Attachment;
use crate::pipeline::{RuleSet, SourceFile};
use crate::ports::OutMessage;
use crate::record::HostRecord;
use crate::store::{Options, Store};
use std::time::Instant;
use tripline_protocol::{HostId, Org, Span};
use uuid::Uuid;

const HOSTS: u32 = 30;

struct Running {
    ground: Arc<Ground>,
    outbox: Addr<Outbox>,
    publisher: Arc<RecordingPublisher>,
    clock: ManualClock,
}

fn start(store: &Store, dir: &std::path::Path) -> Running {
    let publisher = Arc::new(RecordingPublisher::default());
    let clock = ManualClock::new(Timestamp::from_micros(86_400_000_000));
    let artifacts = Arc::new(ArtifactStore::open(dir, 0).unwrap());
    let ground = Ground::load(
        CoreConfig::default(),
        store.clone(),
        artifacts,
        Arc::clone(&publisher) as _,
        Arc::new(clock.clone()),
    );
    let ground = Arc::new(ground.unwrap());
    let outbox = Outbox::load(Arc::clone(&ground), Sentinel::new(|| {}))
        .unwrap()
        .start();
    let text = "name: p\non: [sensor_per_1h, org_per_12h]\njob: { steps: [ list_processes: {} ] }\n";
    let path = "p.yaml".into();
    let rules = RuleSet::parse(
        &[SourceFile {
            path,
            text: text.into(),
        }],
        &[],
    )
    .unwrap();
    let ticks = PipelineTicks::of(&rules);
    let sentinel = Sentinel::new(|| {});
    Timekeeper::load(Arc::clone(&ground), outbox.clone(), ticks, sentinel)
        .unwrap()
        .start();
    Running {
        ground,
        outbox,
        publisher,
        clock,
    }
}

impl Running {
    /// Turns the clock on and lets the actors look, until so many ticks are published.
    async fn hour(&self, ticks: usize) {
        self.clock.advance(Span::from_secs(3600));
        let began = Instant::now();
        while self.publisher.with(".events.").len() < ticks {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "waited in vain for tick {ticks}"
            );
            tokio::time::advance(TICK).await;
        }
    }
}

/// Knows so many hosts, seen at the beginning of 1970.
fn knowing(store: &Store) {
    let mut batch = Batch::new();
    for n in 1..=HOSTS {
        put_host(&mut batch, n, Org::default_org(), &format!("host-{n}"));
    }
    store.commit(batch, || {});
}

#[actix::test]
async fn a_day_has_every_tick_once() {
    tokio::time::pause();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    knowing(&store);
    let running = start(&store, dir.path());
    let hosts = usize::try_from(HOSTS).unwrap();
    for hour in 1..=24 {
        running.hour(hour * hosts).await;
    }
    running.hour(25 * hosts + 2).await;
    let published = running.publisher.with(".sensor_per_1h");
    let mut ids: Vec<_> = published.iter().map(|message| &message.message_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), published.len()), (25 * hosts, 25 * hosts));
    assert_eq!(running.publisher.with(".org_per_12h").len(), 2);
}

#[actix::test]
async fn ticks_wait_while_so_many_messages_wait_for_the_broker() {
    tokio::time::pause();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    knowing(&store);
    let running = start(&store, dir.path());
    running.publisher.set_away(true);
    let mut batch = Batch::new();
    let load = &running.ground.load;
    let outgoing: Vec<_> = (0..OUTBOX_WAITING_MAX)
        .map(|number| {
            let message = OutMessage {
                subject: format!("tripline.events.default.other.{}", number % 100),
                message_id: number.to_string(),
                headers: Vec::new(),
                payload: Vec::new(),
            };
            stage(load, &mut batch, message)
        })
        .collect();
    store.commit(batch, || {});
    running.outbox.do_send(Enqueue(outgoing));
    let rows = || store.count(Table::Outbox).unwrap();
    let before = rows();
    running.clock.advance(Span::from_secs(3600));
    for _ in 0..10 {
        tokio::time::advance(TICK).await;
    }
    assert_eq!(rows(), before);
    running.publisher.set_away(false);
    let ticks = || running.publisher.with(".sensor_per_1h").len();
    let began = Instant::now();
    while ticks() < usize::try_from(HOSTS).unwrap() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain");
        running.clock.advance(Span::from_secs(1));
        tokio::time::advance(TICK).await;
    }
}

#[actix::test]
async fn a_host_that_was_not_seen_for_so_long_has_no_ticks_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    knowing(&store);
    let ground = start(&store, dir.path()).ground;
    let (host_id, seen) = (HostId(Uuid::from_u128(1)), Timestamp::default());
    let org_at = |now| Known { ground: &ground, now }.org_of(host_id);
    let last = seen.after(Span::from_secs(30 * 24 * 3600));
    let later = last.after(Span::from_millis(1));
    assert_eq!((org_at(last), org_at(later)), (Some(Org::default_org()), None));
    let attachment = Attachment {
        epoch: 1,
        since: later,
        verbs: [].into(),
        journal_id: Uuid::nil(),
    };
    ground.attachments.set_agent(host_id, attachment);
    assert_eq!(org_at(later), Some(Org::default_org()));
}

#[actix::test]
async fn of_a_linked_host_and_its_client_the_host_has_ticks_and_an_org_of_limacharlie_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    knowing(&store);
    let ground = start(&store, dir.path()).ground;
    let (host, client) = (HostId(Uuid::from_u128(1)), HostId(Uuid::from_u128(2)));
    let known = Known {
        ground: &ground,
        now: Timestamp::default(),
    };
    let read = crate::ground::read(&store, Table::Host, client.as_bytes(), "host");
    let record: HostRecord = read.unwrap().unwrap();
    let record = HostRecord {
        key_sha256: None,
        ..record
    };
    let mut batch = Batch::new();
    record.put(&mut batch);
    crate::link::put(&mut batch, host, client);
    store.commit(batch, || {});
    assert_eq!(
        (known.org_of(host), known.org_of(client)),
        (Some(Org::default_org()), None)
    );
    let (default, other): (_, Org) = (Org::default_org(), "other".parse().unwrap());
    assert!(known.serves(&default, false) && !known.serves(&other, false) && known.serves(&other, true));
    let mut batch = Batch::new();
    batch.put(Table::LcOrg, b"odefault".to_vec(), b"{}".to_vec());
    store.commit(batch, || {});
    assert!(!known.serves(&default, true));
}
