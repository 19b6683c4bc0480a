//! Orgs that leave LimaCharlie: everything of them goes, whenever the server is killed, and whatever goes on in their name.

use crate::events::stream;
use crate::fanouts::{everywhere, submit};
use crate::fixture::{Fixture, Setup, delete, eventually};
use crate::limacharlie::{OID, call, detection, done, linked, org, request, say, with_look};
use crate::outbox::admin;
use crate::recorder;
use serde_json::{Value, json};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;
use tripline_actors::Delivery;
use tripline_actors::audit::By;
use tripline_actors::clock::ManualClock;
use tripline_actors::store::{Batch, Table};
use tripline_protocol::limacharlie::{Answer, ServiceEtype};
use tripline_protocol::{FanoutId, HostId, Span, Timestamp};

const DRY: &str = "name: dry\non: [acme.>]\ndry_run: true\njob: { steps: [ list_processes: {} ] }\n";
const ACT: &str = "name: act\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";

/// An event of the org that somebody published, of that time.
fn event(fixture: &Fixture, sequence: u64, time: Timestamp, data: Value) -> Delivery {
    let id = format!("e{sequence}");
    let envelope = json!({
        "specversion": "1.0", "id": id, "source": "test", "type": "acme.alert", "time": time, "data": data,
    });
    Delivery {
        subject: format!("tripline.events.{OID}.acme.alert"),
        headers: Vec::new(),
        payload: envelope.to_string().into_bytes().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    }
}

async fn removed(fixture: &Fixture) {
    eventually("it is removed", || async {
        let rows = fixture.store.scan(Table::LcOrg, b"r", None, 1).unwrap();
        let record: Value = serde_json::from_slice(&rows[0].1).unwrap();
        record.get("done_at").is_some().then_some(())
    })
    .await;
}

/// Tables in which something names the org.
fn tables_of_org(fixture: &Fixture) -> Vec<Table> {
    let names = |bytes: &[u8]| bytes.windows(OID.len()).any(|part| part == OID.as_bytes());
    let mut tables = Vec::new();
    let sent = fixture.store.scan(Table::Sent, &[], None, 10_000).unwrap();
    for (table, rows) in fixture.all_rows() {
        let found = rows.iter().filter(|(key, value)| names(key) || names(value));
        if found.clone().count() > 0 {
            tables.push(table);
        }
        if table == Table::Outbox {
            let keys: Vec<_> = rows.iter().map(|(key, _)| key).collect();
            assert!(
                sent.iter().all(|(key, _)| keys.contains(&key)),
                "a mark of nothing"
            );
        }
    }
    tables
}

/// What an org leaves behind: that it left, that ids of its jobs are taken, and its agents' hosts.
const LEFT: [Table; 8] = [
    Table::JobTombstone,
    Table::Host,
    Table::HostByName,
    Table::Token,
    Table::Session,
    Table::LcOrg,
    Table::LcCall,
    Table::LcCallByTime,
];

fn assert_nothing_is_left(fixture: &Fixture) {
    let tables = tables_of_org(fixture);
    assert!(
        tables.iter().all(|table| LEFT.contains(table)),
        "{tables:?} name the org"
    );
    let calls = fixture.store.scan(Table::LcCall, &[], None, 100).unwrap();
    let calls: Vec<Value> = calls
        .iter()
        .map(|(_, value)| serde_json::from_slice(value).unwrap())
        .collect();
    let about_it = |call: &Value| call["etype"] == "org_uninstall" || call["etype"] == "org_install";
    assert!(calls.iter().all(about_it), "{calls:?}");
}

