//! Results that the broker did not take, or may have lost.

use crate::fixture::{Fixture, Setup, eventually, list};
use tripline_actors::store::Table;
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
