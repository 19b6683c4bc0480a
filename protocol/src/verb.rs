//! The live-response verbs: names, arguments and outputs. Names are those of cbapi's session methods.
//!
//! Arguments refuse unknown fields (a person writes them); outputs ignore them (another version may).

use crate::id::Sha256;
use crate::path::RemotePath;
use crate::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident($args:ident) = $name:literal, $effect:ident;)*) => {
        /// The name of a verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb { $($(#[$doc])* $variant,)* }

        impl Verb {
            /// All verbs, in the order of the documentation.
            pub const ALL: &'static [Verb] = &[$(Verb::$variant,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Verb::$variant => $name,)* }
            }

            /// Whether running it changes the host. What only reads may be repeated freely.
            pub const fn effect(self) -> Effect {
                match self { $(Verb::$variant => Effect::$effect,)* }
            }
        }

        /// A verb with its arguments: `{"get_file": {"path": "/etc/hosts"}}`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum VerbCall { $($(#[$doc])* $variant($args),)* }

        impl VerbCall {
            /// The verb without its arguments.
            pub const fn verb(&self) -> Verb {
                match self { $(VerbCall::$variant(_) => Verb::$variant,)* }
            }

            /// Reads the arguments of `verb` from JSON; the error names the argument.
            pub fn parse(verb: Verb, args: Value) -> Result<Self, InvalidArguments> {
                let args = if args.is_null() { Value::Object(Default::default()) } else { args };
                let call = match verb {
                    $(Verb::$variant => serde_json::from_value::<$args>(args).map(VerbCall::$variant),)*
                };
                call.map_err(|source| InvalidArguments { verb, reason: source.to_string() })
                    .and_then(VerbCall::checked)
            }
        }
    };
}

/// Whether a verb changes the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Only reads: may be sent again when its outcome is unknown.
    Reads,
    /// Changes something: never run twice behind anyone's back.
    Mutates,
}

/// Arguments that do not fit their verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("arguments of {verb}: {reason}")]
pub struct InvalidArguments {
    /// The verb they were for.
    pub verb: Verb,
    /// What is wrong with them, naming the argument.
    pub reason: String,
}

verbs! {
    /// Fetch a file; its content becomes an artifact.
    GetFile(GetFile) = "get_file", Reads;
    /// Write a file under a temporary name, sync it, and rename it into place.
    PutFile(PutFile) = "put_file", Mutates;
    /// Remove a file (not a directory with content).
    DeleteFile(PathOnly) = "delete_file", Mutates;
    /// List one directory, without following symlinks.
    ListDirectory(PathOnly) = "list_directory", Reads;
    /// Make a directory.
    CreateDirectory(CreateDirectory) = "create_directory", Mutates;
    /// List a tree of directories, without following symlinks.
    Walk(Walk) = "walk", Reads;
    /// List the host's processes.
    ListProcesses(NoArguments) = "list_processes", Reads;
    /// End a process.
    KillProcess(KillProcess) = "kill_process", Mutates;
    /// Run a program.
    CreateProcess(CreateProcess) = "create_process", Mutates;
    /// Fetch a file past the file system's locks (Windows).
    GetRawFile(GetFile) = "get_raw_file", Reads;
    /// Write the memory of a process, or of the whole machine, to a file on the host.
    Memdump(Memdump) = "memdump", Mutates;
    /// List a registry key's values and sub-keys.
    ListRegistryKeysAndValues(RegistryPath) = "list_registry_keys_and_values", Reads;
    /// List a registry key's sub-keys.
    ListRegistryKeys(RegistryPath) = "list_registry_keys", Reads;
    /// Read a registry value.
    GetRegistryValue(RegistryPath) = "get_registry_value", Reads;
    /// Write a registry value.
    SetRegistryValue(SetRegistryValue) = "set_registry_value", Mutates;
    /// Make a registry key.
    CreateRegistryKey(RegistryPath) = "create_registry_key", Mutates;
    /// Remove a registry key.
    DeleteRegistryKey(RegistryPath) = "delete_registry_key", Mutates;
    /// Remove a registry value.
    DeleteRegistryValue(RegistryPath) = "delete_registry_value", Mutates;
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no verb")]
pub struct UnknownVerb(pub String);

impl FromStr for Verb {
    type Err = UnknownVerb;
    fn from_str(text: &str) -> Result<Self, UnknownVerb> {
        Verb::ALL
            .iter()
            .copied()
            .find(|verb| verb.as_str() == text)
            .ok_or_else(|| UnknownVerb(text.chars().take(80).collect()))
    }
}

impl VerbCall {
    /// The arguments as JSON, without the verb's name around them.
    pub fn to_args(&self) -> Value {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map.into_iter().next().map_or(Value::Null, |(_, args)| args),
            _ => Value::Null,
        }
    }

    /// Rules between arguments that a type cannot say.
    fn checked(self) -> Result<Self, InvalidArguments> {
        let verb = self.verb();
        let refuse = |reason: &str| {
            Err(InvalidArguments {
                verb,
                reason: reason.into(),
            })
        };
        match &self {
            VerbCall::CreateProcess(args) => match (&args.argv, &args.command) {
                (Some(argv), None) if argv.is_empty() => refuse("argv must name a program"),
                (Some(_), None) | (None, Some(_)) => Ok(self),
                _ => refuse("exactly one of argv and command is needed"),
            },
            VerbCall::PutFile(args) => {
                match [
                    args.content.is_some(),
                    args.content_b64.is_some(),
                    args.artifact.is_some(),
                ]
                .iter()
                .filter(|given| **given)
                .count()
                {
                    1 => Ok(self),
                    _ => refuse("exactly one of content, content_b64 and artifact is needed"),
                }
            }
            VerbCall::KillProcess(args) if args.pid == 0 => refuse("pid must be positive"),
            _ => Ok(self),
        }
    }
}

