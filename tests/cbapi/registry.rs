//! The registry, of a Windows host that a test has in its own process: contents, types and errors.

use crate::harness::scripted::{Behaviour, Data, Persona};
use crate::scene::Scene;
use serde_json::{Value, json};
use tripline_protocol::Fault;
use tripline_protocol::verb::Verb;

const KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\services\ACPI";

/// A key as any Windows has it, with a value of each type.
fn values() -> [(&'static str, Data); 7] {
    [
        ("Start", Data::Dword(0)),
        ("ErrorControl", Data::Dword(u32::MAX)),
        (
            "ImagePath",
            Data::Expandable(r"system32\drivers\ACPI.sys".to_owned()),
        ),
        (
            "DisplayName",
            Data::Text("Microsoft ACPI-Treiber für Ä".to_owned()),
        ),
        ("Owners", Data::Texts(vec!["acpi.inf".to_owned(), String::new()])),
        ("Installed", Data::Qword(u64::MAX)),
        ("Blob", Data::Binary(vec![0, 255, 10])),
    ]
}

#[tokio::test]
async fn a_key_is_listed_with_its_values_in_their_types_and_its_sub_keys() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    for (name, data) in values() {
        let set = agent.machine().registry.set(&format!(r"{KEY}\{name}"), data);
        assert_eq!(set, Ok(()));
    }
    for below in ["Parameters", r"Enum\0"] {
        let created = agent.machine().registry.create_key(&format!(r"{KEY}\{below}"));
        assert_eq!(created, Ok(()));
    }
    let said = scene
        .run(
            r#"
            with session() as lr:
                whole = lr.list_registry_keys_and_values(given.key)
                say(sorted(whole["sub_keys"]))
                say({value["value_name"]: [value["value_type"], value["value_data"]] for value in whole["values"]})
                assert lr.list_registry_keys(given.key) == whole["values"], "as the client has it"
                for value in whole["values"]:
                    assert lr.get_registry_value(given.key + "\\" + value["value_name"].upper()) == value, value
            "#,
            json!({"key": KEY}),
        )
        .await;
    assert_eq!(said[0], json!(["Enum", "Parameters"]));
    assert_eq!(
        said[1],
        json!({
            "Start": ["REG_DWORD", 0],
            "ErrorControl": ["REG_DWORD", u32::MAX],
            "ImagePath": ["REG_EXPAND_SZ", r"system32\drivers\ACPI.sys"],
            "DisplayName": ["REG_SZ", "Microsoft ACPI-Treiber für Ä"],
            "Owners": ["REG_MULTI_SZ", ["acpi.inf", ""]],
            "Installed": ["REG_QWORD", u64::MAX],
            "Blob": ["REG_BINARY", "AP8K"],
        })
    );
}

#[tokio::test]
async fn a_key_with_thousands_of_values_is_listed_whole_or_not_at_all() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    for (key, count) in [(r"HKLM\Large", 5_000), (r"HKLM\TooLarge", 50_000)] {
        for number in 0..count {
            let path = format!(r"{key}\value {number:05}");
            assert_eq!(agent.machine().registry.set(&path, Data::Dword(number)), Ok(()));
        }
    }
    let said = scene
        .run(
            r#"
            with session() as lr:
                values = lr.list_registry_keys_and_values(r"HKLM\Large")["values"]
                assert [value["value_data"] for value in values] == list(range(5000))
                error = failure(lr.list_registry_keys_and_values, r"HKLM\TooLarge")
                say([error["text"], error["details"]["result_desc"].split(" (")[-1]])
            "#,
            json!({}),
        )
        .await;
    let failed = "Win32 error code 0x8007054F (ERROR_INTERNAL_ERROR)";
    assert_eq!(said, [json!([failed, "output_too_large)"])]);
    assert_eq!(agent.seen().attachments, 1);
}

#[tokio::test]
async fn what_a_script_writes_into_the_registry_is_there_with_its_type_and_goes_again() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let mut script = scene.start_script(
        r#"
        lr = session()
        lr.create_registry_key(r"HKLM\Software\Acme\Rules")
        at = lambda name: "HKLM\\Software\\Acme\\Rules\\" + name
        lr.set_registry_value(at("number"), 7)
        lr.set_registry_value(at("text"), "seven")
        lr.set_registry_value(at("texts"), ["a", "b"])
        lr.set_registry_value(at("other"), 7.5)
        lr.set_registry_value(at("path"), r"%TEMP%\x", value_type="REG_EXPAND_SZ")
        lr.set_registry_value(at("long"), 2**40, value_type="REG_QWORD")
        lr.set_registry_value(at("bytes"), "AAE=", value_type="REG_BINARY")
        lr.set_registry_value(at("number"), 8, overwrite=True)
        assert lr.get_registry_value(at("number")) == {
            "value_name": "number", "value_type": "REG_DWORD", "value_data": 8}
        wait("written")
        lr.delete_registry_value(at("number"))
        lr.delete_registry_key(r"HKLM\Software\Acme\Rules")
        lr.close()
        "#,
        json!({}),
    );
    assert_eq!(script.says().await, "written");
    let texts = vec!["a".to_owned(), "b".to_owned()];
    for (name, data) in [
        ("number", Data::Dword(8)),
        ("text", Data::Text("seven".to_owned())),
        ("texts", Data::Texts(texts)),
        ("other", Data::Text("7.5".to_owned())),
        ("path", Data::Expandable(r"%TEMP%\x".to_owned())),
        ("long", Data::Qword(1 << 40)),
        ("bytes", Data::Binary(vec![0, 1])),
    ] {
        let path = format!(r"HKLM\Software\Acme\Rules\{name}");
        assert_eq!(agent.machine().registry.get(&path), Ok(&data), "{name}");
    }
    script.go_on().await;
    script.end().await;
    let machine = agent.machine();
    assert!(machine.registry.get(r"HKLM\Software\Acme\Rules\text").is_err());
}

