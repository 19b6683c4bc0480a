//! Services that are put at another place.

use super::*;
use tripline_actors::store::Table;
use tripline_protocol::api::Role;

const ELSEWHERE: &str = "http://elsewhere.example/";

/// The etypes of the calls to a place, in order.
fn told(caller: &ScriptedCaller, url: &str) -> Vec<String> {
    let calls = caller.calls.lock().unwrap();
    let there = calls.iter().filter(|call| call.service.url == url);
    there.map(|call| call.call.etype.clone()).collect()
}

fn default_org() -> Org {
    Org::default_org()
}

#[actix::test]
async fn at_another_place_it_says_what_it_wants_and_hears_of_its_orgs_before_it_gets_what_waited() {
    let caller = ScriptedCaller::wanting(&["org_install", "detection"], &["c"]);
    let fixture = start(&caller).await;
    let began = fixture.now();
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    caller.says("detection", vec![again()]);
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    view_when(&fixture, &name, |view| {
        view.waiting == 1 && view.calls == 0 && view.last_failure.is_some()
    })
    .await;
    let rights = |joined| fixture.core.service_rights(&name, &default_org(), joined);
    assert_eq!(rights(began), Some(Role::Viewer));

    caller.says("health", vec![reset()]);
    caller.says("detection", vec![done()]);
    let moved = body("yara", json!({ "url": ELSEWHERE }));
    let view = fixture.core.change_service(moved).await.unwrap();
    assert_eq!(view.wants, None);
    assert_eq!(rights(began), None, "given to whom it was before");
    // Nobody knows whether it wants this; what waits does so until it is known.
    publish(&fixture, 2, &[detection("c", 2)]).await.unwrap();
    heard(&fixture, &name, "health").await;
    fixture.advance(600);
    let view = heard(&fixture, &name, "health").await;
    assert_eq!((view.waiting, &view.wants), (1, &None));
    assert_eq!(told_of(&caller), ["health", "health"]);

    caller.says("health", vec![Ok(health(&["org_install", "detection"], &["d"]))]);
    caller.says("org_install", vec![again(), done()]);
    fixture.core.retry_service(name.clone()).await.unwrap();
    let installs = |count: usize| {
        let told =
            move |told: &Vec<String>| told.iter().filter(|etype| *etype == "org_install").count() == count;
        let caller = &caller;
        eventually("it is told of its org", move || async move {
            let told_there = told_of(caller);
            told(&told_there).then_some(told_there)
        })
    };
    let there = installs(1).await;
    assert!(!there.iter().any(|etype| etype == "detection"), "{there:?}");
    heard(&fixture, &name, "org_install").await;
    fixture.advance(2);
    installs(2).await;
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(
        (view.delivered, view.given_up),
        (3, 0),
        "two installations, one detection"
    );
    let there = told_of(&caller);
    assert_eq!(there.last().map(String::as_str), Some("detection"), "{there:?}");
    publish(&fixture, 3, &[detection("c", 3), detection("d", 4)])
        .await
        .unwrap();
    let calls = caller.called("detection", 3).await;
    assert_eq!(calls[2].data["cat"], "d");
    view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(fixture.rows(Table::ServiceDelivery), 0);
}

/// Waits until it is known that a call of now failed: before that the clock must not go on.
async fn heard(fixture: &Fixture, name: &Name, etype: &str) -> ServiceView {
    let now = fixture.now();
    view_when(fixture, name, |view| {
        let last = view.last_failure.as_ref();
        last.is_some_and(|last| last.at == now && last.etype == etype)
    })
    .await
}

fn told_of(caller: &ScriptedCaller) -> Vec<String> {
    told(caller, ELSEWHERE)
}

#[actix::test]
async fn a_service_of_the_configuration_that_moved_while_the_server_was_stopped_is_a_new_one_too() {
    let caller = ScriptedCaller::wanting(&["org_install", "detection"], &["c"]);
    let fixture = start(&caller).await;
    let began = fixture.now();
    let configure = async |fixture: &Fixture, more: Value| {
        let services = vec![registration("file", more)];
        fixture.core.configure_services(services).await.unwrap();
    };
    configure(&fixture, json!({})).await;
    let name: Name = "file".parse().unwrap();
    view_when(&fixture, &name, |view| view.delivered == 1).await;
    let rights = |fixture: &Fixture| fixture.core.service_rights(&name, &default_org(), began);
    let fixture = fixture.restart().await;
    join(&fixture, &caller).await;
    configure(&fixture, json!({})).await;
    view_when(&fixture, &name, |view| view.healthy_at.is_some()).await;
    assert_eq!(rights(&fixture), Some(Role::Viewer));
    assert_eq!(caller.calls("org_install").len(), 1);
    let fixture = fixture.restart().await;
    join(&fixture, &caller).await;
    configure(&fixture, json!({ "url": ELSEWHERE })).await;
    assert_eq!(rights(&fixture), None);
    view_when(&fixture, &name, |view| view.delivered == 1).await;
    assert_eq!(told_of(&caller), ["health", "org_install"]);
}

