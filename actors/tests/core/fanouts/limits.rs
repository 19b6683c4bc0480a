//! Bounds of fan-outs, and what happens at them.

use super::{ended, everywhere, hosts, submit, summary, until, view};
use crate::fixture::{Fixture, Setup, config, eventually};
use serde_json::{Value, json};
use tripline_actors::FanoutHostFilter;
use tripline_actors::access::{AgentKeyRecord, put_key};
use tripline_actors::store::{Batch, Table};
use tripline_protocol::fanout::{
    AutoPause, FanoutHostState, FanoutOutcome, FanoutState, Pace, RetryFanout, SubmitFanout,
};
use tripline_protocol::job::Outcome;
use tripline_protocol::limit::FANOUT_HOSTS_MAX;
use tripline_protocol::{FanoutId, HostId, Sha256, Span};
use uuid::Uuid;

const OPEN_MAX: usize = 100;
const KEPT_MAX: usize = 1_000;
const CHANGES_MAX: usize = 500;
const NAMED_MAX: usize = 100;
const LOOKED_AT_MAX: usize = 2_000;

#[actix::test]
async fn as_many_fan_outs_are_open_as_may_be_and_one_more_when_one_ended() {
    let fixture = Fixture::start();
    let standing = SubmitFanout {
        standing: true,
        ..everywhere()
    };
    let first = submit(&fixture, standing.clone()).await;
    for _ in 1..OPEN_MAX {
        submit(&fixture, standing.clone()).await;
    }
    let refused = fixture.core.submit_fanout(standing.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "busy");
    fixture.core.cancel_fanout(None, first).await.unwrap();
    ended(&fixture, first).await;
    submit(&fixture, standing).await;
}

