//! What Linux hosts do not have: the registry, locked files, memory; and agents that are slow or misbehave.

use crate::harness::scripted::{Behaviour, Content, Data, Persona, ScriptedAgent};
use crate::scene::Scene;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tripline_client::{Fault, FaultClass, Session, Verb};

async fn windows() -> (Scene, ScriptedAgent, Session) {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.scripted(Persona::windows("win01")).await;
    let session = scene
        .client
        .host("win01")
        .await
        .expect("a host")
        .session()
        .await
        .expect("a session");
    (scene, agent, session)
}

#[tokio::test]
async fn keys_and_values_of_a_registry_are_made_read_and_removed() {
    let (_scene, agent, session) = windows().await;
    let key = r"HKLM\Software\Acme";
    session.create_registry_key(key).await.expect("made");
    session
        .create_registry_key(&format!(r"{key}\Deep"))
        .await
        .expect("made");
    session
        .set_registry_value(format!(r"{key}\Level"), 7)
        .await
        .expect("written");
    session
        .set_registry_value(format!(r"{key}\Name"), "acme")
        .await
        .expect("written");
    session
        .set_registry_value(format!(r"{key}\List"), json!(["a", "b"]))
        .await
        .expect("written");
    let expanded = session.set_registry_value(format!(r"{key}\Path"), r"%TEMP%\x");
    expanded.value_type("REG_EXPAND_SZ").await.expect("written");

    let level = session
        .get_registry_value(format!(r"{key}\Level"))
        .await
        .expect("read");
    assert_eq!(
        (level.value_type.as_str(), level.value_data),
        ("REG_DWORD", json!(7))
    );
    let listing = session.list_registry_keys_and_values(key).await.expect("a list");
    let types: Vec<(&str, &str)> = listing
        .values
        .iter()
        .map(|value| (value.value_name.as_str(), value.value_type.as_str()))
        .collect();
    let wanted = [
        ("Level", "REG_DWORD"),
        ("List", "REG_MULTI_SZ"),
        ("Name", "REG_SZ"),
        ("Path", "REG_EXPAND_SZ"),
    ];
    assert_eq!(
        (types.as_slice(), listing.sub_keys.as_slice()),
        (wanted.as_slice(), ["Deep".to_owned()].as_slice())
    );
    let keys = session.list_registry_keys(key).await.expect("a list");
    assert_eq!((keys.sub_keys, keys.values.len()), (vec!["Deep".to_owned()], 0));

    let kept = session
        .set_registry_value(format!(r"{key}\Level"), 8)
        .overwrite(false)
        .await;
    assert_eq!(kept.expect_err("it is there").class(), FaultClass::LiveResponse);
    session
        .delete_registry_value(format!(r"{key}\Level"))
        .await
        .expect("removed");
    session
        .delete_registry_key(&format!(r"{key}\Deep"))
        .await
        .expect("removed");
    let gone = session
        .get_registry_value(format!(r"{key}\Level"))
        .await
        .expect_err("removed");
    assert_eq!(gone.class(), FaultClass::LiveResponse);
    assert!(agent.machine().registry.get(&format!(r"{key}\Level")).is_err());
    assert_eq!(
        agent.machine().registry.get(&format!(r"{key}\Name")).ok(),
        Some(&Data::Text("acme".to_owned()))
    );
    session.close().await.expect("closed");
}

#[tokio::test]
async fn memory_is_dumped_and_fetched_and_a_locked_file_is_read_raw() {
    let (_scene, agent, session) = windows().await;
    session.memdump(r"C:\dump.bin").await.expect("dumped");
    let dump = session
        .get_file(r"C:\dump.bin")
        .to_bytes()
        .await
        .expect("fetched");
    assert!(dump == agent.machine().memory(None).to_vec());
    session.memdump(r"C:\one.bin").pid(4).await.expect("dumped");
    let dump = session.get_file(r"C:\one.bin").to_bytes().await.expect("fetched");
    assert!(dump == agent.machine().memory(Some(4)).to_vec());
    let hive = r"C:\Windows\System32\config\SAM";
    agent.machine().files.write(hive, Content::stored("secrets"));
    agent.machine().files.lock(hive);
    let locked = session.get_file(hive).to_bytes().await.expect_err("in use");
    assert_eq!(locked.class(), FaultClass::LiveResponse);
    assert_eq!(
        session.get_raw_file(hive).to_bytes().await.expect("fetched"),
        b"secrets"
    );
    session.close().await.expect("closed");
}

#[tokio::test]
async fn errors_of_a_host_are_told_in_its_own_words() {
    let (_scene, agent, session) = windows().await;
    let denied = Fault::live_response("0x80070005", "Access is denied.").with_detail(json!({"path": "C:"}));
    agent.next(Verb::ListDirectory, [Behaviour::Fail(denied.clone())]);
    let error = session.list_directory("C:\\").await.expect_err("denied");
    assert_eq!(error.to_fault(), denied);
    session.close().await.expect("closed");
}

#[tokio::test]
async fn commands_of_a_session_wait_for_each_other_and_may_be_awaited_together() {
    let (_scene, agent, session) = windows().await;
    let gate = Arc::new(Semaphore::new(0));
    agent.next(Verb::ListProcesses, [Behaviour::When(Arc::clone(&gate))]);
    let slow = session.list_processes().into_future();
    let quick = session.list_directory("C:\\").into_future();
    let open = async {
        assert!(agent.until(|seen| seen.commands.len() == 1).await);
        gate.add_permits(1);
    };
    let (slow, quick, ()) = tokio::join!(slow, quick, open);
    slow.expect("a list");
    quick.expect("a list");
    session.close().await.expect("closed");
}

#[tokio::test]
async fn a_host_that_never_ends_a_command_is_left_at_its_deadline() {
    let (scene, agent, session) = windows().await;
    agent.next(Verb::ListProcesses, [Behaviour::Never]);
    let error = session
        .list_processes()
        .timeout(Duration::from_millis(300))
        .await
        .expect_err("never");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::Timeout, "command_timeout"),
        "{error}"
    );
    session.list_directory("C:\\").await.expect("the session goes on");
    session.close().await.expect("closed");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_connection_that_the_host_loses_in_a_command_is_not_noticed() {
    let (_scene, agent, session) = windows().await;
    agent.next(Verb::CreateDirectory, [Behaviour::DropConnection]);
    session.create_directory(r"C:\made").await.expect("made");
    agent.next(Verb::ListProcesses, [Behaviour::Miss]);
    session.list_processes().await.expect("a list");
    assert!(agent.seen().attachments >= 3, "{:?}", agent.seen());
    session.close().await.expect("closed");
}
