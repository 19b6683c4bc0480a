//! Calls of LimaCharlie: handled once, over restarts; sensors that become hosts; requests; orgs that come and go.

use crate::fixture::{Agent, Fixture, delete, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_actors::store::Table;
use tripline_actors::{HostFilter, Refusal};
use tripline_protocol::limacharlie::{Answer, Call, JobUpdate, ServiceEtype};
use tripline_protocol::{HostId, Org, Span};

pub(crate) const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
const SID: &str = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";

pub(crate) const LOOK: &str = "name: look\nsteps: [ delete_file: { path: /tmp/x } ]\n";

pub(crate) fn org() -> Org {
    OID.parse().unwrap()
}

pub(crate) fn call(etype: &str, mid: &str, data: Value) -> Call {
    Call {
        version: None,
        oid: Some(OID.into()),
        mid: Some(mid.into()),
        deadline: None,
        jwt: None,
        tripdepth: None,
        etype: etype.into(),
        data,
    }
}

pub(crate) async fn say(fixture: &Fixture, call: Call) -> Result<Answer, Refusal> {
    let etype: ServiceEtype = call.etype.parse().unwrap();
    fixture.core.limacharlie_call(etype, call).await
}

pub(crate) async fn done(fixture: &Fixture, call: Call) -> Answer {
    let answer = say(fixture, call).await.unwrap();
    assert!(answer.success, "{answer:?}");
    answer
}

pub(crate) fn detection(mid: &str) -> Call {
    let routing = json!({ "sid": SID, "hostname": "web-1", "plat": 0x2000_0000, "int_ip": "10.0.0.9" });
    call("detection", mid, json!({ "cat": "x", "routing": routing }))
}

fn host_id() -> HostId {
    HostId::derive_limacharlie(&org(), SID.parse().unwrap())
}

pub(crate) fn with_look(fixture: &Fixture, pipelines: &[&str]) {
    let file = |text: &&str| SourceFile {
        path: "look.yaml".into(),
        text: (*text).into(),
    };
    let pipelines: Vec<SourceFile> = pipelines.iter().map(file).collect();
    let rules = RuleSet::parse(&pipelines, &[file(&LOOK)]).unwrap();
    fixture.core.set_rules(Arc::new(rules));
}

/// An agent's host of the org that is the sensor.
pub(crate) async fn linked(fixture: &Fixture) -> (HostId, Agent) {
    done(fixture, detection("link")).await;
    let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
    let agent = fixture.attach(own, "web-1").await;
    fixture
        .core
        .link_host(Some(org()), own.to_string(), SID.to_owned())
        .await
        .unwrap();
    (own, agent)
}

/// News for the org, noted as told.
pub(crate) fn news(fixture: &Fixture) -> Vec<JobUpdate> {
    let Some((updates, receipt)) = fixture.core.limacharlie_news(OID) else {
        return Vec::new();
    };
    receipt.written();
    updates
}

#[actix::test]
async fn a_repeated_message_is_handled_once_over_restarts_too() {
    let fixture = Fixture::start();
    let first = done(&fixture, detection("m")).await;
    assert_eq!(done(&fixture, detection("m")).await, first);
    assert_eq!(fixture.published(".events.", 1).await.len(), 1);
    let fixture = fixture.restart().await;
    assert_eq!(done(&fixture, detection("m")).await, first);
    done(&fixture, detection("n")).await;
    let events = fixture.published(".events.", 1).await;
    let ids: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_slice::<Value>(&event.payload).unwrap()["id"].clone())
        .collect();
    assert!(
        !ids.is_empty() && ids.iter().all(|id| id == "n" || id == "m"),
        "{ids:?}"
    );
    assert_eq!(fixture.rows(Table::LcCall), 2);
    let other = say(&fixture, call("log_event", "m", json!({}))).await.unwrap();
    assert_eq!(
        (other.success, other.retry),
        (false, Some(false)),
        "another call with this mid"
    );
}