#[actix::test]
async fn what_was_under_way_at_the_old_place_goes_to_the_new_one_unless_it_was_done() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({ "attempts": 1 }))
        .await
        .spec
        .name;
    let gates: Vec<_> = (0..4).map(|_| caller.gate("detection")).collect();
    let of_sensor =
        |n: u128| json!({ "cat": "c", "sid": uuid::Uuid::from_u128(n), "data": { "n": n as u64 } });
    let events: Vec<_> = (0..4).map(|n| ("detection", of_sensor(n))).collect();
    publish(&fixture, 1, &events).await.unwrap();
    caller.called("detection", 4).await;
    let moved = body("yara", json!({ "url": ELSEWHERE, "attempts": 1 }));
    fixture.core.change_service(moved).await.unwrap();
    view_when(&fixture, &name, |view| view.wants.is_some()).await;
    let refused = Ok(json!({ "success": false, "error": "no" }));
    let answers = [
        Err(CallFailure::Status(401)),
        Err(CallFailure::Status(413)),
        refused,
        done(),
    ];
    for (gate, answer) in gates.into_iter().zip(answers) {
        gate.send(answer).unwrap();
    }
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!((view.delivered, view.given_up, view.last_failure), (4, 0, None));
    assert_eq!(view.state, tripline_protocol::api::ServiceState::Up);
    let there = told_of(&caller);
    assert_eq!(there, ["health", "detection", "detection", "detection"]);
}

#[actix::test]
async fn an_installation_under_way_at_the_old_place_is_not_told_where_nobody_wants_it() {
    let caller = ScriptedCaller::wanting(&["org_install", "detection"], &["c"]);
    let not_there = Ok(json!({ "success": false, "error": "not implemented" }));
    caller.says("org_install", vec![not_there]);
    let gate = caller.gate("org_install");
    let fixture = start(&caller).await;
    fixture
        .core
        .register_service(body("yara", json!({})))
        .await
        .unwrap();
    caller.called("org_install", 1).await;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    caller.says("health", vec![Ok(health(&["detection"], &["c"]))]);
    let moved = body("yara", json!({ "url": ELSEWHERE }));
    fixture.core.change_service(moved).await.unwrap();
    let name: Name = "yara".parse().unwrap();
    view_when(&fixture, &name, |view| view.wants.is_some() && view.waiting == 2).await;
    gate.send(reset()).unwrap();
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    let installed = [(default_org(), tripline_protocol::api::Installation::Installed)];
    assert_eq!(view.installations, installed.into());
    assert_eq!(told_of(&caller), ["health", "detection"]);
}

#[actix::test]
async fn nobody_is_asked_for_a_resource_where_it_is_not_known_yet_who_is_there() {
    let caller = ScriptedCaller::wanting(&["get_resource"], &[]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let get = || {
        let (core, name) = (fixture.core.clone(), name.clone());
        tokio::spawn(async move { core.service_resource(None, name, "rules".into()).await })
    };
    let gate = caller.gate("get_resource");
    let asked = get();
    caller.called("get_resource", 1).await;
    caller.says("health", vec![reset()]);
    let moved = body("yara", json!({ "url": ELSEWHERE }));
    fixture.core.change_service(moved).await.unwrap();
    let refused = |asked: Result<Result<_, Refusal>, _>| -> &'static str {
        let asked: Result<tripline_protocol::api::ServiceResource, Refusal> = asked.unwrap();
        asked.unwrap_err().code()
    };
    assert_eq!(refused(get().await), "service_failed");
    // What it told of before is not fetched from where it is now.
    let hash = tripline_protocol::Sha256::from_digest(&[7; 32]);
    let told = json!({ "success": true, "data": { "hash": hash, "res_cat": "lookup" } });
    gate.send(Ok(told)).unwrap();
    assert_eq!(refused(asked.await), "service_failed");
    assert!(!told_of(&caller).iter().any(|etype| etype == "get_resource"));
}
