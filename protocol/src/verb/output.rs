//! What each verb returns. Unknown fields are ignored: an agent may be newer than its server.

use crate::id::Sha256;
use crate::network::Network;
use crate::path::RemotePath;
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// Output of verbs that only do something: `delete_file`, `create_directory`, `kill_process`, and all that write the registry. `{}`, not null: a frame's `output: null` reads as none at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoOutput {}

/// Output of `get_file`: what was sent in chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileFetched {
    /// Of the bytes sent.
    pub sha256: Sha256,
    /// Bytes sent.
    pub bytes: u64,
}

/// Output of `put_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileWritten {
    /// Of the content written.
    pub sha256: Sha256,
    /// Bytes written.
    pub bytes: u64,
}

/// Output of `memdump`. An agent that says nothing of it answers `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryDumped {
    /// Bytes of the image, before it was compressed.
    #[serde(default)]
    pub bytes: u64,
    /// What it is: `elf_core` (a process) or `lime` (the whole memory).
    #[serde(default)]
    pub format: String,
    /// Places that could not be read, each as long as it went on; they are zero in the image.
    #[serde(default)]
    pub gaps: u64,
    /// Bytes of all of them.
    #[serde(default)]
    pub gap_bytes: u64,
}

/// One entry of a listing, with cbapi's field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DirectoryListing {
    /// Sorted by name, at most [`crate::limit::LIST_ENTRIES_MAX`].
    #[cfg_attr(feature = "openapi", schema(max_items = 2000))]
    pub files: Vec<DirectoryEntry>,
    /// Entries left out because of a limit.
    #[serde(default)]
    pub omitted: u64,
}

/// One process, with cbapi's field names; no field is ever null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessListing {
    /// Sorted by pid, at most [`crate::limit::LIST_ENTRIES_MAX`].
    #[cfg_attr(feature = "openapi", schema(max_items = 2000))]
    pub processes: Vec<ProcessEntry>,
    /// Processes left out because of a limit.
    #[serde(default)]
    pub omitted: u64,
}

/// Output of `create_process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl Captured {
    /// The bytes as they were written, up to the limit.
    pub fn to_bytes(&self) -> Vec<u8> {
        match (&self.text, &self.b64) {
            (Some(text), _) => text.as_bytes().to_vec(),
            // What is no base64 was not written by an agent.
            (None, Some(b64)) => STANDARD.decode(b64).unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }
}

/// Output of `isolate`: what stays reachable, and until when nothing else is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Isolated {
    /// When it ends by itself, by the host's clock.
    pub until: Timestamp,
    /// Whether it goes on after the host booted again.
    #[serde(default)]
    pub persist: bool,
    /// The server's addresses, with the port.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub server: Vec<SocketAddr>,
    /// Name servers, where the server is given by name.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub name_servers: Vec<IpAddr>,
    /// What the command and the agent's configuration allow.
    #[serde(default)]
    pub allow: Vec<Network>,
}

/// Output of `unisolate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unisolated {
    /// Whether the host was isolated until then.
    pub was_isolated: bool,
}

/// One registry value; output of `get_registry_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistryValue {
    /// Its name.
    pub value_name: String,
    /// `REG_SZ`, …
    pub value_type: String,
    /// Its data: a text, a number, a list of texts, or base64 (`REG_BINARY`).
    pub value_data: Value,
}

/// Output of `list_registry_keys_and_values`, and of `list_registry_keys`, without `values`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistryListing {
    /// The key's values.
    #[serde(default)]
    pub values: Vec<RegistryValue>,
    /// The names of its sub-keys.
    pub sub_keys: Vec<String>,
}
