//! What services are asked for: held to what they take, delivered as any message, and kept with what became of it.

use super::*;
use tripline_actors::store::Table;
use tripline_actors::{Once, ServiceRequestFilter};
use tripline_protocol::api::{AskService, ServiceRequestState, ServiceRequestView};
use uuid::Uuid;

/// One that takes requests with a parameter of each type.
fn taking() -> Arc<ScriptedCaller> {
    let caller = ScriptedCaller::wanting(&["request"], &[]);
    let params = json!({
        "action": { "type": "enum", "values": ["scan", "stop"], "desc": "what to do", "is_required": true },
        "depth": { "type": "int" }, "deep": { "type": "bool" }, "path": { "type": "str" },
        "sid": { "type": "sid" }, "scan": { "type": "uuid" }, "when": { "type": "float" },
    });
    let mtd = json!({ "callbacks": ["request"], "detect_subscriptions": [], "request_params": params });
    let said = json!({ "success": true, "data": { "version": 1, "start_time": 1, "calls_in_progress": 1, "mtd": mtd } });
    caller.says("health", vec![Ok(said)]);
    caller
}

fn asking(params: Value) -> AskService {
    serde_json::from_value(json!({ "params": params })).unwrap()
}

async fn ask(fixture: &Fixture, params: Value) -> Result<ServiceRequestView, Refusal> {
    let name = "yara".parse().unwrap();
    fixture.core.ask_service(name, asking(params), None).await
}

async fn get(fixture: &Fixture, id: Uuid) -> Result<ServiceRequestView, Refusal> {
    let name = "yara".parse().unwrap();
    fixture.core.get_service_request(None, name, id).await
}

async fn ended(fixture: &Fixture, id: Uuid) -> ServiceRequestView {
    eventually("the request has ended", || async {
        let view = get(fixture, id).await.unwrap();
        view.state.is_end().then_some(view)
    })
    .await
}

#[actix::test]
async fn a_request_reaches_its_service_and_the_answer_is_kept() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    let said = json!({
        "success": true, "data": { "found": 3, "said": "eyJh.eyJb.c", "signed with": ["s3cr3t"] },
        "jobs": [{ "id": "j1", "cause": "a scan" }],
    });
    caller.says("request", vec![Ok(said)]);
    let params = json!({ "action": "scan", "depth": 2, "deep": null, "more": [1] });
    let asked = ask(&fixture, params).await.unwrap();
    assert_eq!(asked.state, ServiceRequestState::Waiting);
    let view = ended(&fixture, asked.id).await;
    assert_eq!(view.state, ServiceRequestState::Done);
    let shown = json!({ "found": 3, "said": "…", "signed with": ["…"] });
    assert_eq!(view.data, Some(shown));
    assert_eq!(
        (view.jobs, view.error, view.attempts),
        (vec!["j1".to_owned()], None, 1)
    );
    let call = &caller.calls("request")[0];
    assert_eq!(
        call.data,
        json!({ "action": "scan", "depth": 2, "more": [1] }),
        "null is absent, and unknown ones pass"
    );
    assert_eq!(call.mid, Some(asked.id.to_string()));
    assert_eq!(call.jwt.as_ref().map(|jwt| jwt.reveal()), Some("yara/default/0"));
    let job = fixture
        .core
        .get_service_job(None, "yara".parse().unwrap(), "j1".into())
        .await;
    assert_eq!(job.unwrap().cause, "a scan");
    let fixture = fixture.restart().await;
    assert_eq!(
        get(&fixture, asked.id).await.unwrap().state,
        ServiceRequestState::Done
    );
}

