//! The arguments of each verb, and the rules among them. Unknown fields are errors.

use crate::id::Sha256;
use crate::isolation::{allow_fault, span_fault};
use crate::limit::{INLINE_CONTENT_BYTES_MAX, ISOLATION_SPAN_DEFAULT, OUTPUT_BYTES_MAX};
use crate::network::Network;
use crate::path::RemotePath;
use crate::time::Span;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// No arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// One path on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PathOnly {
    /// Absolute path.
    pub path: RemotePath,
}

/// `get_file` and `get_raw_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// `put_file`: exactly one of `content`, `content_b64` and `artifact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    #[cfg_attr(feature = "openapi", schema(maximum = 4095))]
    pub mode: Option<u32>,
    /// Whether an existing file is replaced; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
}

impl PutFile {
    pub(super) fn fault(&self) -> Option<String> {
        let given = [
            self.content.is_some(),
            self.content_b64.is_some(),
            self.artifact.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Some("exactly one of content, content_b64 and artifact is needed".into());
        }
        if self.mode.is_some_and(|mode| mode > 0o7777) {
            return Some("mode has more than the permission bits".into());
        }
        let bytes = match (&self.content, &self.content_b64) {
            (Some(text), _) => text.len(),
            (_, Some(b64)) => match STANDARD.decode(b64) {
                Ok(bytes) => bytes.len(),
                Err(error) => return Some(format!("content_b64 is no base64: {error}")),
            },
            _ => 0,
        };
        (bytes > INLINE_CONTENT_BYTES_MAX).then(|| {
            format!("content of {bytes} bytes, at most {INLINE_CONTENT_BYTES_MAX} are taken; use an artifact")
        })
    }
}

/// `create_directory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// Absolute path of the top directory.
    pub path: RemotePath,
    /// Levels below the top to enter; default 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_max: Option<u32>,
}

/// `kill_process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KillProcess {
    /// Process id.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateProcess {
    /// Program and arguments; nothing is split or expanded. An argument may be empty, the program not.
    #[serde(
        default,
        deserialize_with = "crate::path::arguments",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<crate::openapi::Argument>>, min_items = 1))]
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
    /// Absolute path of a file on the host that stdout and stderr are written to, whole and in their order,
    /// instead of being captured. It is made, or emptied, before the program starts; one that was made is
    /// removed again when the program does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_path: Option<RemotePath>,
    /// Most bytes captured of stdout and of stderr, at most and by default 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 65536))]
    pub output_bytes_max: Option<u64>,
}

impl CreateProcess {
    pub(super) fn fault(&self) -> Option<String> {
        match (&self.argv, &self.command) {
            (Some(argv), None) if argv.first().is_none_or(|program| program.as_bytes().is_empty()) => {
                return Some("argv must name a program".into());
            }
            (None, Some(command)) if command.trim().is_empty() => {
                return Some("command must name a program".into());
            }
            (None, Some(command)) if command.contains('\0') => {
                return Some("command must not contain a NUL byte".into());
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Some("exactly one of argv and command is needed".into()),
        }
        if self
            .output_bytes_max
            .is_some_and(|bytes| bytes > OUTPUT_BYTES_MAX as u64)
        {
            return Some(format!("output_bytes_max is at most {OUTPUT_BYTES_MAX}"));
        }
        self.environment.iter().find_map(|(name, value)| {
            let legal = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            (!legal).then(|| format!("environment {name:?}: a name or value no process can have"))
        })
    }
}

/// `memdump`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Memdump {
    /// Absolute path of the file on the host to write.
    pub path: RemotePath,
    /// Process id; absent: the whole memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub pid: Option<u32>,
    /// Unix seconds; only with `pid`. When the process started at another time, it is another process and the call
    /// is refused (`recycled_pid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// Write a zip with the image in it, as `<path>.zip`; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
}

impl Memdump {
    pub(super) fn fault(&self) -> Option<String> {
        match (self.pid, self.start_time) {
            (Some(0), _) => Some("pid must be positive".into()),
            (None, Some(_)) => Some("start_time needs a pid".into()),
            _ => None,
        }
    }

    /// The file that is written: cbapi's convention for compressed ones.
    pub fn target(&self) -> RemotePath {
        match self.compress {
            true => [self.path.as_bytes(), b".zip"].concat().into(),
            false => self.path.clone(),
        }
    }
}

/// `isolate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Isolate {
    /// When it ends by itself, counted from its beginning; default 4 h.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Go on with it after the host booted again; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persist: bool,
    /// Addresses that stay reachable beside the server and those of the agent's configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 32))]
    pub allow: Vec<Network>,
}

impl Isolate {
    /// How long it lasts.
    pub fn span(&self) -> Span {
        self.lasts.unwrap_or(ISOLATION_SPAN_DEFAULT)
    }

    pub(super) fn fault(&self) -> Option<String> {
        let allow = || allow_fault(&self.allow).map(|fault| format!("allow: {fault}"));
        span_fault(self.span()).or_else(allow)
    }
}

/// A registry key or value by its full path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistryPath {
    /// `HKLM\…`.
    pub path: String,
}

/// `set_registry_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetRegistryValue {
    /// Full path of the value.
    pub path: String,
    /// A number (REG_DWORD), a list of strings (REG_MULTI_SZ) or a string (REG_SZ) unless `value_type`; as a
    /// REG_BINARY in base64.
    pub value: Value,
    /// `REG_SZ`, `REG_DWORD`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<String>,
    /// Replace an existing value; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
}
