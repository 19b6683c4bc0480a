//! Bounds of calls of LimaCharlie: what waits, what is remembered, what is handed out.

use crate::fixture::{Fixture, delete, eventually};
use crate::limacharlie::{OID, call, detection, done, linked, news, org, request, say, with_look};
use serde_json::json;
use tripline_actors::limacharlie::{REQUEST_HOSTS_MAX, WAITING_MAX};
use tripline_actors::store::{Batch, Table};
use tripline_protocol::limacharlie::{Answer, Call, ServiceEtype};
use uuid::Uuid;

/// A call that waits for its answer beside the test.
fn asked(fixture: &Fixture, call: Call) -> tokio::task::JoinHandle<Answer> {
    let (core, etype): (_, ServiceEtype) = (fixture.core.clone(), call.etype.parse().unwrap());
    actix::spawn(async move { core.limacharlie_call(etype, call).await.unwrap() })
}

#[actix::test]
async fn so_many_requests_wait_for_results_and_one_more_is_answered_with_its_jobs() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (_, mut agent) = linked(&fixture).await;
    let waits = |mid: String| asked(&fixture, request(&fixture, &mid, Some(600)));
    let runs = waits("runs".into());
    let command = agent.command().await;
    let mut others: Vec<_> = (0..WAITING_MAX)
        .map(|number| waits(format!("r{number}")))
        .collect();
    let at = eventually("one is answered", || async {
        others.iter().position(|asked| asked.is_finished())
    })
    .await;
    let first = others.swap_remove(at).await.unwrap();
    assert_eq!((first.success, &first.data["done"]), (true, &json!(false)));
    assert!(first.data["jobs"][0]["job_id"].is_string(), "{first:?}");
    done(&fixture, detection("beside")).await;
    assert!(!others.iter().any(|asked| asked.is_finished()), "no other one is");
    agent.answer(command.command_id, json!({}));
    assert_eq!(runs.await.unwrap().data["done"], true);
    // Which leaves room for one.
    let (next, after) = (waits("next".into()), waits("after".into()));
    let ends = eventually("one is answered again", || async {
        let ends = (next.is_finished(), after.is_finished());
        (ends.0 || ends.1).then_some(ends)
    })
    .await;
    assert_ne!(ends, (true, true), "and one waits");
}

#[actix::test]
async fn a_long_answer_is_made_again_from_its_jobs_and_not_kept() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (_, mut agent) = linked(&fixture).await;
    let waits = asked(&fixture, request(&fixture, "r", Some(60)));
    let command = agent.command().await;
    let output = "x".repeat(40 * 1024);
    agent.answer(command.command_id, json!({ "text": output }));
    let first = waits.await.unwrap();
    assert!(first.data.to_string().contains(&output));
    let fixture = fixture.restart().await;
    with_look(&fixture, &[]);
    let notes = fixture.store.scan(Table::LcCall, &[], None, 10).unwrap();
    assert_eq!(notes.len(), 2);
    assert!(
        notes.iter().all(|(_, note)| note.len() < 1_000),
        "only what it needs"
    );
    assert_eq!(done(&fixture, request(&fixture, "r", Some(60))).await, first);
    assert_eq!(done(&fixture, request(&fixture, "r", None)).await, first);
    assert_eq!(fixture.rows(Table::Job), 1, "it ran once");
}

