//! Suppression: a pipeline acts so often and no more, over restarts, and an event counts once.

use crate::events::{delivery, jobs, listening};
use crate::fixture::{Fixture, rules};
use crate::recorder::{self, counter};
use serde_json::{Value, json};
use tripline_actors::store::{Batch, Table};
use tripline_protocol::{EventKey, HostId, Org, Span};

/// Once in a minute for each key.
const ONCE: &str = "name: once\non: [acme.>]\nsuppress: { key: \"{{ event.data.k }}\", per: 1m }\n\
                    job: { steps: [ list_processes: {} ] }\n";
/// From the third in a minute on, on each host.
const THIRD: &str = "name: third\non: [acme.>]\nsuppress: { min: 3, max: 9, per: 1m, scope: host }\n\
                     job: { steps: [ list_processes: {} ] }\n";

/// Offers an event with this id about the host, and gives how many jobs there are then.
async fn offer(fixture: &Fixture, sequence: u64, id: &str, data: Value) -> usize {
    let event = delivery(fixture, sequence, id, data);
    fixture.core.ingest(vec![event]).await.unwrap();
    jobs(fixture).await.len()
}

fn keyed(host_id: HostId, key: &str) -> Value {
    json!({ "host_id": host_id, "k": key })
}

#[actix::test]
async fn a_pipeline_acts_so_often_per_key_and_again_when_the_window_is_over() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    assert_eq!(offer(&fixture, 1, "e1", keyed(host_id, "a")).await, 1);
    fixture.advance(59);
    assert_eq!(offer(&fixture, 2, "e2", keyed(host_id, "a")).await, 1);
    assert_eq!(
        offer(&fixture, 3, "e3", keyed(host_id, "b")).await,
        2,
        "another key"
    );
    fixture.advance(1);
    assert_eq!(offer(&fixture, 4, "e4", keyed(host_id, "a")).await, 3);
}

#[actix::test]
async fn what_is_suppressed_is_counted_by_its_reason_and_leaves_no_mark() {
    recorder::install();
    let (fixture, host_id) = listening(vec![ONCE]).await;
    offer(&fixture, 1, "e1", keyed(host_id, "a")).await;
    let (windows, handled) = (fixture.rows(Table::Window), fixture.rows(Table::HandledEvent));
    for n in 2..50 {
        offer(&fixture, n, &format!("e{n}"), keyed(host_id, "a")).await;
    }
    assert_eq!(fixture.rows(Table::Window), windows);
    assert_eq!(fixture.rows(Table::HandledEvent), handled);
    let event = delivery(&fixture, 50, "e50", json!({}));
    fixture.core.ingest(vec![event]).await.unwrap();
    let thread = fixture.thread().await;
    assert_eq!(counter(thread, "tripline_router_withheld_total suppressed"), 48);
}

#[actix::test]
async fn a_restart_forgets_nothing_of_what_was_counted() {
    let (fixture, host_id) = listening(vec![ONCE, THIRD]).await;
    assert_eq!(offer(&fixture, 1, "e1", keyed(host_id, "a")).await, 1);
    assert_eq!(offer(&fixture, 2, "e2", keyed(host_id, "a")).await, 1);
    let fixture = fixture.restart().await;
    assert_eq!(
        offer(&fixture, 3, "e3", keyed(host_id, "a")).await,
        2,
        "the third"
    );
    fixture.advance(60);
    let fixture = fixture.restart().await;
    assert_eq!(
        offer(&fixture, 4, "e4", keyed(host_id, "a")).await,
        3,
        "the first again"
    );
}

#[actix::test]
async fn an_event_that_comes_twice_counts_once() {
    let (fixture, host_id) = listening(vec![THIRD]).await;
    for (sequence, id) in [(1, "e1"), (2, "e1"), (3, "e2")] {
        assert_eq!(
            offer(&fixture, sequence, id, keyed(host_id, "a")).await,
            0,
            "{sequence}"
        );
    }
    let fixture = fixture.restart().await;
    let twice = ["e1", "e2", "e2"].map(|id| delivery(&fixture, 4, id, keyed(host_id, "a")));
    fixture.core.ingest(twice.into()).await.unwrap();
    assert!(jobs(&fixture).await.is_empty());
    assert_eq!(offer(&fixture, 5, "e3", keyed(host_id, "a")).await, 1);
}

#[actix::test]
async fn an_event_of_the_future_is_remembered_until_it_is_too_old() {
    let (fixture, host_id) = listening(vec![THIRD]).await;
    const AHEAD: u64 = 1_800;
    let mut event = delivery(&fixture, 1, "e1", keyed(host_id, "a"));
    let time = fixture.now().after(Span::from_secs(AHEAD));
    let mut envelope: Value = serde_json::from_slice(&event.payload).unwrap();
    envelope["time"] = json!(time);
    event.payload = envelope.to_string().into_bytes().into();
    fixture.core.ingest(vec![event]).await.unwrap();
    // It is taken for so long, and its mark is put in order as if it were to be kept for as long as any.
    let taken = time.after(Span::from_secs(3_600));
    let place = taken.before(Span::from_secs(7 * 24 * 3600)).as_micros();
    let rows = fixture.store.scan(Table::SettledByTime, &[], None, 10).unwrap();
    let places: Vec<_> = rows.iter().map(|(row, _)| row[..8].to_vec()).collect();
    let to_the_millisecond = u64::try_from(place / 1_000).unwrap();
    let micros = u64::from_be_bytes(places[0].as_slice().try_into().unwrap());
    assert_eq!((places.len(), micros / 1_000), (1, to_the_millisecond));
}