#[actix::test]
async fn parameters_are_refused_in_the_words_of_the_reference_implementation() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    for (params, error) in [
        (json!({}), "missing parameter action"),
        (json!({ "action": null }), "missing parameter action"),
        (
            json!({ "action": 7 }),
            "invalid parameter action: wrong data type",
        ),
        (
            json!({ "action": "burn" }),
            "invalid parameter action: enum has invalid value",
        ),
        (
            json!({ "depth": "2" }),
            "invalid parameter depth: wrong data type",
        ),
        (
            json!({ "depth": 2.5 }),
            "invalid parameter depth: wrong data type",
        ),
        (json!({ "deep": 1 }), "invalid parameter deep: wrong data type"),
        (
            json!({ "path": false }),
            "invalid parameter path: wrong data type",
        ),
        (
            json!({ "sid": "web-1" }),
            "invalid parameter sid: wrong data type",
        ),
        (json!({ "scan": [] }), "invalid parameter scan: wrong data type"),
    ] {
        let refused = ask(&fixture, params).await.unwrap_err();
        let Refusal::Invalid { code, detail } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((code, detail.as_str()), ("bad_params", error));
    }
    assert!(caller.calls("request").is_empty());
    let fits = json!({
        "action": "stop", "depth": 2, "deep": true, "path": "/", "sid": Uuid::nil(), "scan": Uuid::nil(), "when": 0.5,
    });
    let asked = ask(&fixture, fits.clone()).await.unwrap();
    ended(&fixture, asked.id).await;
    assert_eq!(caller.calls("request")[0].data, fits);
}

#[actix::test]
async fn who_takes_no_requests_or_is_not_known_yet_is_not_asked() {
    let caller = ScriptedCaller::wanting(&["detection"], &[]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({ "orgs": ["acme", "default"] })).await;
    assert_eq!(ask(&fixture, json!({})).await.unwrap_err().code(), "org_needed");
    let name: Name = "yara".parse().unwrap();
    let for_org = |org: &str| AskService {
        org: Some(org.parse().unwrap()),
        ..asking(json!({}))
    };
    for (asked, code) in [
        (for_org("acme"), "service_failed"),
        (for_org("other"), "not_found"),
    ] {
        let refused = fixture.core.ask_service(name.clone(), asked, None).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    caller.says("health", vec![reset()]);
    fixture
        .core
        .register_service(body("late", json!({})))
        .await
        .unwrap();
    let refused = fixture
        .core
        .ask_service("late".parse().unwrap(), asking(json!({})), None)
        .await;
    assert_eq!(refused.unwrap_err().code(), "service_failed");
    let refused = fixture
        .core
        .ask_service("nobody".parse().unwrap(), asking(json!({})), None)
        .await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    assert!(caller.calls("request").is_empty());
}

#[actix::test]
async fn a_request_is_tried_again_over_a_restart_and_given_up_in_the_end() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({ "attempts": 3 })).await;
    caller.says("request", vec![again()]);
    let asked = ask(&fixture, json!({ "action": "scan" })).await.unwrap();
    let tried = eventually("it was tried", || async {
        let view = get(&fixture, asked.id).await.unwrap();
        (view.attempts == 1).then_some(view)
    })
    .await;
    assert_eq!(
        (tried.state, tried.error.as_deref()),
        (ServiceRequestState::Waiting, Some("later"))
    );
    let fixture = fixture.restart().await;
    join(&fixture, &caller).await;
    for attempts in [2, 3] {
        fixture.advance(10);
        // The clock goes on only when an answer was heard.
        eventually("it was tried again", || async {
            let view = get(&fixture, asked.id).await.unwrap();
            (view.attempts == attempts).then_some(())
        })
        .await;
    }
    assert_eq!(caller.calls("request").len(), 3);
    let view = ended(&fixture, asked.id).await;
    assert_eq!(
        (view.state, view.error.as_deref(), view.attempts),
        (ServiceRequestState::GivenUp, Some("later"), 3)
    );
    let mids: std::collections::BTreeSet<_> =
        caller.calls("request").into_iter().map(|call| call.mid).collect();
    assert_eq!(mids.len(), 1, "the same on every attempt");
    caller.says(
        "request",
        vec![Ok(json!({ "success": false, "error": "no such sensor" }))],
    );
    let asked = ask(&fixture, json!({ "action": "scan" })).await.unwrap();
    let view = ended(&fixture, asked.id).await;
    assert_eq!(
        (view.state, view.error.as_deref()),
        (ServiceRequestState::Refused, Some("no such sensor"))
    );
}