#[actix::test]
async fn so_many_answers_about_subscriptions_are_remembered_and_another_such_call_comes_again() {
    const SUBSCRIPTIONS_KEPT_MAX: usize = 10_000;
    let fixture = Fixture::start();
    let install = |mid: &str| call("org_install", mid, json!({}));
    done(&fixture, install("i")).await;
    // As many calls would make them.
    let mut batch = Batch::new();
    for table in [Table::LcCall, Table::LcCallByTime] {
        let (key, value) = fixture.store.scan(table, &[], None, 1).unwrap().remove(0);
        for number in 1..SUBSCRIPTIONS_KEPT_MAX {
            batch.put(
                table,
                [&key, number.to_string().as_bytes()].concat(),
                value.clone(),
            );
        }
    }
    fixture.store.commit(batch, || {});
    let fixture = fixture.restart().await;
    assert_eq!(fixture.rows(Table::LcCall), SUBSCRIPTIONS_KEPT_MAX);
    for etype in ["org_install", "org_uninstall"] {
        let refused = say(&fixture, call(etype, "more", json!({}))).await.unwrap_err();
        assert_eq!(refused.code(), "busy");
    }
    done(&fixture, install("i")).await;
    done(&fixture, detection("m")).await;
    fixture.advance(25 * 3600 + 1);
    eventually("they are forgotten", || async {
        (fixture.rows(Table::LcCall) == 0).then_some(())
    })
    .await;
    done(&fixture, install("more")).await;
}

#[actix::test]
async fn a_request_names_so_many_hosts() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let selects = |mid: &str| {
        call(
            "request",
            mid,
            json!({ "job": "look", "selector": "platform=linux" }),
        )
    };
    for number in 0..REQUEST_HOSTS_MAX {
        fixture.enrol_in(Some(OID), &format!("h{number}")).await;
    }
    let most = done(&fixture, selects("most")).await;
    assert_eq!(
        most.data["jobs"].as_array().map(Vec::len),
        Some(REQUEST_HOSTS_MAX)
    );
    fixture.enrol_in(Some(OID), "one-more").await;
    let refused = say(&fixture, selects("more")).await.unwrap_err();
    assert_eq!(refused.code(), "bad_params");
    assert_eq!(fixture.rows(Table::Job), REQUEST_HOSTS_MAX);
}

#[actix::test]
async fn a_content_is_handed_out_where_there_is_room_for_it() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let bytes = crate::limacharlie::LOOK.len() as u64;
    let resource = |room| fixture.core.limacharlie_resource(org(), "job/look", room);
    let whole = resource(Some(bytes)).await.unwrap();
    assert_eq!(whole.content.map(|content| content.len() as u64), Some(bytes));
    assert_eq!(resource(Some(bytes - 1)).await.unwrap_err().code(), "too_large");
    let hash = resource(None).await.unwrap();
    assert_eq!((hash.sha256, hash.content), (whole.sha256, None));
}

/// Jobs of an org of which there may be news.
const NEWS_MAX: usize = 1_000;
/// Updates in an answer, and their bytes before the last one.
const UPDATES_MAX: usize = 16;
const UPDATES_BYTES_MAX: usize = 512 * 1024;

#[actix::test]
async fn so_many_updates_go_with_an_answer_and_so_many_jobs_of_an_org_are_told_at_all() {
    let fixture = Fixture::start();
    let fixture = fixture
        .restart_with(|setup| setup.config.jobs_per_host_max = 2 * NEWS_MAX as u32)
        .await;
    let (own, _agent) = linked(&fixture).await;
    for _ in 0..=NEWS_MAX {
        fixture.submit(own, vec![delete()]).await;
    }
    assert_eq!(fixture.rows(Table::Job), NEWS_MAX + 1);
    assert_eq!(fixture.rows(Table::LcNews), NEWS_MAX);
    assert_eq!(news(&fixture).len(), UPDATES_MAX);
    assert_eq!(news(&fixture).len(), UPDATES_MAX, "others");
}

