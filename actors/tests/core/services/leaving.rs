//! What waits for services and orgs that leave: slice by slice, and none of it for who comes after.

use super::*;
use crate::recorder;
use std::sync::mpsc::{Sender, channel};
use tripline_actors::store::{Batch, Options, Store, Table};

/// More than are removed at once, and twice.
const MESSAGES: u64 = 450;
/// Messages that are removed at once.
const SLICE: u64 = 200;

/// From now on nothing becomes durable, until what is returned is dropped.
fn hold(store: &Store) -> Sender<()> {
    let (release, held) = channel();
    let mut batch = Batch::new();
    batch.delete(Table::Meta, b"held".to_vec());
    // An error says that the sender is gone.
    store.commit(batch, move || {
        let _ = held.recv();
    });
    release
}

/// Publishes so many detections that all wait behind the first, which is asked for again.
async fn fill(fixture: &Fixture, caller: &ScriptedCaller, name: &Name) {
    caller.says("detection", vec![again()]);
    for first in (1..=MESSAGES).step_by(50) {
        let events: Vec<_> = (first..first + 50).map(|n| detection("c", n)).collect();
        publish(fixture, first, &events).await.unwrap();
    }
    view_when(fixture, name, |view| view.waiting == MESSAGES && view.calls == 0).await;
    assert_eq!(caller.calls("detection").len(), 1);
}

async fn deliveries(fixture: &Fixture, count: u64) {
    eventually("so many messages", || async {
        (fixture.rows(Table::ServiceDelivery) as u64 == count).then_some(())
    })
    .await;
}

#[actix::test]
async fn a_removed_service_s_messages_go_in_slices_after_that_is_durable_and_are_counted() {
    recorder::install();
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "sliced", json!({})).await.spec.name;
    fill(&fixture, &caller, &name).await;
    let held = hold(&fixture.store);
    let removal = tokio::spawn({
        let (core, name) = (fixture.core.clone(), name.clone());
        async move { core.remove_service(name).await }
    });
    // The next waits until this is durable.
    deliveries(&fixture, MESSAGES - SLICE).await;
    let record = fixture.store.get(Table::Service, b"sliced").unwrap().unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["leaving"], true);
    drop(held);
    removal.await.unwrap().unwrap();
    eventually("its rows are gone", || async {
        (fixture.rows(Table::Service) == 0).then_some(())
    })
    .await;
    for table in [
        Table::ServiceDelivery,
        Table::ServiceEvent,
        Table::ServiceEventUse,
    ] {
        assert_eq!(fixture.rows(table), 0, "{table:?}");
    }
    let letters = fixture.publisher.with(".dead.");
    assert!(letters.is_empty(), "nobody is to replay them");
    // Something is published, which tells the thread of the actors.
    fixture.enrol("amelie").await;
    let left = recorder::counter(
        fixture.thread().await,
        "tripline_service_given_up_total sliced left",
    );
    assert_eq!(left, MESSAGES);
}

#[actix::test]
async fn a_crash_in_the_midst_of_a_removal_goes_on_with_it_at_the_next_start() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "api", json!({})).await.spec.name;
    fill(&fixture, &caller, &name).await;
    let file = vec![registration("file", json!({}))];
    fixture.core.configure_services(file).await.unwrap();
    let file: Name = "file".parse().unwrap();
    view_when(&fixture, &file, |view| view.wants.is_some()).await;
    publish(&fixture, 1_000, &[detection("c", 1_000)]).await.unwrap();
    let dir = fixture.stop().await;
    // As a crash leaves it when no more was durable than that they are to leave.
    let options = Options::new(dir.path());
    let store = eventually("the store is free", || async { Store::open(&options).ok() }).await;
    for key in [&b"api"[..], b"file"] {
        let record = store.get(Table::Service, key).unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        (record["leaving"], record["floor"]) = (json!(true), json!(1_u64 << 32));
        let mut batch = Batch::new();
        batch.put(Table::Service, key.to_vec(), record.to_string().into_bytes());
        store.commit(batch, || {});
    }
    store.flush_and_close();
    drop(store);
    let fixture = Fixture::resume(dir);
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    join(&fixture, &caller).await;
    // One of them is in the configuration again, and is another one.
    let again = vec![registration("file", json!({}))];
    fixture.core.configure_services(again).await.unwrap();
    eventually("the other is gone", || async {
        (fixture.rows(Table::Service) == 1).then_some(())
    })
    .await;
    view_when(&fixture, &file, |view| view.waiting == 0 && view.given_up == 1).await;
    assert_eq!(caller.calls("detection"), []);
    publish(&fixture, 2_000, &[detection("c", 2_000)]).await.unwrap();
    let told = caller.called("detection", 1).await;
    assert_eq!(told[0].data["detect"]["event"], json!({ "n": 2_000 }));
    view_when(&fixture, &file, |view| view.waiting == 0).await;
}

