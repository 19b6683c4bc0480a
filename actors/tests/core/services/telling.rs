//! What services tell in their answers: jobs, resources; and what their tasks come to.

use super::*;
use crate::fixture::{list, request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;
use tripline_actors::ServiceJobFilter;
use tripline_protocol::Sha256;
use tripline_protocol::api::SubmitJob;

fn filter(service: &Name, after: Option<String>, limit: usize) -> ServiceJobFilter {
    ServiceJobFilter {
        org: None,
        service: service.clone(),
        after,
        limit,
    }
}

#[actix::test]
async fn news_of_jobs_become_histories_page_by_page() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let told = |jobs: Value| Ok(json!({ "success": true, "jobs": jobs }));
    let script = vec![
        told(
            json!([{ "id": "a", "start": 1, "cause": "scan", "hist": [{ "ts": 1, "msg": "one" }] }, { "id": "b" }]),
        ),
        told(json!([{ "id": "a", "hist": [{ "ts": 2, "msg": "two" }], "end": 9 }])),
        done(),
    ];
    caller.says("detection", script);
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    view_when(&fixture, &name, |view| view.delivered == 1).await;
    fixture.advance(1);
    publish(&fixture, 2, &[detection("c", 2)]).await.unwrap();
    view_when(&fixture, &name, |view| view.delivered == 2).await;
    let page = fixture
        .core
        .list_service_jobs(filter(&name, None, 1))
        .await
        .unwrap();
    assert_eq!(page.items[0].id, "a", "heard of last");
    let texts: Vec<&str> = page.items[0]
        .history
        .iter()
        .map(|entry| entry.msg.as_str())
        .collect();
    assert_eq!(texts, ["one", "two"]);
    let page = fixture
        .core
        .list_service_jobs(filter(&name, page.next, 1))
        .await
        .unwrap();
    assert_eq!((page.items[0].id.as_str(), page.next), ("b", None));
    let fixture = fixture.restart().await;
    let job = fixture
        .core
        .get_service_job(None, name.clone(), "a".into())
        .await
        .unwrap();
    assert_eq!(job.cause, "scan");
    let other = Some("acme".parse().unwrap());
    let refused = fixture
        .core
        .get_service_job(other, name, "a".into())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "not_found");
}

fn resource(content: &[u8], with_data: bool) -> Result<Value, CallFailure> {
    let digest: [u8; 32] = sha2::Sha256::digest(content).into();
    let mut data = json!({ "hash": Sha256::from_digest(&digest), "res_cat": "lookup" });
    if with_data {
        data["res_data"] = json!(STANDARD.encode(content));
    }
    Ok(json!({ "success": true, "data": data }))
}

#[actix::test]
async fn a_resource_is_fetched_when_its_hash_changed_and_only_then() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let get = || fixture.core.service_resource(None, name.clone(), "rules".into());
    caller.says(
        "get_resource",
        vec![
            resource(b"one", false),
            resource(b"one", true),
            resource(b"one", false),
        ],
    );
    let first = get().await.unwrap();
    assert_eq!(first.res_data, STANDARD.encode(b"one"));
    assert_eq!(
        caller.calls("get_resource")[0].data,
        json!({ "resource": "rules", "is_include_data": false })
    );
    assert_eq!(get().await.unwrap(), first);
    assert_eq!(caller.calls("get_resource").len(), 3);
    caller.says(
        "get_resource",
        vec![resource(b"two", false), resource(b"two", true)],
    );
    assert_eq!(get().await.unwrap().res_data, STANDARD.encode(b"two"));
    // What does not fit its hash is not kept.
    let mut lie = resource(b"three", true);
    lie.as_mut().unwrap()["data"]["res_data"] = json!(STANDARD.encode(b"else"));
    caller.says("get_resource", vec![resource(b"three", false), lie]);
    assert_eq!(get().await.unwrap_err().code(), "bad_resource");
    caller.says(
        "get_resource",
        vec![Ok(json!({ "success": false, "error": "no such thing" }))],
    );
    assert_eq!(get().await.unwrap_err().code(), "service_failed");
}