/// An org with a bit of everything: sensors, jobs, a fan-out, decisions, and messages that wait, were sent, and were refused.
async fn busy(setup: Setup) -> Fixture {
    let fixture = Fixture::start_with(setup);
    with_look(&fixture, &[DRY]);
    done(&fixture, call("org_install", "i", json!({}))).await;
    // Its agent goes, so that jobs wait for it.
    let (own, agent) = linked(&fixture).await;
    drop(agent);
    fixture.published(&format!(".events.{OID}."), 2).await;
    // Or what still waits would be refused, too.
    eventually("nothing waits", || async {
        let outbox = fixture.core.outbox(&admin()).await.unwrap();
        (outbox.waiting == 0).then_some(())
    })
    .await;
    *fixture.publisher.refuses.lock().unwrap() = Some(".events.");
    done(&fixture, detection("refused")).await;
    eventually("one is refused", || async {
        (fixture.rows(Table::Quarantine) == 1).then_some(())
    })
    .await;
    *fixture.publisher.refuses.lock().unwrap() = None;
    stream(&fixture).await;
    let dry = event(&fixture, 1, fixture.now(), json!({ "host_id": own }));
    fixture.core.ingest(vec![dry]).await.unwrap();
    done(&fixture, request(&fixture, "r", None)).await;
    fixture.submit(own, vec![delete()]).await;
    fanout_of_org(&fixture).await;
    eventually("there is a decision", || async {
        (fixture.rows(Table::Withheld) == 1).then_some(())
    })
    .await;
    fixture
}

async fn fanout_of_org(fixture: &Fixture) -> FanoutId {
    let mut request = everywhere();
    request.org = Some(org());
    submit(fixture, request).await
}

#[actix::test]
async fn a_removal_leaves_nothing_of_its_org_in_any_table_or_stream_wherever_it_is_killed() {
    // Killed so often, each time a little later: the pauses are those between the steps of a removal.
    for kills in 0_u64..5 {
        let mut fixture = busy(Setup::default()).await;
        fixture.publisher.set_away(kills % 2 == 1);
        done(&fixture, call("org_uninstall", "u", json!({}))).await;
        for kill in 0..kills {
            // Any moment is as good as another.
            tokio::time::sleep(std::time::Duration::from_millis(40 * kill)).await;
            fixture = fixture.restart().await;
        }
        fixture.publisher.set_away(false);
        removed(&fixture).await;
        assert_eq!(fixture.rows(Table::FanoutByTime), 0, "rows of fan-outs are gone");
        assert_nothing_is_left(&fixture);
    }
}

#[actix::test]
async fn a_job_goes_with_its_fan_out_also_when_its_host_had_its_turn_after_the_org_left() {
    let fixture = Fixture::start();
    done(&fixture, call("org_install", "i", json!({}))).await;
    let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
    let id = fanout_of_org(&fixture).await;
    let early = fixture.now();
    fixture.advance(3600);
    fixture.attach(own, "web-1").await.obey().await;
    crate::fanouts::ended(&fixture, id).await;
    // The org leaves by a clock that was set back meanwhile: that is the same as a turn right behind the moment in which it leaves.
    let clock = ManualClock::new(early.after(Span::from_secs(60)));
    let fixture = fixture.restart_with(|setup| setup.clock = clock).await;
    assert_eq!(fixture.rows(Table::Job), 1);
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    assert_eq!(fixture.rows(Table::Job), 0);
    assert_nothing_is_left(&fixture);
}

#[actix::test]
async fn sensors_of_an_org_that_left_take_no_place_among_those_that_may_have_ticks() {
    recorder::install();
    let fixture = Fixture::start();
    let hourly = "name: hourly\non: [sensor_per_1h]\njob: { steps: [ list_processes: {} ] }\n";
    with_look(&fixture, &[hourly]);
    done(&fixture, detection("m")).await;
    let thread = fixture.thread().await;
    let sensors = async |count: f64| {
        eventually("so many sensors", || async {
            let sensors = recorder::gauge(thread, "tripline_timekeeper_sensors");
            (sensors == Some(count)).then_some(())
        })
        .await;
    };
    sensors(1.0).await;
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    sensors(0.0).await;
}

