//! Linked rows: numbered in the order of commits, seen when they are durable, never written over.

use super::*;
use crate::store::chain::{Head, Link, chain_key, row_key};

#[derive(Debug)]
struct Plain(&'static str, String);

impl Link for Plain {
    fn chain(&self) -> &str {
        self.0
    }

    fn size(&self) -> usize {
        self.1.len()
    }

    fn seal(&self, number: u64, previous: &[u8; 32]) -> Vec<u8> {
        format!("{number} {} {}", previous[0], self.1).into_bytes()
    }
}

fn linked(chain: &'static str, texts: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for text in texts {
        batch.link(Box::new(Plain(chain, (*text).to_owned())));
    }
    batch
}

/// The rows of a chain, each checked against the hash of the one before it.
fn rows(store: &Store, chain: &str) -> Vec<String> {
    let found = store.scan(Table::Audit, &chain_key(chain), None, 1000).unwrap();
    let mut head = Head::default();
    let mut texts = Vec::new();
    for (number, (key, row)) in (1..).zip(found) {
        assert_eq!(key, row_key(chain, number));
        let text = String::from_utf8(row.clone()).unwrap();
        assert!(
            text.starts_with(&format!("{number} {} ", head.sha256[0])),
            "{text}"
        );
        head = Head::of(number, &row);
        texts.push(text.rsplit(' ').next().unwrap().to_owned());
    }
    assert_eq!(store.head(chain), head);
    texts
}

#[test]
fn rows_are_numbered_in_the_order_of_commits_within_their_chain() {
    let (_dir, store) = fresh();
    assert!(commit(&store, linked("a", &["one", "two"])));
    let mut both = linked("a", &["three"]);
    both.append(linked("b", &["first"]));
    both.put(Table::Host, b"k", b"v");
    assert!(commit(&store, both));
    assert!(commit(&store, linked("a", &["four"])));
    assert_eq!(rows(&store, "a"), ["one", "two", "three", "four"]);
    assert_eq!(rows(&store, "b"), ["first"]);
    let heads: Vec<(String, u64)> = store
        .heads()
        .into_iter()
        .map(|(chain, head)| (chain, head.number))
        .collect();
    assert_eq!(heads, [("a".to_owned(), 4), ("b".to_owned(), 1)]);
}

#[test]
fn chains_go_on_when_the_store_is_opened_again() {
    let (dir, store) = fresh();
    assert!(commit(&store, linked("a", &["one", "two"])));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.head("a").number, 2);
    let long = "x".repeat(20_000);
    assert!(commit(&store, linked("a", &["three", &long])));
    assert_eq!(rows(&store, "a"), ["one", "two", "three", &long]);
}

#[test]
fn a_chain_whose_head_was_taken_away_is_not_written_over() {
    let (dir, store) = fresh();
    assert!(commit(&store, linked("a", &["one", "two"])));
    let mut batch = Batch::new();
    batch.delete(Table::AuditHead, b"a".to_vec());
    assert!(commit(&store, batch));
    drop(store);
    let store = open(dir.path());
    assert!(commit(&store, linked("a", &["three"])));
    assert_eq!(rows(&store, "a"), ["one", "two", "three"]);
}

#[test]
fn a_row_counts_only_when_it_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    keeper.set(|gate| gate.holds_sync = true);
    keeper.open();
    let waiting = submit(&store, linked("a", &["one"]));
    keeper.wait_until_applied(1);
    assert_eq!(store.head("a").number, 0);
    keeper.set(|gate| gate.holds_sync = false);
    assert!(acknowledged(&waiting));
    assert_eq!(store.head("a").number, 1);
}

#[test]
fn after_a_failed_sync_no_row_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (store, keeper) = gated(dir.path());
    keeper.set(|gate| gate.fail_sync = true);
    keeper.open();
    assert!(!commit(&store, linked("a", &["one"])));
    assert_eq!(store.head("a").number, 0);
}
