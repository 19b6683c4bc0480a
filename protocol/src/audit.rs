//! Records of the audit: who did what, when, from where, on what, and how it went.
//!
//! A record is one line of JSON in its canonical encoding ([`canonical`]). The next record of the same chain holds the
//! SHA-256 of exactly these bytes, so that a record that is changed, left out or put elsewhere is noticed.
//!
//! Deliberately not here: contents of files, outputs of commands, secrets; hashing.

use crate::api::Role;
use crate::id::{Name, Sha256};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The chain of what concerns no org but the server itself.
pub const SERVER_CHAIN: &str = "_";

/// Declares the actions: variant, its word in records, and what it means.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// What was done. `<noun>.<verb>`, the verb as in a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $variant,)* }

        impl Action {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Action] = &[$(Action::$variant,)*];

            /// Its word in records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Action::$variant => $word,)* }
            }
        }
    };
}

actions! {
    /// The server began to run.
    ServerStart = "server.start";
    /// The server is about to end.
    ServerStop = "server.stop";
    /// No new jobs start.
    ServerPause = "server.pause";
    /// They start again.
    ServerResume = "server.resume";
    /// An orderly end was asked for.
    ServerDrain = "server.drain";
    /// All rows of the store were handed out.
    StoreExport = "store.export";
    /// The configuration in force, at a start or when it was read again.
    ConfigLoad = "config.load";
    /// A set of pipelines and named jobs came into force, or was refused.
    RulesLoad = "rules.load";
    /// A pipeline was paused, by a person or because too many of its jobs failed.
    PipelinePause = "pipeline.pause";
    /// A person let it act again.
    PipelineResume = "pipeline.resume";
    /// The event of a dead letter is handled once more.
    DeadReplay = "dead.replay";
    /// A dead letter was removed from its stream.
    DeadDrop = "dead.drop";
    /// Messages were put back from the outbox's quarantine.
    OutboxRetry = "outbox.retry";
    /// A message in the outbox's quarantine was removed.
    OutboxDrop = "outbox.drop";
    /// A token was made.
    TokenCreate = "token.create";
    /// A token was revoked.
    TokenRevoke = "token.revoke";
    /// Somebody came without a valid token, key or secret.
    AccessDeny = "access.deny";
    /// Somebody with a valid token asked for what it does not allow.
    AccessForbid = "access.forbid";
    /// An agent enrolled.
    HostEnrol = "host.enrol";
    /// A host's labels were changed.
    HostLabel = "host.label";
    /// A host was joined with a LittleBrother client.
    HostLink = "host.link";
    /// They were parted.
    HostUnlink = "host.unlink";
    /// A host was forgotten.
    HostForget = "host.forget";
    /// An agent is to replace its key.
    KeyRotate = "key.rotate";
    /// An agent's key was revoked.
    KeyRevoke = "key.revoke";
    /// LimaCharlie said that an org subscribed.
    OrgInstall = "org.install";
    /// LimaCharlie said that an org ended its subscription: everything of it is removed.
    OrgUninstall = "org.uninstall";
    /// Everything of such an org was removed.
    OrgRemoved = "org.removed";
    /// A caller submitted a job.
    JobSubmit = "job.submit";
    /// A caller cancelled a job.
    JobCancel = "job.cancel";
    /// A caller submitted a fan-out.
    FanoutSubmit = "fanout.submit";
    /// A caller paused a fan-out.
    FanoutPause = "fanout.pause";
    /// A caller let a fan-out go on.
    FanoutResume = "fanout.resume";
    /// A caller cancelled a fan-out.
    FanoutCancel = "fanout.cancel";
    /// A caller gave hosts of a fan-out another turn.
    FanoutRetry = "fanout.retry";
    /// A caller published an event.
    EventPublish = "event.publish";
    /// A caller opened a session.
    SessionOpen = "session.open";
    /// A session ended.
    SessionClose = "session.close";
    /// A caller gave a session a file.
    FileAdd = "file.add";
    /// A caller deleted a file of a session.
    FileDelete = "file.delete";
    /// The content of a file was handed out.
    FileFetch = "file.fetch";
    /// A command that changes its host is about to be sent there.
    CommandSend = "command.send";
    /// A command ended.
    CommandEnd = "command.end";
    /// A caller cancelled a command.
    CommandCancel = "command.cancel";
    /// A service was registered over the API.
    ServiceRegister = "service.register";
    /// Its registration was changed.
    ServiceChange = "service.change";
    /// It was removed.
    ServiceRemove = "service.remove";
    /// What waits for its time was tried at once.
    ServiceRetry = "service.retry";
    /// A caller asked a service for something.
    ServiceRequest = "service.request";
    /// A caller verified a chain, and this is what it found.
    AuditVerify = "audit.verify";
    /// The oldest records of this chain were removed.
    AuditPrune = "audit.prune";
}