/// No arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// One path on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathOnly {
    /// Absolute path.
    pub path: RemotePath,
}

/// `get_file` and `get_raw_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetFile {
    /// Absolute path of a regular file.
    pub path: RemotePath,
    /// First byte wanted; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Most bytes wanted; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
}

/// Output of `get_file`: what was sent in chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileFetched {
    /// Of the bytes sent.
    pub sha256: Sha256,
    /// Bytes sent.
    pub bytes: u64,
}

/// `put_file`: exactly one of `content`, `content_b64` and `artifact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutFile {
    /// Absolute path of the file to write; its directory must exist.
    pub path: RemotePath,
    /// The content as text, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The content in base64, at most 64 KiB decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_b64: Option<String>,
    /// The content by hash, of an artifact the server keeps; sent in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Sha256>,
    /// Unix permission bits; default 0600, or those of the file replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Whether an existing file is replaced; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
}

/// Output of `put_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileWritten {
    /// Of the content written.
    pub sha256: Sha256,
    /// Bytes written.
    pub bytes: u64,
}

/// `create_directory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateDirectory {
    /// Absolute path.
    pub path: RemotePath,
    /// Make missing parents too, and accept an existing directory; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parents: bool,
}

/// `walk`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// Absolute path of the top directory.
    pub path: RemotePath,
    /// Levels below the top to enter; default 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_max: Option<u32>,
}

/// One entry of a listing, with cbapi's field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Name within the directory; for `walk` the path below the top.
    pub filename: RemotePath,
    /// cbapi's words: `DIRECTORY`, `ARCHIVE` (a regular file), `REPARSE_POINT` (a symlink, never also
    /// `DIRECTORY`), `DEVICE` (anything else), `READONLY`, `HIDDEN`.
    pub attributes: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Unix seconds; the change time where the file system keeps no creation time.
    pub create_time: i64,
    /// Unix seconds.
    pub last_access_time: i64,
    /// Unix seconds.
    pub last_write_time: i64,
    /// Unix permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner's name, or the number where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where a symlink points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<RemotePath>,
}

/// Output of `list_directory` and `walk`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectoryListing {
    /// Sorted by name, at most [`crate::limit::LIST_ENTRIES_MAX`].
    pub files: Vec<DirectoryEntry>,
    /// Entries left out because of a limit.
    #[serde(default)]
    pub omitted: u64,
}

/// One process, with cbapi's field names; no field is ever null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// Process id.
    pub pid: u32,
    /// Parent's process id, 0 when there is none.
    pub parent: u32,
    /// Path of the program, or its bracketed name where there is no file (`[kthreadd]`).
    pub path: String,
    /// The arguments joined by spaces; the bracketed name where there are none.
    pub command_line: String,
    /// Owner's name, or the number where it has none.
    pub username: String,
    /// Owner's numeric id as text (cbapi: the Windows SID).
    pub sid: String,
    /// Start time, Unix seconds.
    pub create_time: i64,
    /// Stable over the process's life: UUID over host boot, pid and start.
    pub proc_guid: String,
    /// The same of its parent; the nil UUID when there is none.
    pub parent_guid: String,
}

/// Output of `list_processes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessListing {
    /// Sorted by pid, at most [`crate::limit::LIST_ENTRIES_MAX`].
    pub processes: Vec<ProcessEntry>,
    /// Processes left out because of a limit.
    #[serde(default)]
    pub omitted: u64,
}

/// `kill_process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillProcess {
    /// Process id.
    pub pid: u32,
    /// Unix seconds; when given and the process started at another time, it is another process and the
    /// call is refused (`recycled_pid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// How long to wait for its end; default 5 s. A process still there then is a `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
}

/// `create_process`: exactly one of `argv` and `command`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateProcess {
    /// Program and arguments; nothing is split or expanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<RemotePath>>,
    /// One string, split as POSIX words; no shell is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Absolute path; default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<RemotePath>,
    /// Added to the agent's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Wait for its end; default true. When false it goes on by itself and only its pid is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
    /// When the whole process group is ended; default: the step's deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Most bytes captured of stdout and of stderr, at most and by default 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_max: Option<u64>,
}

/// Output of `create_process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessOutcome {
    /// Process id.
    pub pid: u32,
    /// Exit code; absent when it was not waited for or a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Captured output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Captured>,
    /// Captured error output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Captured>,
}

/// Output captured up to a limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// The text, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes in base64, when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b64: Option<String>,
    /// Bytes that were written beyond the limit and dropped.
    #[serde(default)]
    pub truncated_bytes: u64,
}

/// `memdump`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memdump {
    /// File on the host to write.
    pub path: RemotePath,
    /// Process id; absent: the whole memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Compress it; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
}

/// A registry key or value by its full path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryPath {
    /// `HKLM\…`.
    pub path: String,
}

/// `set_registry_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRegistryValue {
    /// Full path of the value.
    pub path: String,
    /// A number (REG_DWORD), a list of strings (REG_MULTI_SZ) or a string (REG_SZ) unless `value_type`.
    pub value: Value,
    /// `REG_SZ`, `REG_DWORD`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<String>,
    /// Replace an existing value; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
}

/// One registry value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistryValue {
    /// Its name.
    pub value_name: String,
    /// `REG_SZ`, …
    pub value_type: String,
    /// Its data.
    pub value_data: Value,
}

/// Output of `list_registry_keys_and_values`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistryListing {
    /// The key's values.
    pub values: Vec<RegistryValue>,
    /// The names of its sub-keys.
    pub sub_keys: Vec<String>,
}
