//! Services come, change and go.

use super::*;
use tripline_actors::store::Table;
use tripline_protocol::api::{Installation, Role, ServiceState};

/// The rows that are kept of services.
const TABLES: [Table; 8] = [
    Table::Service,
    Table::ServiceSecret,
    Table::ServiceOrg,
    Table::ServiceDelivery,
    Table::ServiceEvent,
    Table::ServiceEventUse,
    Table::ServiceJob,
    Table::ServiceResource,
];

fn org(name: &str) -> Org {
    name.parse().unwrap()
}

#[actix::test]
async fn orgs_are_told_when_they_come_and_when_they_go_and_a_removed_service_leaves_nothing() {
    let caller = ScriptedCaller::wanting(&["org_install", "org_uninstall", "detection"], &["c"]);
    caller.says("org_install", vec![again(), done()]);
    let fixture = start(&caller).await;
    let name: Name = "yara".parse().unwrap();
    fixture
        .core
        .register_service(body("yara", json!({})))
        .await
        .unwrap();
    caller.called("org_install", 1).await;
    let began = fixture.now();
    // It waits behind the installation.
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    let view = fixture.core.get_service(None, name.clone()).await.unwrap();
    assert_eq!(
        view.installations,
        [(org("default"), Installation::Pending)].into()
    );
    assert_eq!(caller.calls("detection"), []);
    fixture.advance(2);
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(
        view.installations,
        [(org("default"), Installation::Installed)].into()
    );
    assert_eq!(
        (caller.calls("org_install").len(), caller.calls("detection").len()),
        (2, 1)
    );
    assert_eq!(
        fixture.core.service_rights(&name, &org("default"), began),
        Some(Role::Viewer)
    );

    let moved_at = fixture.now();
    let moved = body("yara", json!({ "orgs": ["acme"], "rights": "operator" }));
    fixture.core.change_service(moved).await.unwrap();
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(
        view.installations,
        [(org("acme"), Installation::Installed)].into()
    );
    assert_eq!(caller.calls("org_uninstall").len(), 1);
    assert_eq!(fixture.core.service_rights(&name, &org("default"), began), None);
    assert_eq!(
        fixture.core.service_rights(&name, &org("acme"), moved_at),
        Some(Role::Operator)
    );

    fixture.core.remove_service(name.clone()).await.unwrap();
    assert_eq!(fixture.core.service_rights(&name, &org("acme"), moved_at), None);
    let gone = fixture.core.get_service(None, name.clone()).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");
    caller.called("org_uninstall", 2).await;
    eventually("its rows are gone", || async {
        TABLES.iter().all(|table| fixture.rows(*table) == 0).then_some(())
    })
    .await;
    // And it can come again, with other tokens.
    register(&fixture, "yara", json!({})).await;
    let installed = |view: &ServiceView| view.installations.contains_key(&org("default"));
    view_when(&fixture, &name, installed).await;
    let rights = |joined| fixture.core.service_rights(&name, &org("default"), joined);
    assert_eq!((rights(began), rights(fixture.now())), (None, Some(Role::Viewer)));
}

#[actix::test]
async fn what_waited_for_an_org_that_the_service_refuses_is_not_delivered() {
    let caller = ScriptedCaller::wanting(&["org_install", "detection"], &["c"]);
    let refused = Ok(json!({ "success": false, "error": "not you" }));
    caller.says("org_install", vec![again(), refused]);
    let fixture = start(&caller).await;
    let registered = fixture.core.register_service(body("yara", json!({}))).await;
    let name: Name = registered.unwrap().spec.name;
    caller.called("org_install", 1).await;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    // Its first answer was heard.
    view_when(&fixture, &name, |view| view.waiting == 2 && view.calls == 0).await;
    fixture.advance(2);
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(
        view.installations,
        [(org("default"), Installation::Refused)].into()
    );
    assert_eq!((caller.calls("detection"), view.given_up), (Vec::new(), 1));
    assert_eq!(fixture.rows(Table::ServiceDelivery), 0);
}

#[actix::test]
async fn a_refused_org_gets_nothing_and_is_asked_again_after_an_hour() {
    let caller = ScriptedCaller::wanting(&["org_install", "detection"], &["c"]);
    let refused = Ok(json!({ "success": false, "error": "not you" }));
    caller.says("org_install", vec![refused, done()]);
    let fixture = start(&caller).await;
    let view = register(&fixture, "yara", json!({})).await;
    let name: Name = view.spec.name;
    let view = view_when(&fixture, &name, |view| !view.installations.is_empty()).await;
    assert_eq!(
        view.installations,
        [(org("default"), Installation::Refused)].into()
    );
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    assert_eq!(fixture.rows(Table::ServiceDelivery), 0);
    let rights = fixture.core.service_rights(&name, &org("default"), fixture.now());
    assert_eq!(rights, None);
    fixture.advance(3_601);
    caller.called("org_install", 2).await;
    let installed = |view: &ServiceView| view.installations[&org("default")] == Installation::Installed;
    view_when(&fixture, &name, installed).await;
}

