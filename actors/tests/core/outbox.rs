//! Results that the broker did not take, or may have lost.

use crate::audit::only;
use crate::fixture::{Fixture, Setup, eventually, list};
use crate::sessions::caller;
use serde_json::json;
use std::sync::atomic::Ordering;
use tripline_actors::access::Principal;
use tripline_actors::store::Table;
use tripline_protocol::api::Role;
use tripline_protocol::{JobId, Span};

/// Ends a job without a host.
async fn ended(fixture: &Fixture) -> JobId {
    let host = fixture.enrol("amelie").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    job.job_id
}

#[actix::test]
async fn what_was_not_acked_is_published_after_a_restart() {
    let fixture = Fixture::start();
    fixture.publisher.set_away(true);
    let job_id = ended(&fixture).await;
    let fixture = fixture.restart().await;
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results[0].message_id, job_id.to_string());
}

#[actix::test]
async fn when_the_broker_is_back_what_waits_goes_out() {
    let fixture = Fixture::start();
    fixture.publisher.set_away(true);
    ended(&fixture).await;
    fixture.publisher.set_away(false);
    // The clock stands still: no retry would ever be due. Told again and again, because the last failure may
    // still be on its way to the outbox, and then waits for its retry.
    eventually("what waited is published", || async {
        fixture.core.broker_returned();
        let out = |part: &&str| !fixture.publisher.with(part).is_empty();
        let parts = [".results.", ".events.default.new_sensor"];
        parts.iter().all(out).then_some(())
    })
    .await;
}

/// Waits until every acknowledgement is written down.
async fn marked(fixture: &Fixture, count: usize) {
    eventually("acks are written down", || async {
        (fixture.rows(Table::Sent) == count).then_some(())
    })
    .await;
}

#[actix::test]
async fn what_was_acked_lately_is_published_again_with_the_same_id() {
    let fixture = Fixture::start();
    let job_id = ended(&fixture).await;
    marked(&fixture, 2).await;
    let fixture = fixture.restart().await;
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results[0].message_id, job_id.to_string());
    assert!(fixture.core.readiness().outbox);
}

#[actix::test]
async fn what_was_acked_long_ago_is_not_published_again() {
    let mut setup = Setup::default();
    setup.config.outbox_resend_window = Span::from_secs(240);
    let fixture = Fixture::start_with(setup);
    ended(&fixture).await;
    marked(&fixture, 2).await;
    fixture.advance(241);
    let fixture = fixture.restart().await;
    ended(&fixture).await;
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results.len(), 1, "only the new one");
    eventually("the old ones are forgotten", || async {
        (fixture.rows(Table::Outbox) == 2).then_some(())
    })
    .await;
}

#[actix::test]
async fn what_the_broker_refuses_is_quarantined_and_the_rest_goes_out() {
    let fixture = Fixture::start();
    *fixture.publisher.refuses.lock().unwrap() = Some(".results.");
    ended(&fixture).await;
    eventually("it is quarantined", || async {
        (fixture.rows(Table::Quarantine) == 1).then_some(())
    })
    .await;
    fixture.published(".events.default.new_sensor", 1).await;
    let fixture = fixture.restart().await;
    assert_eq!(fixture.rows(Table::Quarantine), 1);
    fixture.published(".events.default.new_sensor", 1).await;
    assert_eq!(fixture.publisher.results(), [], "it is not tried again");
}

#[actix::test]
async fn a_full_outbox_refuses_new_work_politely_and_takes_it_again_later() {
    let mut setup = Setup::default();
    setup.config.outbox_max = 10;
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    // Every waiting job has room for its result.
    let mut jobs = Vec::new();
    marked(&fixture, 1).await;
    for _ in 0..8 {
        jobs.push(fixture.submit(host.host_id, vec![list()]).await.job_id);
    }
    let refused = fixture
        .core
        .submit_job(crate::fixture::request(host.host_id, vec![list()]))
        .await;
    assert_eq!(refused.unwrap_err().code(), "busy");
    assert!(!fixture.core.readiness().outbox);
    fixture.core.cancel_job(None, jobs[0]).await.unwrap();
    eventually("there is room again", || async {
        let request = crate::fixture::request(host.host_id, vec![list()]);
        fixture.core.submit_job(request).await.ok()
    })
    .await;
}

pub(crate) fn admin() -> Principal {
    Principal {
        role: Role::Admin,
        ..caller("ana")
    }
}

/// Makes the broker refuse results for good, and ends so many jobs.
async fn quarantined(fixture: &Fixture, count: usize) -> Vec<JobId> {
    *fixture.publisher.refuses.lock().unwrap() = Some(".results.");
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(ended(fixture).await);
    }
    eventually("they are in quarantine", || async {
        (fixture.rows(Table::Quarantine) == count).then_some(())
    })
    .await;
    jobs
}

