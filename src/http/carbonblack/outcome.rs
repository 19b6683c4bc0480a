//! A command as the client polls for it: where it is, how it ended, and what came of it.

use super::super::HttpState;
use super::error::DialectError;
use super::{glob, hresult, verbs};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::sync::Arc;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::{OwnSession, Refusal};
use tripline_protocol::session::{CommandState, CommandView};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Sha256, Timestamp};

/// An output that became a file came in one frame.
const OUTPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The client knows `complete` and `error`; whatever else it reads, it asks again.
fn status(state: CommandState) -> &'static str {
    match state {
        CommandState::Pending => "pending",
        CommandState::Running => "in progress",
        CommandState::Succeeded => "complete",
        CommandState::Failed | CommandState::Cancelled => "error",
    }
}

/// Unix seconds with their fraction.
pub(super) fn seconds(time: Timestamp) -> f64 {
    // Exact to the microsecond for some centuries.
    time.as_micros() as f64 / 1e6
}

/// The object, with its output read back when that was too large to be kept with it.
pub(super) async fn object(
    state: &HttpState,
    session: &OwnSession,
    command: CommandView,
) -> Result<Value, DialectError> {
    let output = match (&command.output, &command.artifact, command.file) {
        (None, Some(artifact), None) => {
            Some(read_back(state.artifacts.clone(), artifact.sha256.clone()).await?)
        }
        (output, _, _) => output.clone(),
    };
    Ok(shown(session, &command, output))
}

/// The object without an output that would have to be read back: a list of them has a bound this way.
pub(super) fn brief(session: &OwnSession, command: &CommandView) -> Value {
    shown(session, command, command.output.clone())
}