#[actix::test]
async fn the_result_of_a_service_s_task_comes_back_to_it_as_a_detection() {
    let caller = ScriptedCaller::wanting(&["detection"], &["__svc-yara-ex"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let host = fixture.enrol("amelie").await;
    let task = |id: &str| SubmitJob {
        investigation_id: Some(id.to_owned()),
        ..request(host.host_id, vec![list()])
    };
    // With a token that came with a call which was one deep.
    let job = fixture
        .core
        .deep(1)
        .submit_job(task("svc-yara-ex/cb/j/a/b"))
        .await
        .unwrap();
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    let mine = |event: &Event| event.etype.as_str() == "detection";
    let event = eventually("the reply", || async {
        published_events(&fixture).into_iter().find(mine)
    })
    .await;
    assert_eq!(event.depth, 2);
    let payload = event.to_cloudevent();
    publish(&fixture, 1, &[("detection", payload)]).await.unwrap();
    let calls = caller.called("detection", 1).await;
    let data = &calls[0].data;
    assert_eq!(data["cat"], "__svc-yara-ex");
    assert_eq!(
        data["detect"]["routing"]["investigation_id"],
        "svc-yara-ex/cb/j/a/b"
    );
    assert_eq!(data["routing"]["sid"], json!(host.host_id));
    assert_eq!(data["detect"]["event"]["outcome"], "cancelled");
    assert_eq!(calls[0].jwt.as_ref().map(Jwt::reveal), Some("yara/default/2"));
    view_when(&fixture, &name, |view| view.delivered == 1).await;
    // At the end of the chain nothing more comes of it.
    let last = fixture
        .core
        .deep(8)
        .submit_job(task("svc-yara-ex/x"))
        .await
        .unwrap();
    fixture.core.cancel_job(None, last.job_id).await.unwrap();
    let other = fixture.core.submit_job(task("somebody-else")).await.unwrap();
    fixture.core.cancel_job(None, other.job_id).await.unwrap();
    fixture.published(".results.", 3).await;
    assert_eq!(
        published_events(&fixture)
            .iter()
            .filter(|event| mine(event))
            .count(),
        1
    );
    let refused = fixture.core.submit_job(task("")).await.unwrap_err();
    assert_eq!(refused.code(), "bad_investigation_id");
}

#[actix::test]
async fn so_many_jobs_are_kept_and_those_heard_of_last() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    // More in each answer than is taken.
    let script = (0..11).map(|n| {
        let jobs: Vec<Value> = (0..103)
            .map(|m| json!({ "id": format!("{n:02}-{m:03}") }))
            .collect();
        Ok(json!({ "success": true, "jobs": jobs }))
    });
    caller.says("detection", script.collect());
    for n in 1..=11 {
        fixture.advance(1);
        publish(&fixture, n, &[detection("c", n)]).await.unwrap();
        view_when(&fixture, &name, |view| view.delivered == n).await;
    }
    let page = fixture
        .core
        .list_service_jobs(filter(&name, None, 1_000))
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next), (1_000, None));
    let has = |id: &str| page.items.iter().any(|job| job.id == id);
    assert!(has("10-099") && !has("10-100"), "of an answer the first hundred");
    assert!(
        has("01-000") && !has("00-000"),
        "of all those that were heard of last"
    );
    assert_eq!(fixture.rows(tripline_actors::store::Table::ServiceJob), 1_000);
}

#[actix::test]
async fn so_many_resources_are_kept_and_none_that_is_too_long() {
    const KEPT: usize = 64;
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let get = |resource: String| fixture.core.service_resource(None, name.clone(), resource);
    for n in 0..KEPT + 3 {
        caller.says("get_resource", vec![resource(b"x", false), resource(b"x", true)]);
        get(format!("r{n}")).await.unwrap();
        fixture.advance(1);
    }
    let table = tripline_actors::store::Table::ServiceResource;
    assert_eq!(fixture.rows(table), KEPT);
    let first = fixture.store.get(table, b"yara\0r2").unwrap();
    let kept = fixture.store.get(table, b"yara\0r3").unwrap();
    assert!(first.is_none() && kept.is_some(), "what was fetched first went");
    let content = |bytes: usize| vec![b'x'; bytes];
    for (bytes, is_kept) in [(4 * 1024 * 1024, true), (4 * 1024 * 1024 + 1, false)] {
        caller.says(
            "get_resource",
            vec![resource(&content(bytes), false), resource(&content(bytes), true)],
        );
        assert_eq!(get("long".into()).await.is_ok(), is_kept, "{bytes}");
    }
    for bad in [String::new(), "x".repeat(257)] {
        assert_eq!(get(bad).await.unwrap_err().code(), "bad_resource");
    }
}

#[actix::test]
async fn so_many_requests_for_resources_are_under_way_at_once() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    caller.hang("yara");
    let ask = || {
        let (core, name) = (fixture.core.clone(), name.clone());
        tokio::spawn(async move { core.service_resource(None, name, "r".into()).await })
    };
    let _waiting: Vec<_> = (0..4).map(|_| ask()).collect();
    caller.called("get_resource", 4).await;
    assert_eq!(ask().await.unwrap().unwrap_err().code(), "busy");
}