#[actix::test]
async fn updates_go_with_an_answer_until_they_have_so_many_bytes() {
    let fixture = Fixture::start();
    let (own, mut agent) = linked(&fixture).await;
    for _ in 0..UPDATES_MAX {
        let job = fixture.submit(own, vec![delete()]).await;
        let command = agent.command().await;
        agent.answer(command.command_id, json!({ "text": "x".repeat(50 * 1024) }));
        assert_eq!(agent.ack().await, [command.command_id]);
        fixture.ended(job.job_id).await;
    }
    let first = news(&fixture);
    let bytes = |count: usize| -> usize {
        let all = first.iter().take(count);
        all.map(|update| serde_json::to_vec(update).unwrap().len()).sum()
    };
    assert!(first.len() < UPDATES_MAX, "{}", first.len());
    assert!(bytes(first.len() - 1) < UPDATES_BYTES_MAX && bytes(first.len()) >= UPDATES_BYTES_MAX);
    assert!(!news(&fixture).is_empty(), "the rest goes with the next");
}

#[actix::test]
async fn so_many_orgs_are_searched_for_a_sensor_whose_org_nobody_names() {
    const ORGS_MAX: u128 = 1_000;
    let fixture = Fixture::start();
    let sid = |number: u128| Uuid::from_u128(number << 64);
    for number in 1..=ORGS_MAX + 1 {
        let data = json!({ "sid": sid(number), "hostname": format!("h{number}") });
        let told = Call {
            oid: Some(Uuid::from_u128(number).to_string()),
            ..call("new_sensor", "n", data)
        };
        done(&fixture, told).await;
    }
    let found = |number: u128| fixture.core.get_host(None, sid(number).to_string());
    assert_eq!(found(ORGS_MAX).await.unwrap().hostname, format!("h{ORGS_MAX}"));
    assert_eq!(found(ORGS_MAX + 1).await.unwrap_err().code(), "not_found");
    let org = Uuid::from_u128(ORGS_MAX + 1).to_string().parse().unwrap();
    let named = fixture.core.get_host(Some(org), sid(ORGS_MAX + 1).to_string());
    assert!(named.await.is_ok());
}

#[actix::test]
async fn a_host_is_linked_to_so_many_sensors() {
    const SENSORS_MAX: u128 = 16;
    let fixture = Fixture::start();
    let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
    let sid = |number: u128| Uuid::from_u128(number).to_string();
    let link = async |number: u128| {
        let told = json!({ "sid": sid(number), "hostname": format!("h{number}") });
        done(&fixture, call("new_sensor", &format!("n{number}"), told)).await;
        let linked = fixture.core.link_host(Some(org()), own.to_string(), sid(number));
        linked.await.map(drop)
    };
    for number in 1..=SENSORS_MAX {
        link(number).await.unwrap();
    }
    assert_eq!(link(SENSORS_MAX + 1).await.unwrap_err().code(), "already_linked");
    let found = fixture.core.get_host(Some(org()), sid(SENSORS_MAX + 1)).await;
    assert_ne!(found.unwrap().host_id, own);
}

#[actix::test]
async fn the_ends_of_steps_are_told_while_the_job_goes_on() {
    let fixture = Fixture::start();
    let (own, mut agent) = linked(&fixture).await;
    let job = fixture.submit(own, vec![delete(), delete()]).await;
    let first = agent.command().await;
    assert_eq!(news(&fixture)[0].hist.len(), 1, "it was accepted");
    agent.answer(first.command_id, json!({}));
    let updates = eventually("the first step's end", || async {
        Some(news(&fixture)).filter(|updates| !updates.is_empty())
    })
    .await;
    assert_eq!(
        (updates[0].id.as_str(), updates[0].end),
        (job.job_id.to_string().as_str(), None)
    );
    let lines: Vec<&str> = updates[0].hist.iter().map(|line| line.msg.as_str()).collect();
    assert_eq!(lines, ["started on web-1", "step step1 succeeded"]);
    assert_eq!(agent.ack().await, [first.command_id]);
    agent.obey().await;
    let updates = eventually("its end", || async {
        Some(news(&fixture)).filter(|updates| !updates.is_empty())
    })
    .await;
    assert!(updates[0].end.is_some());
    assert_eq!(updates[0].hist.len(), 1, "its end alone: {updates:?}");
}