#[actix::test]
async fn an_answer_is_forgotten_when_its_call_can_come_no_more() {
    let fixture = Fixture::start();
    done(&fixture, detection("m")).await;
    assert_eq!(fixture.rows(Table::LcCallByTime), 1);
    fixture.advance(25 * 3600 + 1);
    eventually("it is forgotten", || async {
        (fixture.rows(Table::LcCall) == 0).then_some(())
    })
    .await;
    assert_eq!(fixture.rows(Table::LcCallByTime), 0);
}

#[actix::test]
async fn what_cannot_be_taken_now_comes_again_and_is_handled_then() {
    let fixture = Fixture::start();
    let fixture = fixture.restart_with(|setup| setup.config.outbox_max = 0).await;
    let refused = say(&fixture, detection("m")).await.unwrap_err();
    assert_eq!(refused.code(), "busy");
    assert_eq!(fixture.rows(Table::LcCall), 0, "nothing was changed");
    assert_eq!(fixture.rows(Table::Host), 0);
    let fixture = fixture.restart_with(|setup| setup.config.outbox_max = 100).await;
    done(&fixture, detection("m")).await;
    assert_eq!(fixture.published(".events.", 1).await.len(), 1);
}

#[actix::test]
async fn a_sensor_becomes_a_host_that_its_calls_keep_up_to_date() {
    let fixture = Fixture::start();
    done(&fixture, detection("1")).await;
    let found = fixture.core.get_host(Some(org()), SID.to_owned()).await.unwrap();
    assert_eq!(
        (found.host_id, found.hostname.as_str(), found.platform.as_str()),
        (host_id(), "web-1", "linux")
    );
    let renamed = json!({ "sid": SID, "hostname": "web-2", "platform": "linux", "architecture": "x86_64", "int_ip": "10.0.0.10", "ext_ip": "" });
    done(&fixture, call("new_sensor", "2", renamed)).await;
    let found = fixture
        .core
        .get_host(Some(org()), "web-2".to_owned())
        .await
        .unwrap();
    assert_eq!(
        (found.host_id, found.addresses),
        (host_id(), vec!["10.0.0.10".to_owned()])
    );
    assert_eq!(
        fixture
            .core
            .get_host(Some(org()), "web-1".to_owned())
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
    assert_eq!(fixture.rows(Table::Host), 1);
    let event = fixture.published(".events.", 2).await.pop().unwrap();
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(
        (event["type"].as_str(), event["hostid"].as_str()),
        (Some("new_sensor"), Some(host_id().to_string().as_str()))
    );
}

#[actix::test]
async fn a_sensor_without_room_for_its_host_loses_no_event() {
    let fixture = Fixture::start();
    let fixture = fixture.restart_with(|setup| setup.config.hosts_max = 0).await;
    done(&fixture, detection("1")).await;
    assert_eq!(fixture.rows(Table::Host), 0);
    fixture.published(".events.", 1).await;
}

#[actix::test]
async fn a_linked_sensor_is_the_agents_host_until_it_is_parted() {
    let fixture = Fixture::start();
    let (own, agent) = linked(&fixture).await;
    let named = |name: String| fixture.core.get_host(Some(org()), name);
    assert_eq!(named(SID.to_owned()).await.unwrap().host_id, own);
    assert_eq!(named(own.to_string()).await.unwrap().sids, [SID]);
    assert_eq!(named(host_id().to_string()).await.unwrap().host_id, own);
    let listed = fixture
        .core
        .list_hosts(HostFilter {
            limit: 10,
            ..HostFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1, "they are one");
    assert_eq!(listed.items[0].sids, [SID]);
    let again = fixture
        .core
        .link_host(Some(org()), own.to_string(), SID.to_owned())
        .await;
    assert_eq!(again.unwrap_err().code(), "already_linked");
    let fixture = fixture.restart().await;
    drop(agent);
    assert_eq!(
        fixture
            .core
            .get_host(Some(org()), SID.to_owned())
            .await
            .unwrap()
            .host_id,
        own
    );
    fixture
        .core
        .unlink_host(Some(org()), SID.to_owned())
        .await
        .unwrap();
    assert_eq!(
        fixture
            .core
            .get_host(Some(org()), SID.to_owned())
            .await
            .unwrap()
            .host_id,
        host_id()
    );
    assert_eq!(fixture.rows(Table::LcLink), 0);
    let sids_of = |name: String| {
        let found = fixture.core.get_host(Some(org()), name);
        async move { found.await.unwrap().sids }
    };
    assert!(sids_of(own.to_string()).await.is_empty());
    assert_eq!(
        sids_of(SID.to_owned()).await,
        [SID],
        "its own record has it still"
    );
    let refused = fixture
        .core
        .unlink_host(Some(org()), SID.to_owned())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "not_linked");
}

pub(crate) fn request(fixture: &Fixture, mid: &str, seconds: Option<u64>) -> Call {
    Call {
        deadline: seconds.map(|seconds| fixture.now().after(Span::from_secs(seconds))),
        ..call("request", mid, json!({ "job": "look", "sid": SID }))
    }
}

#[actix::test]
async fn a_request_is_answered_with_results_that_come_in_time_and_its_repeats_with_the_same() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (own, mut agent) = linked(&fixture).await;
    let asked = |mid: &'static str| {
        let (core, call) = (fixture.core.clone(), request(&fixture, mid, Some(60)));
        actix::spawn(async move { core.limacharlie_call(ServiceEtype::Request, call).await })
    };
    let (first, repeat) = (asked("r"), asked("r"));
    let command = agent.command().await;
    assert!(
        !first.is_finished() && !repeat.is_finished(),
        "they wait for the result"
    );
    agent.answer(command.command_id, json!({}));
    let answer = first.await.unwrap().unwrap();
    assert_eq!(repeat.await.unwrap().unwrap(), answer);
    assert_eq!(answer.data["done"], true);
    let job = &answer.data["jobs"][0];
    assert_eq!(
        (&job["host_id"], &job["result"]["outcome"]),
        (&json!(own), &json!("succeeded"))
    );
    let fixture = fixture.restart().await;
    with_look(&fixture, &[]);
    assert_eq!(done(&fixture, request(&fixture, "r", Some(60))).await, answer);
    assert_eq!(fixture.rows(Table::Job), 1, "it ran once");
}

