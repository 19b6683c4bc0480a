//! Finding the host that an event or a person means, and remembering which events were handled.

use super::lookup::{HostBook, Hosts as _, NAMESAKES_MAX, Resolution};
use super::remember::{Kept, mark_handled, prune};
use super::{HANDLED_RETAIN, Mark, PRUNE_MAX};
use crate::directory::tests::put_host;
use crate::ground::Attachments;
use crate::refusal::Refusal;
use crate::store::{Batch, Options, Store, Table};
use tripline_protocol::event::HostHint;
use tripline_protocol::{EventKey, HostId, Org, Span, Timestamp};
use uuid::Uuid;

struct Hosts {
    _dir: tempfile::TempDir,
    store: Store,
    attachments: Attachments,
}

fn id(n: u32) -> HostId {
    HostId(Uuid::from_u128(u128::from(n)))
}

fn org(name: &str) -> Org {
    name.parse().unwrap()
}

/// Two hosts with one name and one called like a number in `default`, and one in `acme`.
fn hosts() -> Hosts {
    hosts_of([
        (1, "default", "twin"),
        (2, "default", "TWIN"),
        (3, "default", "7"),
        (4, "acme", "web"),
    ])
}

/// Hosts by number, org and name.
fn hosts_of(known: impl IntoIterator<Item = (u32, &'static str, &'static str)>) -> Hosts {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let mut batch = Batch::new();
    for (n, org_name, hostname) in known {
        put_host(&mut batch, n, org(org_name), hostname);
    }
    store.commit(batch, || {});
    Hosts {
        _dir: dir,
        store,
        attachments: Attachments::default(),
    }
}

fn found(resolution: Resolution) -> Result<HostId, usize> {
    match resolution {
        Resolution::Found(record) => Ok(record.host_id),
        Resolution::Unknown => Err(0),
        Resolution::Ambiguous(count) => Err(count),
    }
}

#[test]
fn an_event_finds_its_host_within_its_org_only() {
    let hosts = hosts();
    let book = HostBook::new(&hosts.store, &hosts.attachments);
    let text = |n: u32| id(n).to_string();
    let table = [
        ("acme", HostHint::HostId(id(4)), Ok(id(4))),
        ("default", HostHint::HostId(id(4)), Err(0)),
        ("acme", HostHint::SensorId(4), Ok(id(4))),
        ("default", HostHint::SensorId(4), Err(0)),
        ("default", HostHint::SensorId(99), Err(0)),
        ("acme", HostHint::Hostname("WEB".into()), Ok(id(4))),
        ("default", HostHint::Hostname("web".into()), Err(0)),
        ("default", HostHint::Hostname("we".into()), Err(0)),
        ("default", HostHint::Hostname("twin".into()), Err(2)),
        ("default", HostHint::Sid(text(1)), Ok(id(1))),
        ("acme", HostHint::Sid(text(1)), Err(0)),
        ("default", HostHint::Sid("twin".into()), Err(0)),
        ("acme", HostHint::Subject("web".into()), Ok(id(4))),
        ("default", HostHint::Subject(text(2)), Ok(id(2))),
        ("default", HostHint::Subject("orders/7".into()), Err(0)),
    ];
    for (org_name, hint, expected) in table {
        let resolution = book.resolve(&org(org_name), &hint).unwrap();
        assert_eq!(found(resolution), expected, "{org_name} {hint:?}");
    }
}

#[test]
fn a_person_finds_a_host_by_id_number_or_name() {
    let hosts = hosts();
    let book = HostBook::new(&hosts.store, &hosts.attachments);
    let named = |org_name: Option<&str>, name: &str| {
        let org = org_name.map(org);
        book.named(org.as_ref(), name).map(|record| record.host_id)
    };
    assert_eq!(named(None, &id(4).to_string()), Ok(id(4)));
    assert_eq!(named(None, "4"), Ok(id(4)));
    assert_eq!(
        named(None, "7"),
        Ok(id(3)),
        "no host has that number, one has that name"
    );
    assert_eq!(named(Some("acme"), "web"), Ok(id(4)));
    assert!(
        matches!(named(None, "web"), Err(Refusal::NotFound { .. })),
        "names are looked for in default"
    );
    assert!(
        matches!(named(Some("default"), "4"), Err(Refusal::NotFound { .. })),
        "another org's"
    );
    assert!(matches!(
        named(None, "twin"),
        Err(Refusal::AmbiguousHost { count: 2, .. })
    ));
}

#[test]
fn hosts_of_one_name_are_counted_up_to_a_bound() {
    let most = u32::try_from(NAMESAKES_MAX).unwrap();
    for (hosts, counted) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
        let hosts = hosts_of((1..=hosts).map(|n| (n, "default", "twin")));
        let book = HostBook::new(&hosts.store, &hosts.attachments);
        let hint = HostHint::Hostname("twin".into());
        let resolution = book.resolve(&org("default"), &hint).unwrap();
        assert_eq!(found(resolution), Err(counted as usize));
    }
}

#[test]
fn no_pipeline_takes_an_event_that_is_older_than_the_marks_of_handled_ones() {
    assert_eq!(crate::pipeline::AGE_MAX, HANDLED_RETAIN);
}

/// How many marks there are: events, and rows by time.
fn marks(store: &Store) -> [usize; 2] {
    let tables = [Table::HandledEvent, Table::HandledByTime];
    tables.map(|table| store.scan(table, &[], None, usize::MAX).unwrap().len())
}

#[test]
fn a_handled_event_is_remembered_for_so_long_and_no_longer() {
    let Hosts { _dir, store, .. } = hosts_of([]);
    let at = Timestamp::from_micros(1_800_000_000_000_000);
    for (n, retain) in [(1, HANDLED_RETAIN), (2, Span::from_secs(3600))] {
        let key = EventKey(Uuid::from_u128(n));
        let mut batch = Batch::new();
        mark_handled(&mut batch, key, (Kept::Acted, at, retain), &Mark::default());
        store.commit(batch, || {});
        let last = at.after(retain);
        assert!(!prune(&store, last, || {}).unwrap().more);
        assert_eq!(marks(&store), [1, 1]);
        assert!(
            !prune(&store, last.after(Span::from_millis(1)), || {})
                .unwrap()
                .more
        );
        assert_eq!(marks(&store), [0, 0]);
    }
}

#[test]
fn old_marks_are_removed_until_none_is_left() {
    let Hosts { _dir, store, .. } = hosts_of([]);
    let at = Timestamp::from_micros(1_800_000_000_000_000);
    let mut batch = Batch::new();
    for n in 0..PRUNE_MAX as u128 + 1 {
        mark_handled(
            &mut batch,
            EventKey(Uuid::from_u128(n)),
            (Kept::Acted, at, HANDLED_RETAIN),
            &Mark::default(),
        );
    }
    store.commit(batch, || {});
    let now = at.after(HANDLED_RETAIN).after(Span::from_millis(1));
    let (told, wait) = std::sync::mpsc::channel();
    assert!(prune(&store, now, move || told.send(()).unwrap()).unwrap().more);
    wait.recv().expect("there may be more");
    assert_eq!(marks(&store), [1, 1]);
    assert!(!prune(&store, now, || panic!("there is no more")).unwrap().more);
    assert_eq!(marks(&store), [0, 0]);
}
