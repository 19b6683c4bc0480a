//! The real client against the real server: our peers are what the facts we build on say they are.

use crate::harness::{Site, eventually, until};
use crate::peers::{Person, RealClient, RealServer, Rule, Wire};

#[tokio::test]
async fn the_real_programs_behave_as_what_we_know_of_them_says() {
    let site = Site::new().await;
    let person = Person::new(&site);
    let server = RealServer::start(&site, &[(&person, Rule::Free)]).await;
    let wire = Wire::to(&server.url()).await;
    let mut client = RealClient::start(&site, "beethoven", wire.url());

    // The first answer has configuration, mapping and START_MASTER, in this order.
    let first = eventually("a first answer", async || wire.exchanges().first().cloned()).await;
    assert_eq!(first.sent("START_CLIENT").len(), 1, "{first:?}");
    let order: Vec<&str> = first
        .answer
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["event_type"].as_str().expect("a type"))
        .collect();
    assert_eq!(order, ["UPDATE_CONFIG", "UPDATE_LOGIN_MAPPING", "START_MASTER"]);

    // A process is reported when it is found, and when it is gone.
    let game = person.play();
    let entry = server
        .process_of("beethoven", game.pid, "is open", |row| row["end_time"].is_null())
        .await;
    assert_eq!(entry["processname"], *game.name);
    assert_eq!(entry["username"], *person.login);
    game.quit();
    server
        .process_of("beethoven", game.pid, "is closed", |row| {
            !row["end_time"].is_null()
        })
        .await;

    // A prohibited one is ended by an answer, and never gets an entry.
    let bad = person.misbehave();
    bad.ended().await;
    assert!(
        server
            .processes("beethoven")
            .iter()
            .all(|row| row["pid"] != bad.pid)
    );
    let kills = wire
        .exchanges()
        .iter()
        .map(|one| one.got("KILL_PROCESS").len())
        .sum::<usize>();
    assert!(kills >= 1, "{kills}");

    // At a clean stop everything is reported as ended, although it goes on.
    let game = person.play();
    server
        .process_of("beethoven", game.pid, "is open", |row| row["end_time"].is_null())
        .await;
    assert!(client.process().terminate().await.success());
    server
        .process_of("beethoven", game.pid, "is closed", |row| {
            !row["end_time"].is_null()
        })
        .await;
    until("the game goes on", || game.is_running()).await;
}