#[actix::test]
async fn a_request_that_a_wrong_secret_holds_up_says_so() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    caller.says("request", vec![Err(CallFailure::Status(401)), done()]);
    let asked = ask(&fixture, json!({ "action": "scan" })).await.unwrap();
    let held = eventually("it says so", || async {
        let view = get(&fixture, asked.id).await.unwrap();
        view.error.is_some().then_some(view)
    })
    .await;
    assert_eq!((held.state, held.attempts), (ServiceRequestState::Waiting, 0));
    assert!(held.error.unwrap().contains("is the secret right?"));
    fixture
        .core
        .change_service(body("yara", json!({})))
        .await
        .unwrap();
    let view = ended(&fixture, asked.id).await;
    assert_eq!((view.state, view.error), (ServiceRequestState::Done, None));
}

#[actix::test]
async fn the_same_key_is_the_same_request_and_what_waits_for_an_org_that_leaves_is_dropped() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(
        &fixture,
        "yara",
        json!({ "orgs": ["acme", "default"], "in_flight": 1 }),
    )
    .await;
    caller.hang("yara");
    let name: Name = "yara".parse().unwrap();
    let asked = |key: &str| {
        let body = AskService {
            org: Some("acme".parse().unwrap()),
            ..asking(json!({ "action": "scan" }))
        };
        let once = Once::new("token", key, "requests", &body).unwrap();
        fixture.core.ask_service(name.clone(), body, Some(once))
    };
    let first = asked("a").await.unwrap();
    caller.called("request", 1).await;
    let second = asked("b").await.unwrap();
    assert_eq!(asked("b").await.unwrap().id, second.id);
    let page = |after: Option<String>| {
        let filter = ServiceRequestFilter {
            org: None,
            service: name.clone(),
            after,
            limit: 1,
        };
        fixture.core.list_service_requests(filter)
    };
    let newest = page(None).await.unwrap();
    assert_eq!(newest.items[0].id, second.id, "the newest first");
    let last = page(newest.next).await.unwrap();
    assert_eq!((last.items[0].id, last.next), (first.id, None));
    assert_eq!(page(Some("x".into())).await.unwrap_err().code(), "bad_cursor");
    let other = fixture
        .core
        .get_service_request(Some(Org::default_org()), name.clone(), second.id);
    assert_eq!(other.await.unwrap_err().code(), "not_found");
    let change = body("yara", json!({ "in_flight": 1 }));
    fixture.core.change_service(change).await.unwrap();
    let view = ended(&fixture, second.id).await;
    assert_eq!(view.state, ServiceRequestState::Dropped);
    assert_eq!(
        get(&fixture, first.id).await.unwrap().state,
        ServiceRequestState::Waiting,
        "it is under way"
    );
    fixture.core.remove_service(name.clone()).await.unwrap();
    eventually("nothing is left", || async {
        let rows = fixture.store.count(Table::ServiceRequest).unwrap();
        let waiting = fixture.store.count(Table::ServiceDelivery).unwrap();
        (rows + waiting == 0).then_some(())
    })
    .await;
}

#[actix::test]
async fn a_list_of_an_org_s_requests_reads_none_of_another() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({ "orgs": ["acme", "default"] })).await;
    let name: Name = "yara".parse().unwrap();
    let asked = |org: &str| AskService {
        org: Some(org.parse().unwrap()),
        ..asking(json!({ "action": "scan" }))
    };
    let own = fixture.core.ask_service(name.clone(), asked("default"), None);
    let own = ended(&fixture, own.await.unwrap().id).await;
    let other = fixture.core.ask_service(name.clone(), asked("acme"), None);
    let other = ended(&fixture, other.await.unwrap().id).await;
    let key = [&b"yara\0"[..], other.id.as_bytes()].concat();
    let put_back = super::telling::spoil(&fixture, Table::ServiceRequest, &key);
    let filter = ServiceRequestFilter {
        org: Some(Org::default_org()),
        service: name,
        after: None,
        limit: 1_000,
    };
    let page = fixture.core.list_service_requests(filter).await.unwrap();
    assert_eq!((page.items, page.next), (vec![own], None));
    put_back();
}