#[tokio::test]
async fn errors_of_a_registry_have_the_names_that_windows_gives_them() {
    let scene = Scene::start_with(&[], 0).await;
    let windows = scene.add_scripted(Persona::windows("win01")).await;
    // One whose agent says errors as Unix does: scripts see no difference.
    let persona = Persona::linux("wine01").with_verbs(Verb::ALL);
    let unix = scene.add_scripted(persona).await;
    for agent in [&windows, &unix] {
        let set = agent
            .machine()
            .registry
            .set(r"HKLM\Acme\Below\Level", Data::Dword(1));
        assert_eq!(set, Ok(()));
    }
    for agent in [&windows, &unix] {
        let said = scene
            .run(
                r#"
                with session(given.sensor) as lr:
                    calls = [
                        (lr.get_registry_value, r"HKLM\Acme\Below\No"),
                        (lr.get_registry_value, r"HKLM\No\Level"),
                        (lr.get_registry_value, r"HKNO\Acme"),
                        (lr.list_registry_keys_and_values, r"HKLM\No"),
                        (lr.set_registry_value, r"HKLM\No\Level", 1),
                        (lr.set_registry_value, r"HKLM\Acme\Below\Level", 2, False),
                        (lr.set_registry_value, r"HKLM\Acme\Below\Level", "x", True, "REG_DWORD"),
                        (lr.delete_registry_key, r"HKLM\Acme"),
                        (lr.delete_registry_key, r"HKLM\No"),
                        (lr.delete_registry_value, r"HKLM\Acme\Below\No"),
                    ]
                    for call, *arguments in calls:
                        error = failure(call, *arguments)
                        assert error["class"] == "LiveResponseError", error
                        assert error["details"]["result_desc"], error
                        say(error["text"])
                "#,
                json!({"sensor": agent.sensor_id()}),
            )
            .await;
        let (absent, denied) = (
            "Win32 error code 0x80070002 (ERROR_FILE_NOT_FOUND)",
            "Win32 error code 0x80070005 (ERROR_ACCESS_DENIED)",
        );
        let exists = "Win32 error code 0x800700B7 (ERROR_ALREADY_EXISTS)";
        let invalid = "Win32 error code 0x80070057 (ERROR_INVALID_PARAMETER)";
        assert_eq!(
            said,
            [
                absent, absent, absent, absent, absent, exists, invalid, denied, absent, absent
            ]
        );
        let machine = agent.machine();
        assert_eq!(
            machine.registry.get(r"HKLM\Acme\Below\Level"),
            Ok(&Data::Dword(1))
        );
    }
}

/// The job that everybody writes first: a class with what it is about, and `run(session)`.
const JOB: &str = r#"
    class GetRegistryValue:
        def __init__(self, registry_key):
            self.registry_key = registry_key

        def run(self, session):
            return session.get_registry_value(self.registry_key)
"#;

#[tokio::test]
async fn a_job_that_reads_a_registry_value_runs_on_many_hosts_and_brings_values_and_errors() {
    let scene = Scene::start_with(&[], 0).await;
    let mut agents = Vec::new();
    for number in 1..=4 {
        let agent = scene
            .add_scripted(Persona::windows(&format!("win{number}")))
            .await;
        let set = agent
            .machine()
            .registry
            .set(r"HKLM\Acme\Level", Data::Dword(number));
        assert_eq!(set, Ok(()));
        agents.push(agent);
    }
    // The second host has another value, and the third refuses the first who asks.
    let away = agents[1]
        .machine()
        .registry
        .set(r"HKLM\Acme\Level", Data::Text("none".to_owned()));
    assert_eq!(away, Ok(()));
    let denied = Fault::live_response("0x80070005", "Access is denied.");
    agents[2].next(Verb::GetRegistryValue, [Behaviour::Fail(denied)]);
    let text = format!(
        r#"{JOB}
    cb = connect()
    futures = []
    for sensor in (1, 2, 3, 4):
        job = GetRegistryValue(r"HKLM\Acme\Level")
        futures.append(cb.live_response.submit_job(job.run, cb.select(Sensor, sensor)))
    futures.append(cb.live_response.submit_job(GetRegistryValue(r"HKLM\Acme\No").run, 4))
    say(futures[0].result(60))
    say(futures[1].result(60)["value_data"])
    error = failure(futures[2].result, 60)
    say([error["class"], error["text"]])
    say(futures[3].result(60)["value_data"])
    say(failure(futures[4].result, 60)["text"])
    say(jobrunner(GetRegistryValue(r"HKLM\Acme\Level").run, cb, 3)["value_data"])
    "#
    );
    let said = scene.run(&text, json!({})).await;
    let expected: [Value; 6] = [
        json!({"value_name": "Level", "value_type": "REG_DWORD", "value_data": 1}),
        json!("none"),
        json!([
            "LiveResponseError",
            "Win32 error code 0x80070005 (ERROR_ACCESS_DENIED)"
        ]),
        json!(4),
        json!("Win32 error code 0x80070002 (ERROR_FILE_NOT_FOUND)"),
        json!(3),
    ];
    assert_eq!(said, expected);
}
