//! Commands by their names in this dialect, to verbs with arguments.

use super::error::DialectError;
use super::glob;
use serde_json::{Map, Value, json};
use tripline_protocol::Span;
use tripline_protocol::session::{COMMAND_TIMEOUT_MAX, RunCommand, SessionFile};
use tripline_protocol::verb::Verb;

/// The names, as scripts send them and `supported_commands` lists them.
const NAMES: &[(&str, Verb)] = &[
    ("get file", Verb::GetFile),
    ("put file", Verb::PutFile),
    ("delete file", Verb::DeleteFile),
    ("directory list", Verb::ListDirectory),
    ("create directory", Verb::CreateDirectory),
    ("process list", Verb::ListProcesses),
    ("kill", Verb::KillProcess),
    ("create process", Verb::CreateProcess),
    ("reg enum key", Verb::ListRegistryKeysAndValues),
    ("reg query value", Verb::GetRegistryValue),
    ("reg set value", Verb::SetRegistryValue),
    ("reg create key", Verb::CreateRegistryKey),
    ("reg delete key", Verb::DeleteRegistryKey),
    ("reg delete value", Verb::DeleteRegistryValue),
    ("memdump", Verb::Memdump),
    ("get raw file", Verb::GetRawFile),
];

/// The client waits for a dump of memory for an hour, and as long as its script says for a file or a program.
const LONG: Span = Span::from_secs(3600);
/// Longest pattern of a directory list, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;

/// Characters of an unknown command's name that its refusal repeats.
const NAME_CHARS_MAX: usize = 80;

/// What a host with these verbs takes.
pub(super) fn supported(verbs: &[Verb]) -> Vec<&'static str> {
    let names = NAMES.iter().filter(|(_, verb)| verbs.contains(verb));
    names.map(|(name, _)| *name).collect()
}

/// The name of a verb; those that this dialect has no name for keep their own.
pub(super) fn name_of(verb: Verb) -> &'static str {
    let named = NAMES.iter().find(|(_, named)| *named == verb);
    match (named, verb) {
        (Some((name, _)), _) => name,
        (None, Verb::ListRegistryKeys) => "reg enum key",
        (None, verb) => verb.as_str(),
    }
}

/// A command as it was sent.
#[derive(Debug)]
pub(super) struct Request {
    verb: Verb,
    body: Map<String, Value>,
}

impl Request {
    /// Reads the name.
    pub(super) fn read(body: Map<String, Value>) -> Result<Self, DialectError> {
        let name = match body.get("name") {
            Some(Value::String(name)) => name,
            Some(_) => return Err(DialectError::bad("name: expected a text")),
            None => return Err(DialectError::bad("name is needed")),
        };
        let known = NAMES.iter().find(|(known, _)| known == name);
        let verb = known.map(|(_, verb)| *verb).ok_or_else(|| {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            DialectError::bad(format!("Command {name:?} is not known"))
        })?;
        Ok(Self { verb, body })
    }

    /// The number of the uploaded file that a `put file` needs.
    pub(super) fn file_id(&self) -> Result<Option<u32>, DialectError> {
        if self.verb != Verb::PutFile {
            return Ok(None);
        }
        let id = self.field("file_id").and_then(number);
        id.map(Some)
            .ok_or_else(|| DialectError::bad("file_id: expected the number of an uploaded file"))
    }

