//! What an agent may say of its host, and how many hosts and keys are looked at for a page.

use super::enrol::{check_hello, put_name};
use super::{keys, list};
use crate::access::{AgentKeyRecord, put_key};
use crate::core::{HostFilter, KeyFilter};
use crate::fixture::Fixture;
use crate::record::HostRecord;
use crate::store::{Batch, Options, Store, Table};
use tripline_protocol::frame::Hello;
use tripline_protocol::{HostId, Org, Sha256, Timestamp};
use uuid::Uuid;

fn hello() -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: "amelie".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "Debian GNU/Linux 13".into(),
        addresses: vec!["10.0.0.1".into()],
        labels: vec!["dmz".into()],
        verbs: vec![],
        resumes: false,
        journal_id: Uuid::nil(),
        run_id: None,
        running: vec![],
        finished: vec![],
        isolation: None,
    }
}

#[test]
fn a_host_is_described_within_bounds() {
    assert_eq!(check_hello(&hello()), Ok(()));
    let long = |n: usize| "x".repeat(n);
    let wrong = [
        Hello {
            hostname: String::new(),
            ..hello()
        },
        Hello {
            hostname: long(256),
            ..hello()
        },
        Hello {
            hostname: "a\0b".into(),
            ..hello()
        },
        Hello {
            platform: "lin\u{1b}[2J".into(),
            ..hello()
        },
        Hello {
            os_version: "Debian\n2026-11-21 forged".into(),
            ..hello()
        },
        Hello {
            addresses: vec!["10.0.0.1\r".into()],
            ..hello()
        },
        Hello {
            platform: long(33),
            ..hello()
        },
        Hello {
            arch: long(33),
            ..hello()
        },
        Hello {
            os_version: long(257),
            ..hello()
        },
        Hello {
            agent_version: long(257),
            ..hello()
        },
        Hello {
            addresses: vec![long(65)],
            ..hello()
        },
        Hello {
            addresses: vec![String::new(); 65],
            ..hello()
        },
        Hello {
            labels: vec![long(65)],
            ..hello()
        },
        Hello {
            labels: vec!["a b".into()],
            ..hello()
        },
        Hello {
            labels: vec!["a".into(); 65],
            ..hello()
        },
    ];
    for hello in wrong {
        assert_eq!(check_hello(&hello).unwrap_err().code(), "bad_hello", "{hello:?}");
    }
}

/// Host `n` with its rows; its id and its key are in the order of the numbers.
pub(crate) fn put_host(batch: &mut Batch, n: u32, org: Org, hostname: &str) {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    let key = Sha256::from_digest(&digest);
    let record = HostRecord {
        host_id: HostId(Uuid::from_u128(n.into())),
        sensor_id: n,
        org,
        hostname: hostname.into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: String::new(),
        addresses: vec![],
        agent_version: String::new(),
        labels: vec![],
        install_id: None,
        key_sha256: Some(key.clone()),
        next_key_sha256: None,
        rotation_asked_at: None,
        cloned: None,
        epoch: 0,
        isolation: None,
        limacharlie: None,
        created_at: Timestamp::default(),
        last_seen_at: Timestamp::default(),
    };
    let id = record.host_id;
    record.put(batch);
    put_name(batch, &record, None);
    batch.put(Table::HostBySensor, n.to_be_bytes(), id.as_bytes().to_vec());
    put_key(batch, &key, &AgentKeyRecord::new(id, Timestamp::default())).unwrap();
}

/// Knows so many hosts, of which the last is the only one of its org.
fn knowing(hosts: usize) -> (Fixture, Org) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let last: Org = "last".parse().unwrap();
    let mut batch = Batch::new();
    let count = u32::try_from(hosts).unwrap();
    for n in 1..=count {
        let org = if n < count {
            Org::default_org()
        } else {
            last.clone()
        };
        put_host(&mut batch, n, org, &format!("host-{n}"));
    }
    store.commit(batch, || {});
    drop(store);
    (Fixture::resume(dir), last)
}

#[actix::test]
async fn so_many_hosts_are_looked_at_for_one_page_and_the_next_page_goes_on() {
    for (hosts, pages) in [(list::SCANNED_MAX, 1), (list::SCANNED_MAX + 1, 2)] {
        let (fixture, org) = knowing(hosts);
        let mut filter = HostFilter {
            org: Some(org),
            limit: 10,
            ..HostFilter::default()
        };
        for page in 1..=pages {
            let given = fixture.core.list_hosts(filter.clone()).await.unwrap();
            assert_eq!(
                given.items.len(),
                usize::from(page == pages),
                "page {page} of {pages}"
            );
            filter.after = given.next;
        }
    }
}

#[actix::test]
async fn so_many_keys_are_looked_at_for_one_page_and_the_next_page_goes_on() {
    for (hosts, pages) in [(keys::SCANNED_MAX, 1), (keys::SCANNED_MAX + 1, 2)] {
        let (fixture, org) = knowing(hosts);
        let mut filter = KeyFilter {
            org: Some(org),
            limit: 10,
            ..KeyFilter::default()
        };
        for page in 1..=pages {
            let given = fixture.core.list_agent_keys(filter.clone()).await.unwrap();
            assert_eq!(
                given.items.len(),
                usize::from(page == pages),
                "page {page} of {pages}"
            );
            filter.after = given.next;
        }
    }
}
