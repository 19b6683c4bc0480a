//! Finding the server, being let in, finding hosts.

use crate::harness::free_port;
use crate::harness::scripted::Persona;
use crate::scene::Scene;
use serde_json::json;
use tripline_client::{Client, FaultClass, Verb};

#[tokio::test]
async fn a_program_needs_an_address_an_authority_and_a_token() {
    let scene = Scene::start_with(&[], 0).await;
    let token_file = scene.site.write("token", format!("{}\n", scene.token));
    let pem = std::fs::read(scene.server.data_dir().join("tls/ca.pem")).expect("a CA");
    let by_files = scene.builder().token_file(token_file).connect().await;
    by_files.expect("let in");
    let in_memory = Client::builder(&scene.url)
        .ca_pem(pem)
        .token(&scene.token)
        .connect()
        .await;
    in_memory.expect("let in");
    // On this machine it may be plain.
    Client::connect(scene.server.url(), &scene.token)
        .await
        .expect("let in");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_what_to_do() {
    let scene = Scene::start_with(&[], 0).await;
    let enrol = scene.api().enrol_token().await;
    let bound = json!({"name": "bound", "role": "operator", "org": "acme"});
    let bound = scene.api().create_token(bound).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let cases = [
        (
            Client::builder(&scene.url).token(&scene.token),
            "untrusted_certificate",
            "ca_file",
        ),
        (
            scene.builder().token("unknown"),
            "unauthenticated",
            "token create",
        ),
        (scene.builder().token(enrol), "forbidden", "token create"),
        (
            scene.builder().token(&bound).org("other"),
            "forbidden",
            "token create",
        ),
        (
            Client::builder(nobody).token("t"),
            "unreachable",
            "tripline serve",
        ),
    ];
    for (builder, code, advice) in cases {
        let error = builder.connect().await.expect_err("not let in");
        assert_eq!(
            (error.class(), error.code()),
            (FaultClass::Server, code),
            "{error}"
        );
        assert!(error.to_string().contains(advice), "{error}");
    }
    scene
        .builder()
        .token(bound)
        .org("acme")
        .connect()
        .await
        .expect("let in");
}

#[tokio::test]
async fn a_host_is_found_by_its_name_its_id_and_its_number() {
    let scene = Scene::start_with(&[], 0).await;
    let web = scene.scripted(Persona::linux("web01")).await;
    let database = scene.scripted(Persona::windows("db01")).await;
    let client = &scene.client;
    let by_name = client.host("web01").await.expect("a host");
    assert_eq!((by_name.id(), by_name.hostname()), (web.host_id(), "web01"));
    assert!(by_name.is_online() && by_name.offers(Verb::GetFile));
    assert!(!by_name.offers(Verb::GetRegistryValue));
    let by_id = client.host(database.host_id()).await.expect("a host");
    let by_number = client.host(database.sensor_id()).await.expect("a host");
    assert_eq!(
        (by_id.id(), by_number.id()),
        (database.host_id(), database.host_id())
    );
    let gone = database.host_id();
    database.leave();
    scene.api().attached(gone, false).await;
    assert!(!by_id.refreshed().await.expect("a host").is_online());
    let names = |hosts: Vec<tripline_client::Host>| {
        let mut names: Vec<String> = hosts.iter().map(|host| host.hostname().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(client.hosts().list().await.expect("hosts")),
        ["db01", "web01"]
    );
    assert_eq!(
        names(client.hosts().online().list().await.expect("hosts")),
        ["web01"]
    );
    assert_eq!(
        names(client.hosts().org("other").list().await.expect("hosts")),
        [""; 0]
    );
}

#[tokio::test]
async fn hosts_are_found_by_their_labels() {
    let scene = Scene::start_with(&[], 0).await;
    let web = scene.scripted(Persona::linux("web01")).await;
    let _database = scene.scripted(Persona::linux("db01")).await;
    let path = format!("/v1/hosts/{}/labels", web.host_id());
    let labels = scene
        .api()
        .request(reqwest::Method::PUT, &path)
        .json(&json!({"labels": ["dmz"]}));
    assert_eq!(labels.send().await.expect("an answer").status(), 200);
    let found = scene.client.hosts().label("dmz").list().await.expect("hosts");
    let [found] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (found.id(), found.view().labels.as_slice()),
        (web.host_id(), ["dmz".to_owned()].as_slice())
    );
    let none = scene.client.hosts().label("other").list().await.expect("hosts");
    assert!(none.is_empty(), "{none:?}");
}

#[tokio::test]
async fn a_name_that_several_hosts_have_is_not_guessed() {
    let scene = Scene::start_with(&[], 0).await;
    let one = scene.scripted(Persona::linux("twin")).await;
    let _other = scene.scripted(Persona::linux("twin")).await;
    let error = scene.client.host("twin").await.expect_err("two of them");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Server, "ambiguous_host")
    );
    scene.client.host(one.host_id()).await.expect("this one");
    let error = scene.client.host("nobody").await.expect_err("no such host");
    assert_eq!(
        (error.class(), error.code(), error.status()),
        (FaultClass::Server, "not_found", Some(404))
    );
}

#[tokio::test]
async fn a_client_of_an_org_looks_for_names_there() {
    let scene = Scene::start_with(&[], 0).await;
    let token = json!({"name": "agents", "role": "enrol", "org": "acme"});
    let token = scene.api().create_token(token).await;
    let url = scene.server.url();
    let there = crate::harness::scripted::ScriptedAgent::start(&url, &token, Persona::linux("web01")).await;
    let there = there.expect("an agent");
    let here = scene.scripted(Persona::linux("web01")).await;
    let of_acme = scene
        .builder()
        .token(&scene.token)
        .org("acme")
        .connect()
        .await
        .expect("a client");
    assert_eq!(of_acme.host("web01").await.expect("a host").id(), there.host_id());
    assert_eq!(
        scene.client.host("web01").await.expect("a host").id(),
        here.host_id()
    );
    let session = of_acme
        .host("web01")
        .await
        .expect("a host")
        .session()
        .await
        .expect("a session");
    assert_eq!(session.view().org.as_str(), "acme");
    session.close().await.expect("closed");
}