#[actix::test]
async fn who_comes_back_while_it_leaves_gets_none_of_the_old_messages() {
    let caller = ScriptedCaller::wanting(&["detection", "org_uninstall"], &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    fill(&fixture, &caller, &name).await;
    let held = hold(&fixture.store);
    let removal = tokio::spawn({
        let (core, name) = (fixture.core.clone(), name.clone());
        async move { core.remove_service(name).await }
    });
    deliveries(&fixture, MESSAGES - SLICE + 1).await;
    caller.says("detection", vec![done()]);
    let register = tokio::spawn({
        let core = fixture.core.clone();
        async move { core.register_service(body("yara", json!({}))).await }
    });
    drop(held);
    removal.await.unwrap().unwrap();
    register.await.unwrap().unwrap();
    let installed = |view: &ServiceView| view.waiting == 0 && !view.installations.is_empty();
    view_when(&fixture, &name, installed).await;
    assert_eq!(caller.calls("detection").len(), 1, "the one of before");
    assert_eq!(caller.calls("org_uninstall").len(), 1);
    publish(&fixture, 1_000, &[detection("c", 1_000)]).await.unwrap();
    let told = caller.called("detection", 2).await;
    assert_eq!(told[1].data["detect"]["event"], json!({ "n": 1_000 }));
    view_when(&fixture, &name, |view| view.waiting == 0).await;
}

#[actix::test]
async fn an_org_s_messages_go_in_slices_and_are_not_there_when_it_comes_back() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    let orgs = json!({ "orgs": ["default", "acme"] });
    let name = register(&fixture, "yara", orgs.clone()).await.spec.name;
    fill(&fixture, &caller, &name).await;
    let held = hold(&fixture.store);
    let change = |more: Value| {
        let core = fixture.core.clone();
        tokio::spawn(async move { core.change_service(body("yara", more)).await })
    };
    let leaves = change(json!({ "orgs": ["acme"] }));
    deliveries(&fixture, MESSAGES - SLICE).await;
    caller.says("detection", vec![done()]);
    let comes_back = change(orgs);
    drop(held);
    leaves.await.unwrap().unwrap();
    comes_back.await.unwrap().unwrap();
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!((view.given_up, view.installations.len()), (MESSAGES, 2));
    publish(&fixture, 1_000, &[detection("c", 1_000)]).await.unwrap();
    let told = caller.called("detection", 2).await;
    assert_eq!(told[1].data["detect"]["event"], json!({ "n": 1_000 }));
    view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(fixture.rows(Table::ServiceEventUse), 0);
}

#[actix::test]
async fn a_name_is_free_when_nothing_is_left_of_who_had_it_and_the_configuration_waits_for_that() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    caller.says(
        "detection",
        vec![Ok(json!({ "success": true, "jobs": [{ "id": "j" }] }))],
    );
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    view_when(&fixture, &name, |view| view.delivered == 1).await;
    let held = hold(&fixture.store);
    let removal = tokio::spawn({
        let (core, name) = (fixture.core.clone(), name.clone());
        async move { core.remove_service(name).await }
    });
    eventually("its rows are being removed", || async {
        (fixture.rows(Table::ServiceJob) == 0).then_some(())
    })
    .await;
    // The next page waits until this one is durable.
    let refused = fixture.core.register_service(body("yara", json!({}))).await;
    assert_eq!(refused.unwrap_err().code(), "service_leaving");
    let configure = tokio::spawn({
        let core = fixture.core.clone();
        async move {
            let services = vec![registration("yara", json!({ "attempts": 7 }))];
            core.configure_services(services).await
        }
    });
    drop(held);
    removal.await.unwrap().unwrap();
    configure.await.unwrap().unwrap();
    let view = view_when(&fixture, &name, |view| view.wants.is_some()).await;
    assert_eq!((view.configured, view.spec.attempts), (true, 7));
    assert_eq!(fixture.rows(Table::ServiceSecret), 0);
}