async fn read_back(store: Arc<ArtifactStore>, sha256: Sha256) -> Result<Value, DialectError> {
    let read = tokio::task::spawn_blocking(move || {
        let (file, _) = store.open_read(&sha256).map_err(Refusal::from)?;
        let mut bytes = Vec::new();
        let unreadable = |_| Refusal::Unavailable {
            detail: "a command's output cannot be read",
        };
        file.take(OUTPUT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok::<_, Refusal>(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    });
    let read = read.await.unwrap_or(Err(Refusal::Unavailable {
        detail: "a command's output cannot be read",
    }));
    Ok(read?)
}

fn shown(session: &OwnSession, command: &CommandView, output: Option<Value>) -> Value {
    let (code, text) = result(command);
    let mut object = Map::new();
    let fields = json!({
        "id": command.number,
        "session_id": session.number,
        "sensor_id": session.sensor_id,
        "name": verbs::name_of(command.verb),
        "object": subject(command),
        "status": status(command.state),
        "username": command.caller,
        "create_time": seconds(command.queued_at),
        "completion": command.finished_at.map_or(0.0, seconds),
        "result_code": code,
        "result_type": "WinHresult",
        "result_desc": text,
    });
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    if let Some(file) = command.file {
        object.insert("file_id".into(), file.into());
    }
    if let (CommandState::Succeeded, Some(output)) = (command.state, output) {
        object.extend(of_verb(command, output));
    }
    Value::Object(object)
}

fn result(command: &CommandView) -> (u32, String) {
    let directory = matches!(command.verb, Verb::ListDirectory | Verb::CreateDirectory);
    match (&command.error, command.state) {
        (Some(fault), CommandState::Failed) => (hresult::of(fault, directory), fault.to_string()),
        (_, CommandState::Failed) => (hresult::cancelled(), String::new()),
        (Some(fault), CommandState::Cancelled) => (hresult::cancelled(), fault.to_string()),
        (None, CommandState::Cancelled) => (hresult::cancelled(), "the command was cancelled".to_owned()),
        _ => (hresult::OK, String::new()),
    }
}

fn pattern(command: &CommandView) -> Option<&str> {
    command.origin.as_ref()?.get("pattern")?.as_str()
}

/// What the command was about, as the caller wrote it.
fn subject(command: &CommandView) -> Value {
    let argument = |name: &str| command.arguments.get(name).cloned();
    match command.verb {
        Verb::ListProcesses => Value::Null,
        Verb::KillProcess => argument("pid").unwrap_or_default(),
        Verb::CreateProcess => argument("command")
            .or_else(|| argument("argv"))
            .unwrap_or_default(),
        _ => {
            let path = text(argument("path").unwrap_or_default());
            match pattern(command) {
                None => path.into(),
                Some(pattern) => {
                    let separator = match (glob::is_windows(&path), path.ends_with(['/', '\\'])) {
                        (_, true) => "",
                        (true, false) => "\\",
                        (false, false) => "/",
                    };
                    format!("{path}{separator}{pattern}").into()
                }
            }
        }
    }
}

/// A path as text: bytes that are none become replacement characters, for the client knows texts only.
fn text(path: Value) -> String {
    match serde_json::from_value::<tripline_protocol::RemotePath>(path) {
        Ok(path) => path.to_lossy(),
        Err(_) => String::new(),
    }
}

fn of_verb(command: &CommandView, output: Value) -> Map<String, Value> {
    let Value::Object(mut output) = output else {
        return Map::new();
    };
    match command.verb {
        Verb::ListDirectory | Verb::Walk => {
            files(command, &mut output);
            only(output, &["files", "omitted"])
        }
        Verb::GetRegistryValue => Map::from_iter([("value".to_owned(), Value::Object(output))]),
        Verb::CreateProcess => {
            let code = output.remove("exit_code").unwrap_or(Value::Null);
            let pid = output.remove("pid").unwrap_or(Value::Null);
            Map::from_iter([("return_code".to_owned(), code), ("pid".to_owned(), pid)])
        }
        Verb::ListProcesses => only(output, &["processes", "omitted"]),
        Verb::ListRegistryKeys | Verb::ListRegistryKeysAndValues => {
            only(output, &["values", "sub_keys", "omitted"])
        }
        _ => Map::new(),
    }
}

/// What a host says stands beside the command's own fields, and must not take their places.
fn only(mut output: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    output.retain(|field, _| fields.contains(&field.as_str()));
    output
}

/// Names become texts, and only those that fit the pattern are shown.
fn files(command: &CommandView, output: &mut Map<String, Value>) {
    let directory = text(command.arguments.get("path").cloned().unwrap_or_default());
    let windows = glob::is_windows(&directory);
    let Some(Value::Array(files)) = output.get_mut("files") else {
        return;
    };
    for file in files.iter_mut() {
        if let Some(name) = file.get_mut("filename") {
            *name = text(name.take()).into();
        }
        if let Some(target) = file.get_mut("link_target") {
            *target = text(target.take()).into();
        }
    }
    if let Some(pattern) = pattern(command) {
        files.retain(|file| {
            let name = file.get("filename").and_then(Value::as_str).unwrap_or_default();
            glob::matches(pattern, name, windows)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{command, own};
    use super::*;
    use tripline_protocol::Fault;
    use tripline_protocol::limit::FRAME_BYTES_MAX;

    fn shown_as(command: &CommandView) -> Value {
        shown(&own(), command, command.output.clone())
    }

    #[test]
    fn a_command_has_the_fields_that_clients_read() {
        let mut command = command(Verb::GetFile, json!({"path": "/etc/hosts"}));
        command.file = Some(9);
        let object = shown_as(&command);
        let expected = json!({"id": 3, "session_id": 5, "sensor_id": 7, "name": "get file", "object": "/etc/hosts",
            "status": "pending", "username": "ana", "create_time": 1.5, "completion": 0.0, "result_code": 0,
            "result_type": "WinHresult", "result_desc": "", "file_id": 9});
        assert_eq!(object, expected);
    }

    #[test]
    fn a_failure_is_a_number_for_the_client_and_a_text_for_people() {
        let mut command = command(Verb::GetFile, json!({"path": "/x"}));
        command.state = CommandState::Failed;
        command.error = Some(Fault::live_response("ENOENT", "No such file or directory: /x"));
        let object = shown_as(&command);
        assert_eq!(object["status"], "error");
        assert_eq!(object["result_code"], 2147942402u32);
        assert_eq!(object["result_desc"], "No such file or directory: /x (ENOENT)");
        command.state = CommandState::Cancelled;
        command.error = None;
        assert_eq!(shown_as(&command)["result_code"], 2147943623u32);
    }

    #[test]
    fn a_listing_shows_what_fits_the_pattern_with_names_as_texts() {
        let mut command = command(Verb::ListDirectory, json!({"path": "/tmp"}));
        command.state = CommandState::Succeeded;
        command.origin = Some(json!({"pattern": "*.log"}));
        command.output = Some(json!({"omitted": 0, "files": [
            {"filename": "a.log", "attributes": ["ARCHIVE"]},
            {"filename": {"b64": "/y5sb2c="}, "attributes": ["ARCHIVE"]},
            {"filename": "b", "attributes": ["DIRECTORY"]},
        ]}));
        let object = shown_as(&command);
        assert_eq!(object["object"], "/tmp/*.log");
        let names: Vec<&str> = object["files"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|file| file["filename"].as_str())
            .collect();
        assert_eq!(names, ["a.log", "\u{fffd}.log"]);
    }

    #[test]
    fn a_host_that_lies_changes_no_field_of_the_command() {
        for verb in [Verb::ListProcesses, Verb::ListDirectory, Verb::ListRegistryKeys] {
            let mut command = command(verb, json!({}));
            command.state = CommandState::Succeeded;
            let honest = shown_as(&command);
            // `errorMessage` makes an error of any reply, and any other status makes the client poll on.
            command.output =
                Some(json!({"status": "pending", "id": 99, "session_id": 1, "errorMessage": "x"}));
            assert_eq!(shown_as(&command), honest, "{verb}");
        }
    }

    #[test]
    fn outputs_are_where_the_client_looks_for_them() {
        let done = |verb, output: Value| {
            let mut command = command(verb, json!({}));
            command.state = CommandState::Succeeded;
            command.output = Some(output);
            shown_as(&command)
        };
        let value = json!({"value_name": "Start", "value_type": "REG_DWORD", "value_data": 0});
        assert_eq!(done(Verb::GetRegistryValue, value.clone())["value"], value);
        let keys = done(
            Verb::ListRegistryKeysAndValues,
            json!({"values": [value], "sub_keys": ["Enum"]}),
        );
        assert_eq!(
            (&keys["values"][0], &keys["sub_keys"]),
            (&value, &json!(["Enum"]))
        );
        let processes = done(
            Verb::ListProcesses,
            json!({"processes": [{"pid": 1}], "omitted": 0}),
        );
        assert_eq!(processes["processes"], json!([{"pid": 1}]));
        let created = done(Verb::CreateProcess, json!({"pid": 4, "exit_code": 1}));
        assert_eq!((&created["pid"], &created["return_code"]), (&json!(4), &json!(1)));
    }

    #[actix_web::test]
    async fn an_output_is_read_back_up_to_its_bound_which_is_more_than_a_frame_holds() {
        const { assert!(OUTPUT_BYTES_MAX > FRAME_BYTES_MAX as u64) };
        let dir = tempfile::tempdir().expect("a folder");
        let store = Arc::new(ArtifactStore::open(dir.path(), u64::MAX).expect("a store"));
        let read = async |bytes: u64| {
            let text = Value::String("x".repeat(bytes as usize - 2));
            let (sha256, kept) = store.put_bytes(text.to_string().as_bytes()).expect("kept");
            assert_eq!(kept, bytes);
            let back = read_back(Arc::clone(&store), sha256).await.expect("read");
            (back == text, back.is_null())
        };
        assert_eq!(read(OUTPUT_BYTES_MAX).await, (true, false));
        assert_eq!(read(OUTPUT_BYTES_MAX + 1).await, (false, true));
    }
}
