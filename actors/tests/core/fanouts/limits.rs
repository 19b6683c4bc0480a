//! Bounds of fan-outs, and what happens at them.

use super::{ended, everywhere, hosts, submit, until, view};
use crate::fixture::{Fixture, Setup, config, eventually};
use serde_json::{Value, json};
use tripline_actors::access::{AgentKeyRecord, put_key};
use tripline_actors::store::{Batch, Table};
use tripline_protocol::fanout::{AutoPause, FanoutOutcome, FanoutState, Pace, SubmitFanout};
use tripline_protocol::limit::FANOUT_HOSTS_MAX;
use tripline_protocol::{FanoutId, HostId, Sha256, Span};
use uuid::Uuid;

const OPEN_MAX: usize = 100;

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

/// Adds so many hosts to the store, as enrolments would.
async fn add_hosts(fixture: &Fixture, count: usize) {
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