async fn refused(fixture: &Fixture, change: impl FnOnce(&mut SubmitFanout)) -> &'static str {
    let mut request = everywhere();
    change(&mut request);
    let refusal = fixture.core.submit_fanout(request).await.unwrap_err();
    match refusal {
        tripline_actors::Refusal::Invalid { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn a_fan_out_is_taken_up_to_its_bounds() {
    let fixture = Fixture::start();
    let most = Pace {
        in_flight: 10_000,
        per_minute: Some(60_000),
        canary: Some(1_000),
        ramp: 100,
        auto_pause: Some(AutoPause { failed: 100, of: 100 }),
    };
    let largest = SubmitFanout {
        pace: most.clone(),
        expires: Some(Span::from_secs(30 * 24 * 3600)),
        max_hosts: Some(100_000),
        idempotency_key: Some("k".repeat(200)),
        ..everywhere()
    };
    submit(&fixture, largest).await;
    let changes: [fn(&mut Pace); 6] = [
        |pace| pace.in_flight = 10_001,
        |pace| pace.per_minute = Some(60_001),
        |pace| pace.canary = Some(1_001),
        |pace| pace.ramp = 101,
        |pace| pace.auto_pause = Some(AutoPause { failed: 1, of: 101 }),
        |pace| pace.auto_pause = Some(AutoPause { failed: 3, of: 2 }),
    ];
    for change in changes {
        let mut pace = most.clone();
        change(&mut pace);
        assert_eq!(
            refused(&fixture, |request| request.pace = pace).await,
            "bad_fanout"
        );
    }
    let month = Span::from_secs(30 * 24 * 3600 + 1);
    assert_eq!(
        refused(&fixture, |request| request.expires = Some(month)).await,
        "bad_fanout"
    );
    assert_eq!(
        refused(&fixture, |request| request.max_hosts = Some(0)).await,
        "bad_fanout"
    );
    let key = "k".repeat(201);
    let code = refused(&fixture, |request| request.idempotency_key = Some(key)).await;
    assert_eq!(code, "bad_idempotency_key");
    assert_eq!(refused(&fixture, |request| request.job = None).await, "bad_job");
}

fn key_of(number: usize) -> Sha256 {
    format!("{number:064x}").parse().unwrap()
}

/// Adds so many hosts to the store, as enrolments would, and one behind them: the answer is its id.
pub(super) async fn add_hosts(fixture: &Fixture, count: usize) -> HostId {
    let known = fixture.enrol("first").await.host_id;
    let row = fixture.store.get(Table::Host, known.as_bytes()).unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&row).unwrap();
    let org = "default";
    for from in (0..count).step_by(10_000) {
        let mut batch = Batch::new();
        for number in from..count.min(from + 10_000) {
            let (id, name) = (Uuid::from_u128(number as u128 + 1), format!("h{number}"));
            let sensor = u32::try_from(number + 1_000).unwrap();
            (record["host_id"], record["hostname"], record["sensor_id"]) =
                (json!(id), json!(name), json!(sensor));
            record["install_id"] = json!(id);
            record["key_sha256"] = json!(key_of(number));
            batch.put(
                Table::Host,
                id.as_bytes().to_vec(),
                serde_json::to_vec(&record).unwrap(),
            );
            let by_name = [org.as_bytes(), &[0], name.as_bytes(), &[0], id.as_bytes()].concat();
            batch.put(Table::HostByName, by_name, Vec::new());
            let key = AgentKeyRecord::new(HostId(id), fixture.now());
            put_key(&mut batch, &key_of(number), &key).unwrap();
            batch.put(
                Table::HostBySensor,
                sensor.to_be_bytes().to_vec(),
                id.as_bytes().to_vec(),
            );
        }
        fixture.store.commit(batch, || {});
    }
    known
}

#[actix::test]
async fn a_fan_out_has_as_many_hosts_as_may_be_and_others_are_served_while_they_are_found() {
    let fixture = Fixture::start();
    // The first host is one of them.
    add_hosts(&fixture, FANOUT_HOSTS_MAX as usize - 1).await;
    let id = submit(&fixture, everywhere()).await;
    let mut served = 0;
    while view(&fixture, id).await.state == FanoutState::Resolving {
        fixture.core.get_host(None, "h7".into()).await.unwrap();
        served += 1;
    }
    assert!(served > 1, "somebody was served meanwhile: {served}");
    let all = view(&fixture, id).await;
    assert_eq!(
        (all.state, all.counts.hosts),
        (FanoutState::Running, u64::from(FANOUT_HOSTS_MAX))
    );
    fixture.core.cancel_fanout(None, id).await.unwrap();
    assert_eq!(
        ended(&fixture, id).await.1.counts.cancelled,
        u64::from(FANOUT_HOSTS_MAX)
    );
    fixture.enrol("one more").await;
    let id = submit(&fixture, everywhere()).await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!(
        (outcome, view.reason.unwrap().code.as_str()),
        (FanoutOutcome::Failed, "too_many_hosts")
    );
    assert!(hosts(&fixture, id).await.iter().all(|host| host.state.is_over()));
}

#[actix::test]
async fn ended_fan_outs_are_forgotten_by_age_with_all_their_rows() {
    let mut config = config();
    config.jobs_retain = Span::from_secs(60);
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    fixture.enrol("away").await;
    let request = SubmitFanout {
        idempotency_key: Some("once".into()),
        ..everywhere()
    };
    let id: FanoutId = submit(&fixture, request.clone()).await;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    fixture.core.cancel_fanout(None, id).await.unwrap();
    ended(&fixture, id).await;
    fixture.advance(61);
    eventually("it is forgotten", || async {
        (fixture.rows(Table::Fanout) == 0).then_some(())
    })
    .await;
    for table in [
        Table::FanoutByTime,
        Table::FanoutDefinition,
        Table::FanoutChunk,
        Table::FanoutHost,
    ] {
        assert_eq!(fixture.rows(table), 0, "{table:?}");
    }
    let again = fixture.core.submit_fanout(request).await.unwrap_err();
    assert_eq!(again.code(), "fanout_pruned");
}

#[actix::test]
async fn a_record_of_a_fan_out_that_cannot_be_read_keeps_no_other_from_being_forgotten() {
    let mut config = config();
    config.jobs_retain = Span::from_secs(60);
    let fixture = Fixture::start_with(Setup {
        config,
        ..Setup::default()
    });
    // Without hosts each ends at once.
    let mut all = Vec::new();
    for _ in 0..3 {
        let id = submit(&fixture, everywhere()).await;
        ended(&fixture, id).await;
        all.push(id);
        fixture.advance(1);
    }
    let broken = all[1].as_bytes().to_vec();
    let record = fixture.store.get(Table::Fanout, &broken).unwrap().unwrap();
    let put = |value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(Table::Fanout, broken.clone(), value);
        fixture.store.commit(batch, || {});
    };
    put(b"{".to_vec());
    fixture.advance(61);
    eventually("the others are forgotten", || async {
        (fixture.rows(Table::Fanout) == 1).then_some(())
    })
    .await;
    put(record);
    eventually("and so is this one, when it can be read", || async {
        (fixture.rows(Table::FanoutByTime) == 0).then_some(())
    })
    .await;
}

