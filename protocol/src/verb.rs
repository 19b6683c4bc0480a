//! The live-response verbs: names, arguments and outputs. Names are those of cbapi's session methods; `isolate` and
//! `unisolate` are our own.
//!
//! Arguments refuse unknown fields (a person writes them); outputs ignore them (another version may). How
//! a verb is carried out is the agent's business, not said here.

mod arguments;
mod output;

pub use arguments::*;
pub use output::*;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $variant:ident($args:ident) = $name:literal, $effect:ident;)*) => {
        /// The name of a verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb { $($(#[doc = $doc])* $variant,)* }

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
        pub enum VerbCall { $($(#[doc = $doc])* $variant($args),)* }

        #[cfg(feature = "openapi")]
        impl Verb {
            /// What it does, in one sentence.
            pub fn description(self) -> &'static str {
                let text = match self { $(Verb::$variant => concat!($($doc),*),)* };
                text.trim_start()
            }

            /// The name of the schema of its arguments.
            pub fn name_of_arguments(self) -> std::borrow::Cow<'static, str> {
                match self { $(Verb::$variant => <$args as utoipa::ToSchema>::name(),)* }
            }

            /// Adds the schemas of the arguments of all verbs.
            pub fn add_arguments(schemas: &mut crate::openapi::Schemas) {
                $(crate::openapi::add::<$args>(schemas);)*
            }
        }

        impl VerbCall {
            /// The verb without its arguments.
            pub const fn verb(&self) -> Verb {
                match self { $(VerbCall::$variant(_) => Verb::$variant,)* }
            }

            /// Reads the arguments of `verb` from JSON; the error names the argument.
            pub fn parse(verb: Verb, args: Value) -> Result<Self, InvalidArguments> {
                let args = if args.is_null() { Value::Object(Default::default()) } else { args };
                let call = match verb {
                    $(Verb::$variant => serde_path_to_error::deserialize(args).map(VerbCall::$variant),)*
                };
                let call = call.map_err(|error| InvalidArguments { verb, reason: named(&error) })?;
                call.checked()
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

/// The error, with the argument it is about in front where there is one: `pid: invalid type: …`.
fn named(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    match error.path().iter().next() {
        Some(_) => format!("{}: {}", error.path(), error.inner()),
        None => error.inner().to_string(),
    }
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
    /// Fetch a file past the file system's locks (Windows), or without changing its access time (Linux, where it
    /// also reads block devices if the agent's configuration allows it).
    GetRawFile(GetFile) = "get_raw_file", Reads;
    /// Write the memory of a process, or of the whole machine, to a file on the host.
    Memdump(Memdump) = "memdump", Mutates;
    /// Cut the host off from every address but its server's and those allowed, for a time; again: renew it.
    Isolate(Isolate) = "isolate", Mutates;
    /// End the isolation of the host.
    Unisolate(NoArguments) = "unisolate", Mutates;
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

    /// Whether a file's content goes over the channel in chunks.
    pub fn moves_content(&self) -> bool {
        match self {
            VerbCall::PutFile(args) => args.artifact.is_some(),
            call => call.fetches_content(),
        }
    }

    /// Whether a file's content comes from the host in chunks.
    pub fn fetches_content(&self) -> bool {
        matches!(self, VerbCall::GetFile(_) | VerbCall::GetRawFile(_))
    }

    /// Rules that a type cannot say: which arguments go together, and how large they may be. Whoever reads
    /// a call from a frame (which is typed, not parsed) applies them too.
    pub fn checked(self) -> Result<Self, InvalidArguments> {
        let found = match &self {
            VerbCall::CreateProcess(args) => args.fault(),
            VerbCall::PutFile(args) => args.fault(),
            VerbCall::Memdump(args) => args.fault(),
            VerbCall::Isolate(args) => args.fault(),
            VerbCall::KillProcess(args) if args.pid == 0 => Some("pid must be positive".into()),
            VerbCall::SetRegistryValue(args) if !crate::limit::is_shallow(&args.value) => {
                Some("value is nested too deeply".into())
            }
            _ => None,
        };
        match found {
            Some(reason) => Err(InvalidArguments {
                verb: self.verb(),
                reason,
            }),
            None => Ok(self),
        }
    }
}