#[actix::test]
async fn requests_are_bounded_in_number_and_bytes_and_the_oldest_that_ended_go() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({ "in_flight": 64 })).await;
    let long = |bytes: usize| json!({ "action": "scan", "path": "x".repeat(bytes) });
    let around = long(0).to_string().len();
    let too_long = ask(&fixture, long(64 * 1024 - around + 1)).await;
    assert_eq!(too_long.unwrap_err().code(), "too_large");
    let fits = ask(&fixture, long(64 * 1024 - around)).await.unwrap();
    ended(&fixture, fits.id).await;
    for (bytes, is_kept) in [(256 * 1024 - 2, true), (256 * 1024 - 1, false)] {
        let said = json!({ "success": true, "data": "x".repeat(bytes) });
        caller.says("request", vec![Ok(said)]);
        let asked = ask(&fixture, json!({ "action": "scan" })).await.unwrap();
        let view = ended(&fixture, asked.id).await;
        assert_eq!(view.data.is_some(), is_kept);
        assert_eq!(view.data_omitted_bytes.is_none(), is_kept);
    }
    caller.says("request", vec![done()]);
    let mut last = fits.id;
    for _ in 0..500 {
        last = ask(&fixture, json!({ "action": "scan" })).await.unwrap().id;
        ended(&fixture, last).await;
    }
    assert_eq!(fixture.store.count(Table::ServiceRequest).unwrap(), 500);
    assert_eq!(get(&fixture, fits.id).await.unwrap_err().code(), "not_found");
    assert!(get(&fixture, last).await.is_ok());
    a_page_is_no_longer_than_it_may_be(&fixture, &caller).await;
    caller.hang("yara");
    for _ in 0..100 {
        ask(&fixture, json!({ "action": "scan" })).await.unwrap();
    }
    let refused = ask(&fixture, json!({ "action": "scan" })).await;
    assert_eq!(refused.unwrap_err().code(), "busy");
}

async fn a_page_is_no_longer_than_it_may_be(fixture: &Fixture, caller: &ScriptedCaller) {
    let said = json!({ "success": true, "data": "x".repeat(256 * 1024 - 2) });
    caller.says("request", vec![Ok(said)]);
    for _ in 0..20 {
        let asked = ask(fixture, json!({ "action": "scan" })).await.unwrap();
        ended(fixture, asked.id).await;
    }
    let filter = |after: Option<String>| ServiceRequestFilter {
        org: None,
        service: "yara".parse().unwrap(),
        after,
        limit: 20,
    };
    let page = fixture.core.list_service_requests(filter(None)).await.unwrap();
    assert_eq!(page.items.len(), 16, "the sixteenth goes beyond 4 MiB");
    let rest = fixture
        .core
        .list_service_requests(filter(page.next))
        .await
        .unwrap();
    assert_eq!(rest.items.len(), 20);
    assert!(rest.items[3].data.is_some() && rest.items[4].data == Some(json!({})));
}

#[actix::test]
async fn a_service_that_asks_another_is_one_deeper_until_that_ends() {
    let caller = taking();
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    let name: Name = "yara".parse().unwrap();
    let deep = |depth: u8| {
        let core = fixture.core.deep(depth);
        let name = name.clone();
        async move {
            core.ask_service(name, asking(json!({ "action": "scan" })), None)
                .await
        }
    };
    deep(7).await.unwrap();
    let call = caller.called("request", 1).await.remove(0);
    assert_eq!(call.jwt.as_ref().map(|jwt| jwt.reveal()), Some("yara/default/8"));
    assert_eq!(deep(8).await.unwrap_err().code(), "too_deep");
}