    /// The command; `file` is the one that [`Self::file_id`] names.
    pub(super) fn command(&self, file: Option<&SessionFile>) -> Result<RunCommand, DialectError> {
        let mut command = RunCommand::new(self.verb, Value::Null);
        command.timeout = Some(self.timeout()?);
        command.arguments = match self.verb {
            Verb::ListProcesses => json!({}),
            Verb::KillProcess => json!({ "pid": self.pid()? }),
            Verb::ListDirectory => {
                let (directory, pattern) = self.directory()?;
                command.origin = pattern.map(|pattern| json!({ "pattern": pattern }));
                json!({ "path": directory })
            }
            Verb::CreateProcess => self.create_process()?,
            Verb::SetRegistryValue => self.set_registry_value()?,
            Verb::GetFile | Verb::GetRawFile => json!({
                "path": self.object()?,
                "offset": self.natural("offset")?,
                "bytes_max": self.natural("get_count")?,
            }),
            Verb::PutFile => json!({
                "path": self.object()?,
                "artifact": file.map(|file| file.sha256.as_str()),
            }),
            Verb::Memdump => json!({ "path": self.object()?, "compress": self.flag("compress")? }),
            _ => json!({ "path": self.object()? }),
        };
        Ok(command)
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    /// What the command is about: for most a path.
    fn object(&self) -> Result<&str, DialectError> {
        match self.field("object") {
            Some(Value::String(text)) if text.contains('\0') => {
                Err(DialectError::bad("object: a text without NUL is needed"))
            }
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(_) => Err(DialectError::bad("object: expected a text")),
            None => {
                let name = name_of(self.verb);
                Err(DialectError::bad(format!("object is needed for {name}")))
            }
        }
    }

    fn pid(&self) -> Result<u32, DialectError> {
        let pid = self.field("object").and_then(number);
        pid.filter(|pid| *pid > 0)
            .ok_or_else(|| DialectError::bad("object: expected a process id"))
    }

    fn flag(&self, name: &str) -> Result<bool, DialectError> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(DialectError::bad(format!("{name}: expected true or false"))),
        }
    }

    fn natural(&self, name: &str) -> Result<Option<u64>, DialectError> {
        match self.field(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(DialectError::bad(format!("{name}: expected a number of bytes"))),
            },
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, DialectError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(DialectError::bad(format!("{name}: expected a text"))),
        }
    }

    /// How long it may run, in seconds where the caller says so: no client does by itself.
    fn timeout(&self) -> Result<Span, DialectError> {
        let most = COMMAND_TIMEOUT_MAX.as_millis() / 1000;
        match self.field("timeout").map(|value| value.as_u64()) {
            None => Ok(match self.verb {
                Verb::GetFile | Verb::GetRawFile | Verb::PutFile | Verb::CreateProcess | Verb::Memdump => {
                    LONG
                }
                _ => RunCommand::TIMEOUT_DEFAULT,
            }),
            Some(Some(seconds)) if (1..=most).contains(&seconds) => Ok(Span::from_secs(seconds)),
            Some(_) => Err(DialectError::bad(format!(
                "timeout: expected 1 to {most} seconds"
            ))),
        }
    }

    /// The directory, and what of it is wanted.
    fn directory(&self) -> Result<(&str, Option<&str>), DialectError> {
        let path = self.object()?;
        match glob::split(path) {
            None => Ok((path, None)),
            Some((_, pattern)) if pattern.len() > PATTERN_BYTES_MAX => Err(DialectError::bad(format!(
                "object: a pattern of at most {PATTERN_BYTES_MAX} bytes is taken"
            ))),
            Some((directory, pattern)) => Ok((directory, Some(pattern))),
        }
    }

    /// The output goes to a file on the host, which the client fetches and deletes afterwards.
    fn create_process(&self) -> Result<Value, DialectError> {
        let mut arguments = json!({ "command": self.object()?, "wait": self.flag("wait")? });
        let paths = [
            ("output_path", "output_file"),
            ("working_directory", "working_directory"),
        ];
        for (argument, field) in paths {
            if let Some(path) = self.text(field)?.filter(|path| !path.is_empty())
                && let Value::Object(arguments) = &mut arguments
            {
                arguments.insert(argument.to_owned(), path.into());
            }
        }
        Ok(arguments)
    }

    fn set_registry_value(&self) -> Result<Value, DialectError> {
        let overwrite = match self.field("overwrite") {
            None => true,
            Some(_) => self.flag("overwrite")?,
        };
        Ok(json!({
            "path": self.object()?,
            "value": self.field("value_data"),
            "value_type": self.text("value_type")?,
            "overwrite": overwrite,
        }))
    }
}