#[actix::test]
async fn a_request_that_nobody_waits_for_is_answered_with_its_jobs() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (_, mut agent) = linked(&fixture).await;
    let answer = done(&fixture, request(&fixture, "r", None)).await;
    assert_eq!(answer.data["done"], false);
    assert!(answer.data["jobs"][0].get("result").is_none());
    let soon = done(&fixture, request(&fixture, "s", Some(2))).await;
    assert_eq!(soon.data["done"], false, "less than the margin is left");
    agent.command().await;
}

#[actix::test]
async fn a_request_is_gone_on_with_after_a_restart_in_its_midst() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (own, mut agent) = linked(&fixture).await;
    let (core, first) = (fixture.core.clone(), request(&fixture, "r", Some(600)));
    let lost = actix::spawn(async move {
        core.limacharlie_call(ServiceEtype::Request, first)
            .await
            .map(drop)
    });
    agent.command().await;
    lost.abort();
    drop(lost.await);
    drop(agent);
    let fixture = fixture.restart().await;
    with_look(&fixture, &[]);
    let (core, again) = (fixture.core.clone(), request(&fixture, "r", Some(600)));
    let answer = actix::spawn(async move { core.limacharlie_call(ServiceEtype::Request, again).await });
    let job = eventually("the job is there", || async {
        let page = fixture
            .core
            .list_jobs(tripline_actors::JobFilter {
                limit: 10,
                ..Default::default()
            })
            .await
            .ok()?;
        assert!(page.items.len() <= 1, "the repeat makes no other job");
        page.items.into_iter().next()
    })
    .await;
    assert!(!answer.is_finished(), "it waits for the job's end");
    // Its agent does not know the command: it never arrived, and is sent again.
    let mut agent = fixture.attach(own, "web-1").await;
    let command = agent.command().await;
    agent.answer(command.command_id, json!({}));
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.data["done"], true);
    assert_eq!(answer.data["jobs"][0]["job_id"], json!(job.job_id));
}