#[actix::test]
async fn what_was_refused_for_good_is_listed_with_the_brokers_words_and_published_in_order_when_put_back() {
    let fixture = Fixture::start();
    let jobs = quarantined(&fixture, 3).await;
    let fixture = fixture.restart().await;
    let page = fixture.core.quarantine(&admin(), None, 2).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0].message_id, jobs[0].to_string());
    assert_eq!(page.items[0].refused.as_deref(), Some("no"));
    assert!(page.items[0].staged_at.is_some() && page.items[0].bytes > 0);
    let after = page.next.map(|next| next.parse().unwrap());
    let rest = fixture.core.quarantine(&admin(), after, 2).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    assert_eq!(fixture.core.outbox(&admin()).await.unwrap().quarantined, 3);

    *fixture.publisher.refuses.lock().unwrap() = None;
    let mut sequences: Vec<u64> = page.items.iter().map(|entry| entry.sequence).rev().collect();
    sequences.push(999);
    let retried = fixture.core.retry_quarantined(&admin(), sequences).await.unwrap();
    assert_eq!(retried.retried, 2, "one of them was not there");
    let results = fixture.published(".results.", 2).await;
    let ids: Vec<String> = results.iter().map(|result| result.message_id.clone()).collect();
    assert_eq!(ids, [jobs[0].to_string(), jobs[1].to_string()]);
    eventually("nothing waits", || async {
        let view = fixture.core.outbox(&admin()).await.unwrap();
        (view.waiting == 0 && view.quarantined == 1).then_some(())
    })
    .await;

    let left = rest.items[0].sequence;
    fixture.core.drop_quarantined(&admin(), left).await.unwrap();
    assert_eq!(fixture.rows(Table::Quarantine), 0);
    let missing = fixture.core.drop_quarantined(&admin(), left).await.unwrap_err();
    assert_eq!(missing.code(), "not_found");
    // The server's own chain has both, and nothing of what was refused.
    let retry = only(&fixture, "_", "outbox.retry").await;
    assert_eq!((retry.by.name.as_deref(), retry.on.len()), (Some("ana"), 0));
    let back: Vec<u64> = page.items.iter().map(|entry| entry.sequence).collect();
    assert_eq!(json!(retry.detail), json!({ "sequences": back }));
    let drop = only(&fixture, "_", "outbox.drop").await;
    assert_eq!(drop.by.name.as_deref(), Some("ana"));
    assert_eq!(
        json!(drop.detail),
        json!({ "sequence": left, "id": jobs[2].to_string(), "subject": rest.items[0].subject })
    );
    let fixture = fixture.restart().await;
    assert_eq!(fixture.core.outbox(&admin()).await.unwrap().quarantined, 0);
}

#[actix::test]
async fn what_was_put_back_and_not_published_is_published_after_a_restart() {
    let fixture = Fixture::start();
    let jobs = quarantined(&fixture, 1).await;
    *fixture.publisher.refuses.lock().unwrap() = None;
    fixture.publisher.set_away(true);
    let entries = fixture.core.quarantine(&admin(), None, 10).await.unwrap().items;
    let sequences = entries.iter().map(|entry| entry.sequence).collect();
    fixture.core.retry_quarantined(&admin(), sequences).await.unwrap();
    let fixture = fixture.restart().await;
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results[0].message_id, jobs[0].to_string());
}

#[actix::test]
async fn what_waits_is_counted_by_subject_with_the_oldest_first() {
    let fixture = Fixture::start();
    fixture.publisher.set_away(true);
    for _ in 0..2 {
        ended(&fixture).await;
    }
    let view = eventually("both results wait", || async {
        let view = fixture.core.outbox(&admin()).await.unwrap();
        (view.subjects.iter().map(|count| count.waiting).sum::<u64>() == 4).then_some(view)
    })
    .await;
    // Two hosts, each with its enrolment's event and a job's result.
    assert_eq!((view.waiting, view.subjects_total), (4, 3));
    assert_eq!(view.subjects[0].subject, "tripline.events.default.new_sensor");
    assert_eq!(view.subjects[0].waiting, 2);
    let oldest = view.oldest.unwrap();
    assert_eq!(
        (oldest.subject, oldest.staged_at),
        (view.subjects[0].subject.clone(), Some(fixture.now()))
    );
    let bound = Principal {
        org: Some("acme".parse().unwrap()),
        ..admin()
    };
    assert_eq!(fixture.core.outbox(&bound).await.unwrap_err().code(), "forbidden");
    let nothing = fixture
        .core
        .retry_quarantined(&admin(), vec![])
        .await
        .unwrap_err();
    assert_eq!(nothing.code(), "bad_sequences");
}

#[actix::test]
async fn an_end_in_order_finds_out_once_that_the_broker_is_away() {
    let fixture = Fixture::start();
    fixture.publisher.set_away(true);
    fixture.enrol("amelie").await;
    let looks = || fixture.publisher.looks.load(Ordering::Relaxed);
    fixture.core.finish(Span::from_secs(60)).await;
    let found_out = looks();
    assert!(found_out > 0, "an event waits for it");
    fixture.core.finish(Span::from_secs(60)).await;
    assert_eq!(looks(), found_out);
}

#[actix::test]
async fn what_is_in_quarantine_keeps_its_number_for_itself_over_a_restart() {
    let mut setup = Setup::default();
    setup.config.outbox_resend_window = Span::from_secs(240);
    let fixture = Fixture::start_with(setup);
    let mut expected = quarantined(&fixture, 1).await;
    let page = fixture.core.quarantine(&admin(), None, 10).await.unwrap();
    let sequence = page.items[0].sequence;
    // All else is acknowledged and forgotten: no other number is left in the store.
    marked(&fixture, 1).await;
    fixture.advance(241);
    let fixture = fixture.restart().await;
    *fixture.publisher.refuses.lock().unwrap() = None;
    fixture.publisher.set_away(true);
    for _ in 0..=sequence {
        expected.push(ended(&fixture).await);
    }
    let retried = fixture.core.retry_quarantined(&admin(), vec![sequence]).await;
    assert_eq!(retried.unwrap().retried, 1);
    fixture.publisher.set_away(false);
    eventually("each of them is published", || async {
        fixture.core.broker_returned();
        let results = fixture.publisher.results();
        let published = |job: &JobId| results.iter().any(|result| result.message_id == job.to_string());
        expected.iter().all(published).then_some(())
    })
    .await;
}