/// A number, also one that a script wrote as text.
pub(super) fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::verb::VerbCall;

    fn read(body: Value) -> Result<RunCommand, DialectError> {
        let Value::Object(body) = body else {
            panic!("an object")
        };
        Request::read(body)?.command(None)
    }

    /// The arguments, which the verb must take.
    fn call(body: Value) -> VerbCall {
        let command = read(body).expect("a command");
        VerbCall::parse(command.verb, command.arguments).expect("a call")
    }

    #[test]
    fn every_command_that_the_client_sends_is_a_call_that_a_verb_takes() {
        for body in [
            json!({"name": "get file", "object": "/etc/hosts"}),
            json!({"name": "get file", "object": "/etc/hosts", "offset": 3, "get_count": 4}),
            json!({"name": "delete file", "object": "/tmp/x"}),
            json!({"name": "directory list", "object": "/tmp/"}),
            json!({"name": "directory list", "object": "/tmp/*"}),
            json!({"name": "create directory", "object": "/tmp/x"}),
            json!({"name": "process list", "session_id": 4}),
            json!({"name": "kill", "object": 42}),
            json!({"name": "create process", "object": "id -u", "wait": true, "output_file": "/tmp/o",
                "working_directory": "/"}),
            json!({"name": "create process", "object": "id -u", "wait": false}),
            json!({"name": "reg enum key", "object": "HKLM\\X"}),
            json!({"name": "reg query value", "object": "HKLM\\X"}),
            json!({"name": "reg set value", "object": "HKLM\\X", "overwrite": true, "value_type": "REG_DWORD",
                "value_data": 1}),
            json!({"name": "reg create key", "object": "HKLM\\X"}),
            json!({"name": "reg delete key", "object": "HKLM\\X"}),
            json!({"name": "reg delete value", "object": "HKLM\\X"}),
            json!({"name": "memdump", "object": "C:\\dump", "compress": true}),
        ] {
            call(body);
        }
    }

    #[test]
    fn a_put_needs_the_number_of_a_file() {
        let request = |id: Value| {
            let body = json!({"name": "put file", "object": "/tmp/x", "file_id": id});
            let Value::Object(body) = body else {
                panic!("an object")
            };
            Request::read(body).expect("a request").file_id()
        };
        assert_eq!(request(json!(7)).expect("a number"), Some(7));
        for wrong in [Value::Null, json!("x"), json!(-1), json!([7])] {
            assert!(request(wrong).is_err());
        }
    }

    #[test]
    fn a_process_id_is_a_number_however_it_is_written() {
        let kill = |pid: Value| read(json!({"name": "kill", "object": pid}));
        assert_eq!(kill(json!(42)).expect("a pid").arguments, json!({"pid": 42}));
        assert_eq!(kill(json!("42")).expect("a pid").arguments, json!({"pid": 42}));
        for wrong in [
            json!("init"),
            json!(0),
            json!(-1),
            json!(4.5),
            json!(null),
            json!(1u64 << 40),
            json!(""),
        ] {
            assert!(kill(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_client_never_sends_is_refused_by_name() {
        for (body, word) in [
            (json!({}), "name"),
            (json!({"name": 4}), "name"),
            (json!({"name": "format disk"}), "format disk"),
            (json!({"name": "get file"}), "object"),
            (json!({"name": "get file", "object": 4}), "object"),
            (json!({"name": "get file", "object": ""}), "object"),
            (json!({"name": "get file", "object": "/a\0b"}), "NUL"),
            (
                json!({"name": "create process", "object": "id", "wait": "yes"}),
                "wait",
            ),
            (
                json!({"name": "create process", "object": "id", "output_file": 4}),
                "output_file",
            ),
            (
                json!({"name": "get file", "object": "/a", "offset": "x"}),
                "offset",
            ),
            (json!({"name": "process list", "timeout": 0}), "timeout"),
            (
                json!({"name": "directory list", "object": format!("/a/{}", "*".repeat(2000))}),
                "pattern",
            ),
        ] {
            let error = read(body.clone()).expect_err("refused").to_string();
            assert!(error.contains(word), "{body}: {error}");
        }
    }

    #[test]
    fn names_and_verbs_are_one_to_one() {
        for (name, verb) in NAMES {
            assert_eq!(name_of(*verb), *name);
        }
        assert_eq!(
            supported(&[Verb::KillProcess, Verb::ListProcesses]),
            ["process list", "kill"]
        );
    }

    #[test]
    fn a_pattern_is_taken_up_to_its_bound() {
        let list = |bytes: usize| {
            read(json!({"name": "directory list", "object": format!("/tmp/{}*", "x".repeat(bytes - 1))}))
        };
        assert!(list(PATTERN_BYTES_MAX).is_ok());
        let refused = list(PATTERN_BYTES_MAX + 1).expect_err("too long").to_string();
        assert!(refused.contains("at most 1024 bytes"), "{refused}");
    }

    #[test]
    fn an_unknown_command_is_named_in_so_many_characters() {
        let refused = |name: &str| read(json!({ "name": name })).expect_err("unknown").to_string();
        let longest = "x".repeat(NAME_CHARS_MAX);
        let expected = format!("Command \"{longest}\" is not known");
        assert_eq!(refused(&longest), expected);
        assert_eq!(refused(&format!("{longest}y")), expected);
    }
}