/// Puts so many marks of events less one into a table of those in order, as if they were handled after now.
pub(crate) fn fill_marks(fixture: &Fixture, by_time: Table, most: u64) {
    let after = u64::try_from(fixture.now().as_micros()).unwrap();
    for from in (1..most).step_by(10_000) {
        let mut batch = Batch::new();
        for n in from..most.min(from + 10_000) {
            let id = u128::from(n).to_be_bytes();
            batch.put(Table::HandledEvent, id.to_vec(), Vec::new());
            let row = [&(after + n).to_be_bytes()[..], &id].concat();
            batch.put(by_time, row, Vec::new());
        }
        fixture.store.commit(batch, || {});
    }
}

#[actix::test]
async fn events_that_a_threshold_counted_are_remembered_up_to_a_bound() {
    const SETTLED_MAX: u64 = 200_000;
    recorder::install();
    let (fixture, host_id) = listening(vec![THIRD]).await;
    offer(&fixture, 1, "e1", keyed(host_id, "a")).await;
    fill_marks(&fixture, Table::SettledByTime, SETTLED_MAX);
    let fixture = fixture.restart().await;
    let (first, second) = (EventKey::derive(&Org::default_org(), "test", "e1"), "e2");
    let is_marked = || {
        let mark = fixture.store.get(Table::HandledEvent, first.as_bytes());
        mark.unwrap().is_some()
    };
    assert!(is_marked(), "as many as there may be");
    offer(&fixture, 2, second, keyed(host_id, "a")).await;
    assert_eq!(fixture.store.count(Table::SettledByTime).unwrap(), SETTLED_MAX);
    assert!(!is_marked(), "the one that would be forgotten first");
    let thread = fixture.thread().await;
    assert_eq!(counter(thread, "tripline_router_marks_cut_total"), 1);
    // It is decided anew when it comes again, and is the third that counts.
    assert_eq!(offer(&fixture, 1, "e1", keyed(host_id, "a")).await, 1);
}

#[actix::test]
async fn hosts_are_counted_by_themselves_when_the_scope_is_the_host() {
    let (fixture, first) = listening(vec![THIRD]).await;
    let second = fixture.enrol("ben").await.host_id;
    for n in 1..=2 {
        offer(&fixture, n, &format!("a{n}"), keyed(first, "")).await;
        assert_eq!(
            offer(&fixture, n + 2, &format!("b{n}"), keyed(second, "")).await,
            0
        );
    }
    assert_eq!(offer(&fixture, 5, "b3", keyed(second, "")).await, 1);
}

#[actix::test]
async fn orgs_are_counted_by_themselves() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    let other = fixture.enrol_in(Some("acme"), "ben").await.host_id;
    assert_eq!(offer(&fixture, 1, "e1", keyed(host_id, "a")).await, 1);
    let mut event = delivery(&fixture, 2, "e2", keyed(other, "a"));
    event.subject = event.subject.replace(".default.", ".acme.");
    fixture.core.ingest(vec![event]).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 2);
}

#[actix::test]
async fn a_key_without_its_field_makes_a_dead_letter_and_no_job() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    assert_eq!(offer(&fixture, 1, "e1", json!({ "host_id": host_id })).await, 0);
    let letters = fixture.published(".dead.default.missing_field", 1).await;
    assert_eq!(letters.len(), 1);
}

#[actix::test]
async fn what_only_the_job_needs_makes_no_dead_letter_of_an_event_that_is_suppressed() {
    let collect = "name: collect\non: [acme.>]\nlet: { path: \"{{ event.data.path }}\" }\n\
                   suppress: { key: \"{{ event.data.k }}\", per: 1m }\n\
                   job: { steps: [ get_file: { path: \"{{ vars.path }}\" } ] }\n";
    let (fixture, host_id) = listening(vec![collect]).await;
    let data = json!({ "host_id": host_id, "k": "a", "path": "/x" });
    assert_eq!(offer(&fixture, 1, "e1", data).await, 1);
    assert_eq!(offer(&fixture, 2, "e2", keyed(host_id, "a")).await, 1);
    assert_eq!(offer(&fixture, 3, "e3", keyed(host_id, "b")).await, 1);
    let letters = fixture.published(".dead.default.missing_field", 1).await;
    assert_eq!(letters.len(), 1, "of the one that would have acted");
}

#[actix::test]
async fn what_was_counted_goes_on_under_changed_rules_and_while_its_pipeline_is_away() {
    let (fixture, host_id) = listening(vec![ONCE]).await;
    offer(&fixture, 1, "e1", keyed(host_id, "a")).await;
    fixture.core.set_rules(rules(&[&ONCE
        .replace("list_processes", "walk")
        .replace("{}", "{ path: / }")]));
    assert_eq!(
        offer(&fixture, 2, "e2", keyed(host_id, "a")).await,
        1,
        "it is the same window"
    );
    fixture.core.set_rules(rules(&[&ONCE.replace("1m", "2m")]));
    assert_eq!(
        offer(&fixture, 3, "e3", keyed(host_id, "a")).await,
        2,
        "it is another one"
    );
    assert_eq!(fixture.rows(Table::Window), 1, "the first one is gone");
    // A file that is moved is away for a moment.
    fixture.core.set_rules(rules(&[]));
    offer(&fixture, 4, "e4", keyed(host_id, "a")).await;
    let fixture = fixture.restart_with(|setup| setup.pipelines = Vec::new()).await;
    fixture.core.set_rules(rules(&[&ONCE.replace("1m", "2m")]));
    assert_eq!(offer(&fixture, 5, "e5", keyed(host_id, "a")).await, 2);
    // One that does not suppress any more has no use for it.
    let free = "name: once\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
    fixture.core.set_rules(rules(&[free]));
    offer(&fixture, 6, "e6", keyed(host_id, "a")).await;
    assert_eq!(fixture.rows(Table::Window), 0);
}
