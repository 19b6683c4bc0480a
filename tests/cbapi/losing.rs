//! Hosts whose connection is lost, or whose agent dies, in the middle of a script's command.

use crate::harness::scripted::{Behaviour, Content, Data, Persona};
use crate::scene::Scene;
use serde_json::json;
use tripline_protocol::verb::Verb;

#[tokio::test]
async fn a_script_does_not_notice_that_a_host_lost_its_connection_and_came_back() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let content = Content::Generated {
        seed: 5,
        bytes: 3_000_000,
    };
    agent.machine().files.write(r"C:\x", content.clone());
    agent.next(Verb::GetFile, [Behaviour::CutAfter(1_200_000), Behaviour::Miss]);
    agent.next(Verb::ListDirectory, [Behaviour::Die]);
    let created = agent.machine().registry.create_key(r"HKLM\Acme");
    assert_eq!(created, Ok(()));
    agent.next(
        Verb::SetRegistryValue,
        [Behaviour::DropConnection, Behaviour::Miss],
    );
    let said = scene
        .run(
            r#"
            import hashlib

            with session() as lr:
                number = lr.session_id
                say(hashlib.sha256(lr.get_file(r"C:\x")).hexdigest())
                say(len(lr.list_directory("C:\\")))
                for level in (1, 2):
                    lr.set_registry_value(r"HKLM\Acme\Level", level)
                    say(lr.get_registry_value(r"HKLM\Acme\Level")["value_data"])
                assert lr.session_id == number, "it is still the same"
            "#,
            json!({}),
        )
        .await;
    let sha256 = tripline_protocol::Sha256::from_digest(&sha(&content.to_vec()));
    assert_eq!(said, [json!(sha256), json!(2), json!(1), json!(2)]);
    assert_eq!(agent.seen().attachments, 6);
}

fn sha(content: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(content).into()
}

#[tokio::test]
async fn a_change_whose_agent_died_is_an_error_that_promises_nothing() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let set = agent.machine().registry.set(r"HKLM\Acme\Level", Data::Dword(1));
    assert_eq!(set, Ok(()));
    agent.next(Verb::SetRegistryValue, [Behaviour::Die]);
    agent.next(Verb::PutFile, [Behaviour::CutAfter(500_000)]);
    let said = scene
        .run(
            r#"
            import io

            with session() as lr:
                error = failure(lr.set_registry_value, r"HKLM\Acme\Level", 2)
                say([error["class"], error["text"]])
                say(lr.get_registry_value(r"HKLM\Acme\Level")["value_data"])
                error = failure(lr.put_file, io.BytesIO(bytes(1_000_000)), r"C:\put")
                say([error["class"], error["text"]])
                lr.put_file(io.BytesIO(b"again"), r"C:\put")
                say(lr.get_file(r"C:\put"))
            "#,
            json!({}),
        )
        .await;
    let aborted = "Win32 error code 0x800703E3 (ERROR_OPERATION_ABORTED)";
    let failed = "Win32 error code 0x8007054F (ERROR_INTERNAL_ERROR)";
    assert_eq!(
        said,
        [
            json!(["LiveResponseError", aborted]),
            json!(1),
            json!(["LiveResponseError", failed]),
            json!("again")
        ]
    );
    let sets = agent.seen().commands;
    let sets = sets.iter().filter(|call| call.verb() == Verb::SetRegistryValue);
    assert_eq!(sets.count(), 1, "it is not run again behind the script's back");
}

#[tokio::test]
async fn a_host_that_leaves_in_a_command_and_stays_away_is_an_error_after_its_grace() {
    let scene = Scene::start_with(&[("session.reconnect_grace", "1s")], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.next(Verb::ListProcesses, [Behaviour::Never]);
    agent.next(Verb::DeleteFile, [Behaviour::Never]);
    let text = r#"
        with session() as lr:
            error = failure(lr.list_processes) if given.reads else failure(lr.delete_file, r"C:\x")
            say([error["class"], error["text"]])
        "#;
    for (reads, name) in [
        (true, "0x800704CF (ERROR_NETWORK_UNREACHABLE)"),
        (false, "0x800703E3 (ERROR_OPERATION_ABORTED)"),
    ] {
        let before = agent.seen().commands.len();
        let mut script = scene.start_script(text, json!({"reads": reads}));
        assert!(agent.until(|seen| seen.commands.len() > before).await);
        agent.leave();
        let text = format!("Win32 error code {name}");
        assert_eq!(script.says().await, json!(["LiveResponseError", text]));
        script.end().await;
        agent.come_back();
        scene.api().attached(agent.host_id(), true).await;
    }
    scene.api().all_slots_free().await;
}
