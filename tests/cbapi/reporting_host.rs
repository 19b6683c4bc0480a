//! A host that only a LittleBrother client reports for: its processes are seen and ended, and that is all.

use crate::harness::{Site, eventually};
use crate::peers::{Person, SECRET};
use crate::scene::Scene;
use crate::watching_agent::WatchingAgent;
use serde_json::json;

const NAME: &str = "schumann.music.example";

fn config(person: &Person) -> String {
    let user = toml::toml! {
        login = "amelie"
        process_name_pattern = "set below"
        prohibited_process_name_pattern = "set below"
    };
    let mut user = user;
    user.insert("uid".into(), person.uid.into());
    user.insert("process_name_pattern".into(), person.games().into());
    user.insert("prohibited_process_name_pattern".into(), person.bad_ones().into());
    let mut section = toml::toml! {
        check_interval = "1s"
        kill_process_delay = "1s"
    };
    section.insert("secret".into(), SECRET.into());
    section.insert("users".into(), vec![user].into());
    let mut all = toml::Table::new();
    all.insert("littlebrother".into(), section.into());
    all.to_string()
}

#[tokio::test]
async fn processes_of_a_host_that_only_reports_are_listed_and_killed() {
    let site = Site::new().await;
    let person = Person::new(&site);
    let config = config(&person);
    let scene = Scene::start_on(site, &config, &[], 0).await;
    let _client = WatchingAgent::direct(&scene.site, NAME, &scene.server.url());
    let (game, other) = (person.play(), person.play());
    eventually("the processes are reported", async || {
        let hosts = scene.api().try_get("/v1/hosts").await?.body;
        let open = &hosts["items"].get(0)?["littlebrother"]["processes_open"];
        (*open == 2).then_some(())
    })
    .await;
    let said = scene
        .run(
            r#"
            sensor = connect().select(Sensor).where(f"hostname:{given.name}").first()
            say([sensor.hostname, sensor.status, sensor.supports_cblr])
            with sensor.lr_session() as lr:
                say(sorted(lr.session_data["supported_commands"]))
                say(sorted([process["pid"], process["username"]] for process in lr.list_processes()))
                say(lr.kill_process(given.pid))
                say([process["pid"] for process in lr.list_processes()])
                say(failure(lr.kill_process, given.pid)["text"])
                say(failure(lr.get_file, "/etc/passwd")["class"])
            "#,
            json!({"name": NAME, "pid": game.pid}),
        )
        .await;
    assert!(!game.is_running(), "it had ended when the call returned");
    assert!(other.is_running());
    let mut pids = [game.pid, other.pid];
    pids.sort_unstable();
    assert_eq!(
        said,
        [
            json!([NAME, "Online", true]),
            json!(["kill", "process list"]),
            json!([[pids[0], person.login], [pids[1], person.login]]),
            json!(true),
            json!([other.pid]),
            json!("Win32 error code 0x80070057 (ERROR_INVALID_PARAMETER)"),
            json!("ApiError"),
        ]
    );
}