#[actix::test]
async fn a_request_that_was_forgotten_runs_its_jobs_no_second_time() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (_, mut agent) = linked(&fixture).await;
    let (core, first) = (fixture.core.clone(), request(&fixture, "r", Some(60)));
    let asked = actix::spawn(async move { core.limacharlie_call(ServiceEtype::Request, first).await });
    let command = agent.command().await;
    agent.answer(command.command_id, json!({}));
    let first = asked.await.unwrap().unwrap();
    fixture.advance(25 * 3600 + 61);
    eventually("its answer is forgotten", || async {
        (fixture.rows(Table::LcCall) == 0).then_some(())
    })
    .await;
    let repeat = done(&fixture, request(&fixture, "r", None)).await;
    assert_eq!(repeat.data, first.data, "what became of the job then");
}

#[actix::test]
async fn an_org_whose_first_calls_cross_its_uninstall_has_left_after_a_restart() {
    let fixture = Fixture::start();
    fixture.publisher.set_away(true);
    let uninstall = call("org_uninstall", "u", json!({}));
    let (first, left) = tokio::join!(say(&fixture, detection("m")), say(&fixture, uninstall));
    assert!(first.is_ok() && left.unwrap().success);
    let fixture = fixture.restart().await;
    let refused = say(&fixture, detection("late")).await.unwrap();
    assert_eq!((refused.success, refused.retry), (false, Some(false)));
}

#[actix::test]
async fn a_request_under_way_is_answered_when_its_org_leaves() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    let (_, mut agent) = linked(&fixture).await;
    let (core, first) = (fixture.core.clone(), request(&fixture, "r", Some(600)));
    let asked = actix::spawn(async move { core.limacharlie_call(ServiceEtype::Request, first).await });
    agent.command().await;
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    eventually("it is answered", || async { asked.is_finished().then_some(()) }).await;
    let refused = asked.await.unwrap().unwrap();
    assert_eq!((refused.success, refused.retry), (false, Some(false)));
}

#[actix::test]
async fn a_request_with_wrong_parameters_changes_nothing() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    done(&fixture, detection("1")).await;
    for data in [
        json!({ "job": "look", "host": "nobody" }),
        json!({ "job": "burn", "sid": SID }),
        json!({ "job": "look", "sid": SID, "colour": "red" }),
        json!({ "job": "look", "selector": "label=none" }),
        // The sensor is a host, but no agent's: nothing would ever run there.
        json!({ "job": "look", "selector": "hostname=*" }),
    ] {
        let refused = say(&fixture, call("request", "r", data)).await.unwrap_err();
        assert!(
            !matches!(refused, Refusal::Busy { .. } | Refusal::Unavailable { .. }),
            "{refused:?}"
        );
    }
    assert_eq!((fixture.rows(Table::Job), fixture.rows(Table::LcCall)), (0, 1));
}

#[actix::test]
async fn jobs_of_a_subscribed_org_are_told_and_told_again_until_an_answer_was_written() {
    let fixture = Fixture::start();
    let (own, mut agent) = linked(&fixture).await;
    let job = fixture.submit(own, vec![delete()]).await;
    let command = agent.command().await;
    let other_form = OID.to_uppercase().replace('-', "");
    let news_of = || async { fixture.core.limacharlie_news(&other_form) };
    let (updates, receipt) = eventually("news", news_of).await;
    assert_eq!(updates.len(), 1);
    assert_eq!(
        (updates[0].id.as_str(), updates[0].end),
        (job.job_id.to_string().as_str(), None)
    );
    assert!(updates[0].start.is_some() && updates[0].cause.is_some());
    assert_eq!(updates[0].sid, [SID]);
    assert!(fixture.core.limacharlie_news(OID).is_none(), "it is on its way");
    // The connection was cut.
    drop(receipt);
    let again = eventually("it goes again", || async { fixture.core.limacharlie_news(OID) }).await;
    assert_eq!(again.0, updates);
    again.1.written();
    agent.answer(command.command_id, json!({}));
    let (end, receipt) = eventually("its end", || async { fixture.core.limacharlie_news(OID) }).await;
    assert!(
        end[0].end.is_some() && end[0].start.is_none() && end[0].cause.is_none(),
        "what is new alone: {end:?}"
    );
    let attached = serde_json::to_value(&end[0].hist).unwrap().to_string();
    assert!(
        attached.contains("\"att_type\":\"table\"") && attached.contains("\"att_type\":\"json\""),
        "{attached}"
    );
    drop(receipt);
    let fixture = fixture.restart().await;
    let after = eventually("it survives", || async {
        Some(news(&fixture)).filter(|news| !news.is_empty())
    })
    .await;
    assert_eq!(after, end);
    eventually("nothing is left", || async {
        (fixture.rows(Table::LcNews) == 0).then_some(())
    })
    .await;
}