#[actix::test]
async fn news_of_jobs_are_heard_in_any_answer() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let with_job = |answer: Value, id: &str| {
        let mut answer = answer;
        answer["jobs"] = json!([{ "id": id, "cause": id, "hist": [{ "ts": 1, "msg": "one" }] }]);
        Ok(answer)
    };
    caller.says(
        "health",
        vec![with_job(health(&["get_resource"], &[]), "of-health")],
    );
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    caller.says(
        "get_resource",
        vec![
            with_job(resource(b"x", false).unwrap(), "of-hash"),
            with_job(resource(b"x", true).unwrap(), "of-content"),
            with_job(json!({ "success": false, "error": "no" }), "of-refusal"),
        ],
    );
    let get = || fixture.core.service_resource(None, name.clone(), "rules".into());
    get().await.unwrap();
    assert_eq!(get().await.unwrap_err().code(), "service_failed");
    for (id, org) in [
        ("of-health", None),
        ("of-hash", Some(Org::default_org())),
        ("of-content", Some(Org::default_org())),
        ("of-refusal", Some(Org::default_org())),
    ] {
        let job = fixture.core.get_service_job(None, name.clone(), id.into());
        let job = job.await.unwrap();
        assert_eq!((job.cause.as_str(), job.org, job.history.len()), (id, org, 1));
    }
}

/// Replaces a row by what nobody can read; returns what puts it back.
pub(super) fn spoil(
    fixture: &Fixture,
    table: tripline_actors::store::Table,
    key: &[u8],
) -> impl FnOnce() + use<> {
    let (store, own) = (fixture.store.clone(), key.to_vec());
    let put = move |value: Vec<u8>| {
        let mut batch = tripline_actors::store::Batch::new();
        batch.put(table, own.clone(), value);
        store.commit(batch, || {});
    };
    let row = fixture.store.get(table, key).unwrap().unwrap();
    put(b"unreadable".to_vec());
    move || put(row)
}

#[actix::test]
async fn a_page_of_jobs_ends_where_their_histories_are_long_and_none_of_another_org_is_read() {
    /// Bytes of jobs after which a page ends.
    const PAGE: usize = 1024 * 1024;
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let orgs = json!({ "orgs": ["default", "acme"] });
    let name = register(&fixture, "yara", orgs).await.spec.name;
    let long = "x".repeat(PAGE / 5);
    for n in 0..8 {
        let job = json!({ "id": format!("j{n}"), "hist": [{ "ts": 1, "msg": long }] });
        caller.says("detection", vec![Ok(json!({ "success": true, "jobs": [job] }))]);
        fixture.advance(1);
        publish(&fixture, n + 1, &[detection("c", n)]).await.unwrap();
        view_when(&fixture, &name, |view| view.delivered == n + 1).await;
    }
    let list = |after, org: Option<&str>| {
        fixture.core.list_service_jobs(ServiceJobFilter {
            org: org.map(|org| org.parse().unwrap()),
            ..filter(&name, after, 1_000)
        })
    };
    let ids = |page: &tripline_protocol::api::Page<tripline_protocol::api::ServiceJobView>| -> Vec<String> {
        page.items.iter().map(|job| job.id.clone()).collect()
    };
    let first = list(None, None).await.unwrap();
    assert_eq!(ids(&first), ["j7", "j6", "j5", "j4", "j3"]);
    let second = list(first.next, None).await.unwrap();
    assert_eq!(ids(&second), ["j2", "j1", "j0"]);
    assert_eq!(second.next, None);
    let put_back = spoil(&fixture, tripline_actors::store::Table::ServiceJob, b"yara\0j7");
    assert_eq!(ids(&list(None, Some("acme")).await.unwrap()), [""; 0]);
    put_back();
}

#[actix::test]
async fn a_service_that_asks_another_for_a_resource_is_one_deeper_until_that_ends() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    caller.says("get_resource", vec![resource(b"x", false), resource(b"x", true)]);
    let deep = |depth: u8| {
        let (core, name) = (fixture.core.deep(depth), name.clone());
        async move { core.service_resource(None, name, "rules".into()).await }
    };
    deep(7).await.unwrap();
    let calls = caller.calls("get_resource");
    let tokens: Vec<_> = calls
        .iter()
        .map(|call| call.jwt.as_ref().map(Jwt::reveal))
        .collect();
    assert_eq!(tokens, [Some("yara/default/8"); 2]);
    assert_eq!(deep(8).await.unwrap_err().code(), "too_deep");
}

#[actix::test]
async fn no_resource_is_read_to_make_room_for_another() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let get = |resource: &str| fixture.core.service_resource(None, name.clone(), resource.into());
    caller.says("get_resource", vec![resource(b"x", false), resource(b"x", true)]);
    get("one").await.unwrap();
    let put_back = spoil(
        &fixture,
        tripline_actors::store::Table::ServiceResource,
        b"yara\0one",
    );
    caller.says("get_resource", vec![resource(b"x", false), resource(b"x", true)]);
    get("two").await.unwrap();
    put_back();
}