/// What kind of actor did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhoKind {
    /// The holder of a token: `id`, `name` and `role` are the token's.
    Token,
    /// An agent: `id` is its host's.
    Agent,
    /// A LittleBrother client: `id` is that of its own record.
    Littlebrother,
    /// LimaCharlie, by its signature.
    Limacharlie,
    /// A pipeline: `name` and `version` are the pipeline's.
    Pipeline,
    /// The server itself, or whoever can write its files.
    System,
    /// Nobody knows: what was presented is not valid.
    Unknown,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Who {
    /// What kind of actor.
    pub kind: WhoKind,
    /// By which it is known for certain; names repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The token's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Who {
    /// One of a kind of which nothing else is known.
    pub fn of_kind(kind: WhoKind) -> Self {
        Self {
            kind,
            id: None,
            name: None,
            role: None,
            version: None,
        }
    }

    /// A pipeline.
    pub fn pipeline(name: &Name, version: &str) -> Self {
        Self {
            name: Some(name.to_string()),
            version: Some(version.to_owned()),
            ..Self::of_kind(WhoKind::Pipeline)
        }
    }

    /// Who is known by an id.
    pub fn with_id(kind: WhoKind, id: impl ToString) -> Self {
        Self {
            id: Some(id.to_string()),
            ..Self::of_kind(kind)
        }
    }
}

/// Which door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `/v1`.
    V1,
    /// The Carbon Black dialect.
    Carbonblack,
    /// LittleBrother clients.
    Littlebrother,
    /// LimaCharlie, which calls the service role.
    Limacharlie,
    /// The NATS micro service.
    Nats,
    /// The agent channel.
    Agent,
}

impl Dialect {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Carbonblack => "carbonblack",
            Self::Littlebrother => "littlebrother",
            Self::Limacharlie => "limacharlie",
            Self::Nats => "nats",
            Self::Agent => "agent",
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Place {
    /// The door.
    pub dialect: Dialect,
    /// The peer's address and port. NATS tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The request's id, as in the log and in its answer's `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditOutcome {
    /// `done`, `refused`; of commands `sent`, `succeeded`, `failed`, `cancelled`, `unknown`.
    pub result: String,
    /// The stable word of what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A record, as it is read. Fields that a later version adds are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Its number in its chain; the first is 1.
    pub n: u64,
    /// SHA-256 of the record before it; 64 zeroes for the first.
    pub prev: Sha256,
    /// Its chain: an org, or `_` for what concerns the server itself.
    pub org: String,
    /// When it was decided.
    pub at: Timestamp,
    /// What was done; of [`Action::ALL`], or of a later version.
    pub action: String,
    /// Who did it.
    pub by: Who,
    /// From where; absent when the server did it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Place>,
    /// What it was done to: kind to id.
    #[serde(default)]
    pub on: BTreeMap<String, String>,
    /// How it went.
    pub outcome: AuditOutcome,
    /// More about it.
    #[serde(default)]
    pub detail: Map<String, Value>,
}

/// A place in a chain: a record's number, and its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditMark {
    /// The number.
    pub n: u64,
    /// Of the record's line, without its end.
    pub sha256: Sha256,
}

/// What a verification found. Body of `POST /v1/audit/<org>/verified`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditVerified {
    /// Where the records were read: `store` or `nats`.
    pub source: String,
    /// The first record that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The last sound one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<AuditMark>,
    /// The first record that is wrong; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<u64>,
}

/// What is kept of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditChain {
    /// Its org, or `_`.
    pub org: String,
    /// The number of the oldest record that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The newest record.
    pub head: AuditMark,
    /// The last record that was pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<AuditMark>,
    /// The number up to which it was published.
    pub published: u64,
}

/// The canonical encoding: JSON without spaces, the names of every object in the order of their code points, in
/// texts only what JSON demands escaped (`\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, other controls as `\u00xx`),
/// numbers whole. A number that is not whole becomes the text of it.
pub fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(256);
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort_unstable();
            let fields = names.into_iter().filter_map(|name| Some((name, map.get(name)?)));
            text.push('{');
            for (index, (name, value)) in fields.enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_text(text, name);
                text.push(':');
                write(text, value);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(text, item);
            }
            text.push(']');
        }
        Value::Number(number) if number.is_f64() => write_text(text, &number.to_string()),
        Value::String(string) => write_text(text, string),
        plain => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{plain}");
        }
    }
}

fn write_text(text: &mut String, string: &str) {
    // serde_json escapes exactly what the encoding says, and writing to a String cannot fail.
    let _ = write!(text, "{}", Value::from(string));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_canonical_encoding_does_not_depend_on_order_or_spaces() {
        let one: Value = serde_json::from_str(r#"{ "b": [1, {"d": null, "c": true}], "a": "x" }"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":"x","b":[1,{"c":true,"d":null}]}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":"x","b":[1,{"c":true,"d":null}]}"#);
        assert_eq!(canonical(&one), canonical(&other));
    }

    #[test]
    fn texts_are_escaped_only_where_they_must_be() {
        let odd = json!({"ü": "é/\u{7f}\u{1F600}\"\\\u{8}\u{c}\n\r\t\u{1}"});
        assert_eq!(
            canonical(&odd),
            "{\"ü\":\"é/\u{7f}\u{1F600}\\\"\\\\\\b\\f\\n\\r\\t\\u0001\"}"
        );
    }

    #[test]
    fn a_number_that_is_not_whole_is_a_text() {
        assert_eq!(
            canonical(&json!([1.5, -2, u64::MAX])),
            "[\"1.5\",-2,18446744073709551615]"
        );
    }

    #[test]
    fn words_of_actions_are_unique_and_have_a_noun_and_a_verb() {
        let words: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for word in words {
            let parts: Vec<&str> = word.split('.').collect();
            assert_eq!(parts.len(), 2, "{word}");
            let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(parts.iter().all(plain), "{word}");
        }
    }
}