#[actix::test]
async fn as_many_ended_fan_outs_are_kept_as_may_be_and_then_the_oldest_are_forgotten() {
    let fixture = Fixture::start();
    // Without hosts it ends at once.
    let first = submit(&fixture, everywhere()).await;
    fixture.advance(1);
    let second = submit(&fixture, everywhere()).await;
    fixture.advance(1);
    let mut last = second;
    for _ in 2..KEPT_MAX {
        last = submit(&fixture, everywhere()).await;
    }
    ended(&fixture, last).await;
    assert_eq!(view(&fixture, first).await.counts.hosts, 0);
    fixture.advance(1);
    let newest = submit(&fixture, everywhere()).await;
    let forgotten = |id| {
        let fixture = &fixture;
        eventually("it is forgotten", move || async move {
            let refusal = fixture.core.get_fanout(None, id).await.err();
            refusal.filter(|refusal| refusal.code() == "not_found")
        })
    };
    forgotten(first).await;
    assert_eq!(fixture.rows(Table::Fanout), KEPT_MAX);
    view(&fixture, second).await;
    fixture.advance(1);
    for _ in 0..50 {
        submit(&fixture, everywhere()).await;
    }
    forgotten(second).await;
    eventually("no more than may be are kept", || async {
        (fixture.rows(Table::Fanout) == KEPT_MAX).then_some(())
    })
    .await;
    assert_eq!(fixture.rows(Table::FanoutByTime), KEPT_MAX);
    assert_eq!(fixture.rows(Table::FanoutDefinition), KEPT_MAX);
    view(&fixture, newest).await;
}

#[actix::test]
async fn a_fan_out_is_resumed_and_tried_again_so_often_and_no_more() {
    let fixture = Fixture::start();
    fixture.enrol("away").await;
    let id = submit(&fixture, everywhere()).await;
    until(&fixture, id, "it waits", |view| view.counts.offline == 1).await;
    for _ in 0..CHANGES_MAX {
        fixture.core.pause_fanout(None, id, None).await.unwrap();
        fixture.core.resume_fanout(None, id).await.unwrap();
    }
    fixture.core.pause_fanout(None, id, None).await.unwrap();
    let refused = fixture.core.resume_fanout(None, id).await.unwrap_err();
    assert_eq!(refused.code(), "too_many_changes");
    assert_eq!(
        view(&fixture, id).await.state,
        FanoutState::Paused,
        "it is as it was"
    );
    fixture.core.cancel_fanout(None, id).await.unwrap();
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.cancelled), (FanoutOutcome::Cancelled, 1));
    let retry = RetryFanout {
        outcomes: vec![Outcome::Cancelled],
        ..RetryFanout::default()
    };
    let refused = fixture.core.retry_fanout(None, id, retry).await.unwrap_err();
    assert_eq!(refused.code(), "too_many_changes");
}

#[actix::test]
async fn summaries_and_previews_name_so_many_hosts_and_count_the_others() {
    let fixture = Fixture::start();
    add_hosts(&fixture, NAMED_MAX - 1).await;
    for more in [0, 1] {
        let reach = fixture.core.preview_fanout(everywhere()).await.unwrap();
        assert_eq!((reach.first.len(), reach.more), (NAMED_MAX, more));
        let id = submit(&fixture, everywhere()).await;
        until(&fixture, id, "its hosts are found", |view| {
            view.state == FanoutState::Running
        })
        .await;
        fixture.core.cancel_fanout(None, id).await.unwrap();
        ended(&fixture, id).await;
        let summary = summary(&fixture, more as usize + 1).await;
        let named = summary["not_succeeded"].as_array().unwrap().len();
        assert_eq!((named, &summary["more"]), (NAMED_MAX, &json!(more)));
        fixture.enrol("one more").await;
    }
}

#[actix::test]
async fn so_many_hosts_are_looked_at_for_one_page_and_the_next_page_goes_on() {
    // The one that is looked for is the last that is looked at, or the one behind it.
    for (before, pages) in [(LOOKED_AT_MAX - 1, vec![1]), (LOOKED_AT_MAX, vec![0, 1])] {
        let fixture = Fixture::start();
        let last = add_hosts(&fixture, before).await;
        let _agent = fixture.attach(last, "first").await;
        let id = submit(&fixture, everywhere()).await;
        until(&fixture, id, "it has its turn", |view| view.counts.in_flight == 1).await;
        let mut filter = FanoutHostFilter {
            state: Some(FanoutHostState::InFlight),
            limit: 10,
            after: None,
        };
        let mut found = Vec::new();
        loop {
            let page = fixture.core.list_fanout_hosts(None, id, filter.clone()).await;
            let page = page.unwrap();
            assert!(page.items.iter().all(|host| host.host_id == last));
            found.push(page.items.len());
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        assert_eq!(found, pages);
    }
}