#[actix::test]
async fn what_was_published_or_refused_before_the_purge_does_not_come_back_with_the_next_start() {
    let fixture = busy(Setup::default()).await;
    let mut of_nobody = call("once_per_1h", "kept", json!({}));
    of_nobody.oid = None;
    done(&fixture, of_nobody).await;
    fixture.published(".events.default.", 1).await;
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    assert_eq!(fixture.rows(Table::Quarantine), 0);
    let outbox = fixture.core.outbox(&admin()).await.unwrap();
    assert_eq!(
        (outbox.waiting, outbox.quarantined),
        (0, 0),
        "their places are free"
    );
    let fixture = fixture.restart().await;
    fixture.published(".events.default.", 1).await;
    let again = fixture.publisher.with(OID);
    assert!(again.is_empty(), "{again:?}");
}

#[actix::test]
async fn calls_jobs_and_events_in_the_name_of_an_org_do_not_keep_its_removal_from_its_end() {
    let setup = Setup::default();
    let clock = setup.clock.clone();
    let fixture = Fixture::start_with(setup);
    with_look(&fixture, &[ACT]);
    let (own, mut agent) = linked(&fixture).await;
    let old = fixture.submit(own, vec![delete()]).await;
    let command = agent.command().await;
    fixture.publisher.set_away(true);
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    assert_eq!(agent.cancel().await, command.command_id);
    clock.advance(Span::from_secs(1));
    let new = fixture.submit(own, vec![delete()]).await;
    let fanout = fanout_of_org(&fixture).await;
    for number in 0..3 {
        let refused = say(&fixture, detection(&format!("late{number}"))).await.unwrap();
        assert_eq!((refused.success, refused.retry), (false, Some(false)));
    }
    agent.answer(command.command_id, json!({}));
    fixture.publisher.set_away(false);
    removed(&fixture).await;
    let refused = say(&fixture, detection("later")).await.unwrap();
    assert_eq!((refused.success, refused.retry), (false, Some(false)));
    let notes = fixture.store.scan(Table::LcCall, &[], None, 100).unwrap();
    assert_eq!(notes.len(), 1, "calls that are refused leave no note");
    assert!(fixture.core.get_job(None, old.job_id).await.is_err());
    let new = fixture.core.get_job(None, new.job_id).await.unwrap();
    assert!(new.state.outcome().is_none(), "{new:?}");
    assert!(fixture.core.get_fanout(None, fanout).await.is_ok());
}

/// Of an event from before the org left and one of now, the first one causes nothing.
async fn only_the_later_acts(fixture: &Fixture, host: HostId, before: Timestamp) {
    let data = json!({ "host_id": host });
    let late = event(fixture, 1, before, data.clone());
    let new = event(fixture, 2, fixture.now(), data);
    fixture.core.ingest(vec![late, new]).await.unwrap();
    let jobs = eventually("the later one acts", || async {
        Some(crate::events::jobs(fixture).await).filter(|jobs| !jobs.is_empty())
    })
    .await;
    let events: Vec<_> = jobs.iter().filter_map(|job| job.event.as_ref()).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].id, "e2");
}

#[actix::test]
async fn an_event_from_before_an_org_left_causes_nothing_afterwards_and_a_later_one_does() {
    let setup = Setup::default();
    let clock = setup.clock.clone();
    let fixture = Fixture::start_with(setup);
    with_look(&fixture, &[ACT]);
    let (own, _agent) = linked(&fixture).await;
    stream(&fixture).await;
    let before = fixture.now();
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    clock.advance(Span::from_secs(1));
    only_the_later_acts(&fixture, own, before).await;
}

const NOT_SUBSCRIBED: &str = "the org is not subscribed";