#[actix::test]
async fn an_org_that_comes_back_while_its_first_installation_is_under_way_is_installed_anew() {
    let caller = ScriptedCaller::wanting(&["org_install", "org_uninstall"], &[]);
    let gate = caller.gate("org_install");
    let fixture = start(&caller).await;
    let body_of = |orgs: Value| body("yara", json!({ "orgs": orgs }));
    let registered = fixture.core.register_service(body_of(json!(["default"])));
    let name = registered.await.unwrap().spec.name;
    caller.called("org_install", 1).await;
    for orgs in [json!(["acme"]), json!(["acme", "default"])] {
        fixture.core.change_service(body_of(orgs)).await.unwrap();
    }
    gate.send(done()).unwrap();
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert!(
        view.installations
            .values()
            .all(|state| *state == tripline_protocol::api::Installation::Installed)
    );
    let own = tripline_protocol::limacharlie::oid(&Org::default_org()).to_string();
    let calls = caller.calls.lock().unwrap();
    let about = calls
        .iter()
        .filter(|call| call.call.oid.as_deref() == Some(own.as_str()));
    let told: Vec<_> = about.map(|call| call.call.etype.clone()).collect();
    assert_eq!(told, ["org_install", "org_uninstall", "org_install"]);
}

/// Waits until all that the service did before has been done: it does one thing after the other.
async fn quiet(fixture: &Fixture, caller: &ScriptedCaller, name: &Name) {
    let asked = caller.calls("get_resource").len();
    let (core, name) = (fixture.core.clone(), name.clone());
    tokio::spawn(async move { core.service_resource(None, name, "r".into()).await });
    caller.called("get_resource", asked + 1).await;
}

#[actix::test]
async fn what_a_service_is_told_of_its_orgs_and_messages_goes_out_when_that_is_durable() {
    let etypes = ["org_install", "org_uninstall", "detection", "service_error"];
    let caller = ScriptedCaller::wanting(&etypes, &["c"]);
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let gate = caller.gate("detection");
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    caller.called("detection", 1).await;
    // Were it told too early, its answer would not hide that.
    let news = caller.gate("service_error");
    let held = hold(&fixture.store);
    gate.send(Err(CallFailure::Status(413))).unwrap();
    eventually("it is given up", || async {
        let rows = fixture.store.scan(Table::ServiceDelivery, &[], None, 9).unwrap();
        let is_news = |value: &[u8]| String::from_utf8_lossy(value).contains("service_error");
        rows.iter().any(|(_, value)| is_news(value)).then_some(())
    })
    .await;
    quiet(&fixture, &caller, &name).await;
    assert_eq!(caller.calls("service_error"), []);
    drop(held);
    caller.called("service_error", 1).await;
    news.send(done()).unwrap();
    view_when(&fixture, &name, |view| view.waiting == 0).await;
    let gates = ["org_install", "org_uninstall"].map(|etype| caller.gate(etype));
    let held = hold(&fixture.store);
    let changed = tokio::spawn({
        let core = fixture.core.clone();
        async move {
            core.change_service(body("yara", json!({ "orgs": ["acme"] })))
                .await
        }
    });
    deliveries(&fixture, 2).await;
    quiet(&fixture, &caller, &name).await;
    let told = || {
        (
            caller.calls("org_install").len(),
            caller.calls("org_uninstall").len(),
        )
    };
    assert_eq!(told(), (1, 0));
    drop(held);
    for gate in gates {
        gate.send(done()).unwrap();
    }
    changed.await.unwrap().unwrap();
    view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!(told(), (2, 1));
}