#[actix::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let caller = ScriptedCaller::wanting(&[], &[]);
    let fixture = start(&caller).await;
    register(&fixture, "api", json!({})).await;
    fixture
        .core
        .configure_services(vec![registration("file", json!({}))])
        .await
        .unwrap();
    let core = &fixture.core;
    let before = core.list_services(None).await.unwrap().len();
    let without = ServiceBody {
        secret: None,
        ..body("new", json!({}))
    };
    for (refused, code) in [
        (
            core.register_service(body("api", json!({}))).await.map(drop),
            "service_exists",
        ),
        (core.register_service(without).await.map(drop), "secret_needed"),
        (
            core.register_service(body("new", json!({ "url": "x" })))
                .await
                .map(drop),
            "bad_service",
        ),
        (
            core.change_service(body("new", json!({}))).await.map(drop),
            "not_found",
        ),
        (
            core.change_service(body("file", json!({}))).await.map(drop),
            "service_configured",
        ),
        (
            core.remove_service("file".parse().unwrap()).await,
            "service_configured",
        ),
        (core.remove_service("new".parse().unwrap()).await, "not_found"),
        (
            core.configure_services(vec![registration("a", json!({})), registration("a", json!({}))])
                .await,
            "bad_service",
        ),
    ] {
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let views = core.list_services(None).await.unwrap();
    assert_eq!(views.len(), before);
    assert!(!format!("{views:?}").contains("s3cr3t"));
    assert_eq!(core.list_services(Some(org("acme"))).await.unwrap(), []);
}

#[actix::test]
async fn what_changes_with_the_services_of_the_configuration_changes_only_when_they_are_taken() {
    let caller = ScriptedCaller::wanting(&[], &[]);
    let fixture = start(&caller).await;
    let changed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let configure = |services: Vec<Registration>| {
        let changed = Arc::clone(&changed);
        // Before any of them is called.
        let calls = Arc::clone(&caller);
        fixture.core.configure_services_with(services, move || {
            assert_eq!(calls.calls("health"), []);
            changed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })
    };
    let twice = vec![registration("a", json!({})), registration("a", json!({}))];
    assert_eq!(configure(twice).await.unwrap_err().code(), "bad_service");
    assert_eq!(changed.load(std::sync::atomic::Ordering::Relaxed), 0);
    configure(vec![registration("a", json!({}))]).await.unwrap();
    assert_eq!(changed.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[actix::test]
async fn the_configuration_adds_changes_and_removes_its_own_and_takes_names_over() {
    let caller = ScriptedCaller::wanting(&["org_uninstall"], &[]);
    let fixture = start(&caller).await;
    register(&fixture, "kept", json!({})).await;
    register(&fixture, "taken", json!({})).await;
    let both = vec![
        registration("taken", json!({ "in_flight": 9 })),
        registration("own", json!({})),
    ];
    fixture.core.configure_services(both).await.unwrap();
    let names = |views: Vec<ServiceView>| -> Vec<(String, bool)> {
        views
            .into_iter()
            .map(|view| (view.spec.name.to_string(), view.configured))
            .collect()
    };
    let expected = [("kept", false), ("own", true), ("taken", true)];
    let expected = expected.map(|(name, configured)| (name.to_owned(), configured));
    assert_eq!(names(fixture.core.list_services(None).await.unwrap()), expected);
    assert_eq!(
        fixture.rows(Table::ServiceSecret),
        1,
        "secrets of the configuration are not kept"
    );
    let own: Name = "own".parse().unwrap();
    view_when(&fixture, &own, |view| view.state == ServiceState::Up).await;
    fixture
        .core
        .configure_services(vec![registration("own", json!({ "attempts": 7 }))])
        .await
        .unwrap();
    assert_eq!(
        fixture.core.get_service(None, own).await.unwrap().spec.attempts,
        7
    );
    eventually("the other is gone", || async {
        (fixture.rows(Table::Service) == 2).then_some(())
    })
    .await;
    assert_eq!(caller.calls_of("taken", "org_uninstall"), 1);
}

#[actix::test]
async fn services_are_there_after_a_restart_and_those_gone_from_the_configuration_are_not() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "api", json!({})).await;
    fixture
        .core
        .configure_services(vec![registration("file", json!({}))])
        .await
        .unwrap();
    let file: Name = "file".parse().unwrap();
    view_when(&fixture, &file, |view| view.wants.is_some()).await;
    caller.hang("file");
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    caller.called("detection", 2).await;
    let fixture = fixture.restart().await;
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    join(&fixture, &caller).await;
    assert_eq!(fixture.core.list_services(None).await.unwrap().len(), 1);
    fixture.core.configure_services(Vec::new()).await.unwrap();
    eventually("nothing is left of the other", || async {
        (fixture.rows(Table::Service) == 1).then_some(())
    })
    .await;
    assert_eq!(fixture.rows(Table::ServiceDelivery), 0);
    assert_eq!(fixture.rows(Table::ServiceEvent), 0);
}