#[actix::test]
async fn an_org_that_leaves_is_removed_whole_and_comes_back_when_it_subscribes_again() {
    let fixture = Fixture::start();
    with_look(&fixture, &[]);
    done(&fixture, call("org_install", "i", json!({}))).await;
    let (own, mut agent) = linked(&fixture).await;
    let other = fixture.enrol("elsewhere").await.host_id;
    let elsewhere = fixture.submit(other, vec![delete()]).await;
    let running = done(&fixture, request(&fixture, "r", None)).await;
    let command = agent.command().await;
    let waiting = fixture.submit(own, vec![delete()]).await;
    fixture.publisher.set_away(true);
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    let refused = say(&fixture, detection("late")).await.unwrap();
    assert_eq!((refused.success, refused.retry), (false, Some(false)));
    let again = say(&fixture, call("org_install", "j", json!({}))).await.unwrap();
    assert_eq!(
        (again.success, again.retry),
        (false, Some(true)),
        "it is being removed"
    );
    assert_eq!(agent.cancel().await, command.command_id);
    // Killed in the midst, with the broker away: what is begun goes on.
    drop(agent);
    let fixture = fixture.restart().await;
    // Its agent does not know the command: what was cancelled ends.
    let _agent = fixture.attach(own, "web-1").await;
    eventually("it is gone", || async {
        let purged = fixture.publisher.purged.lock().unwrap().len();
        (purged >= 5).then_some(())
    })
    .await;
    eventually("nothing is left", || async {
        let is_gone = |id: &Value| {
            let id = id.as_str().unwrap().parse().unwrap();
            fixture.core.get_job(None, id)
        };
        let first = is_gone(&running.data["jobs"][0]["job_id"]).await.is_err();
        let second = is_gone(&json!(waiting.job_id)).await.is_err();
        let rows = fixture.rows(Table::LcNews) + fixture.rows(Table::LcLink);
        (first && second && rows == 0).then_some(())
    })
    .await;
    assert!(
        fixture.core.get_job(None, elsewhere.job_id).await.is_ok(),
        "another org's job"
    );
    let hosts = fixture
        .core
        .list_hosts(HostFilter {
            limit: 10,
            ..HostFilter::default()
        })
        .await
        .unwrap();
    let mut left: Vec<HostId> = hosts.items.iter().map(|host| host.host_id).collect();
    left.sort();
    let mut own_hosts = vec![own, other];
    own_hosts.sort();
    assert_eq!(left, own_hosts, "agents' own hosts stay");
    let purged = fixture.publisher.purged.lock().unwrap().clone();
    assert!(purged.contains(&format!("tripline.events.{OID}.>")), "{purged:?}");
    assert!(
        !purged
            .iter()
            .any(|filter| filter.contains("audit") || filter.contains("default")),
        "{purged:?}"
    );
    eventually("it can come back", || async {
        let answer = say(&fixture, call("org_install", "k", json!({}))).await.unwrap();
        answer.success.then_some(())
    })
    .await;
    done(&fixture, detection("new")).await;
    // Late repeats of what was answered before.
    done(&fixture, call("org_uninstall", "u", json!({}))).await;
    done(&fixture, detection("newer")).await;
    done(&fixture, call("org_uninstall", "v", json!({}))).await;
    done(&fixture, call("org_install", "k", json!({}))).await;
    let refused = say(&fixture, detection("later")).await.unwrap();
    assert_eq!((refused.success, refused.retry), (false, Some(false)));
    let resource = fixture.core.limacharlie_resource(org(), "job/look", None);
    assert_eq!(resource.await.unwrap_err().code(), "not_subscribed");
}