/// What it tells the actors is told, and it waits for their answer.
async fn begun<F: Future>(mut future: Pin<&mut F>) {
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[actix::test]
#[expect(
    clippy::await_holding_lock,
    reason = "what stops the actors, who never wait for this thread"
)]
async fn a_request_that_was_taken_before_its_org_left_is_not_carried_out_afterwards() {
    let fixture = Fixture::start_with(Setup {
        ticks: true,
        ..Setup::default()
    });
    with_look(&fixture, &[]);
    // Without its agent: a job would wait for it.
    drop(linked(&fixture).await);
    let stop = fixture.publisher.stop.lock().unwrap();
    let mut beside = pin!(say(&fixture, detection("beside")));
    begun(beside.as_mut()).await;
    eventually("the actors stand still", || async {
        fixture.publisher.stopped.load(Ordering::Relaxed).then_some(())
    })
    .await;
    // The scheduler hears of the request's jobs when the role has handled both.
    let core = fixture.core.on_behalf(By::limacharlie(None));
    let mut asked = pin!(core.limacharlie_call(ServiceEtype::Request, request(&fixture, "r", Some(600))));
    begun(asked.as_mut()).await;
    let mut left = pin!(say(&fixture, call("org_uninstall", "u", json!({}))));
    begun(left.as_mut()).await;
    fixture.publisher.set_away(true);
    drop(stop);
    let (_, asked, left) = tokio::join!(beside, asked, left);
    assert_eq!(asked.unwrap(), Answer::refused(NOT_SUBSCRIBED));
    assert!(left.unwrap().success);
    eventually(
        "its job is cancelled, though the streams are not purged",
        || async {
            let jobs = crate::events::jobs(&fixture).await;
            assert_eq!(jobs.len(), 1);
            jobs[0].state.outcome().map(drop)
        },
    )
    .await;
    fixture.publisher.set_away(false);
    removed(&fixture).await;
    assert_eq!(fixture.rows(Table::Job), 0);
}

#[actix::test]
async fn a_purge_that_fails_is_tried_again_and_nothing_else_until_it_was_made() {
    let fixture = Fixture::start();
    done(&fixture, detection("m")).await;
    let kept: Vec<_> = [Table::LcCall, Table::LcCallByTime]
        .into_iter()
        .flat_map(|table| {
            let rows = fixture.store.scan(table, &[], None, 10).unwrap();
            rows.into_iter().map(move |(key, value)| (table, key, value))
        })
        .collect();
    assert_eq!(kept.len(), 2);
    fixture.publisher.set_away(true);
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    let purges = async |count: usize| {
        let until = fixture.publisher.purges.load(Ordering::Relaxed) + count;
        eventually("it is tried", || async {
            (fixture.publisher.purges.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    };
    purges(1).await;
    assert_eq!(fixture.rows(Table::LcCall), 1, "that of its end alone");
    // Whoever went over everything would remove it again.
    let mut batch = Batch::new();
    kept.into_iter()
        .for_each(|(table, key, value)| batch.put(table, key, value));
    fixture.store.commit(batch, || {});
    purges(3).await;
    assert_eq!(fixture.rows(Table::LcCall), 2);
    fixture.publisher.set_away(false);
    removed(&fixture).await;
    assert_eq!(fixture.rows(Table::LcCall), 1);
}

#[actix::test]
async fn an_event_from_before_an_org_left_causes_nothing_when_the_org_has_come_back_either() {
    let setup = Setup::default();
    let clock = setup.clock.clone();
    let fixture = Fixture::start_with(setup);
    let (own, agent) = linked(&fixture).await;
    drop(agent);
    stream(&fixture).await;
    let before = fixture.now();
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    clock.advance(Span::from_secs(1));
    done(&fixture, call("org_install", "back", json!({}))).await;
    // What is known of it is durable.
    let fixture = fixture.restart().await;
    with_look(&fixture, &[ACT]);
    only_the_later_acts(&fixture, own, before).await;
}

#[actix::test]
async fn a_request_of_an_org_that_left_is_refused_whatever_it_would_select() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    done(&fixture, detection("m")).await;
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    removed(&fixture).await;
    let data = json!({ "job": "look", "selector": "label=none" });
    let refused = say(&fixture, call("request", "r", data)).await.unwrap();
    assert_eq!(refused, Answer::refused(NOT_SUBSCRIBED));
}
