//! A record that waits for its place in its chain.

use super::By;
use crate::store::{Batch, Link};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use tripline_protocol::audit::{Action, AuditOutcome, SERVER_CHAIN, canonical};
use tripline_protocol::result::HostRef;
use tripline_protocol::{Org, Sha256, Timestamp};

/// Bytes of a text in a record; a longer one is shortened.
const TEXT_BYTES_MAX: usize = 1024;
/// Items of a list in a record; the others are counted.
const ITEMS_MAX: usize = 64;
const BOUNDS: Bounds = Bounds {
    text_bytes: TEXT_BYTES_MAX,
    items: ITEMS_MAX,
};
/// The same when that is still too much.
const NARROW_BOUNDS: Bounds = Bounds {
    text_bytes: 128,
    items: 16,
};
/// Bytes that all of `detail` may have before it is shortened further.
const DETAIL_BYTES_MAX: usize = 8 * 1024;

/// What was done. Made by [`crate::ground::Ground::audit`] or [`Entry::new`], completed by the methods here, and
/// put on record with the decision's batch by [`Batch::audit`].
#[derive(Debug, Clone)]
pub struct Entry {
    action: Action,
    chain: String,
    at: Timestamp,
    by: By,
    on: Map<String, Value>,
    outcome: AuditOutcome,
    detail: Map<String, Value>,
}

impl Entry {
    /// That `action` was done now. `org`: in whose chain it is; `None`: it concerns the server itself.
    pub fn new(action: Action, by: &By, org: Option<&Org>, at: Timestamp) -> Self {
        Self {
            action,
            chain: org.map_or(SERVER_CHAIN, Org::as_str).to_owned(),
            at,
            by: by.clone(),
            on: Map::new(),
            outcome: outcome("done", None),
            detail: Map::new(),
        }
    }

    /// What it was done to: the kind of thing and its id.
    #[must_use]
    pub fn on(mut self, kind: &str, id: impl Display) -> Self {
        self.on.insert(kind.to_owned(), Value::String(id.to_string()));
        self
    }

    /// The host it was done to.
    #[must_use]
    pub fn host(self, host: &HostRef) -> Self {
        self.on("host", host.host_id).on("hostname", &host.hostname)
    }

    /// More about it. Never contents of files, outputs or secrets.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) => {}
            Ok(value) => drop(self.detail.insert(name.to_owned(), value)),
            Err(error) => tracing::error!(%error, name, "a detail of the audit cannot be written"),
        }
        self
    }

    /// How it went, if not `done`: a word, and the stable code of what went wrong.
    #[must_use]
    pub fn outcome(mut self, result: &str, code: Option<&str>) -> Self {
        self.outcome = outcome(result, code);
        self
    }

    /// It was refused.
    #[must_use]
    pub fn refused(self, code: &str) -> Self {
        self.outcome("refused", Some(code))
    }

    /// Encodes all but its place in the chain: the names of a record's fields are in order, `n` and `prev` among them.
    fn close(self) -> Closed {
        let mut before = vec![
            ("action", Value::from(self.action.as_str())),
            ("at", encoded(&self.at)),
            ("by", bounded(&encoded(&self.by.who), BOUNDS)),
            ("detail", detail(self.detail)),
        ];
        before.extend(self.by.from.as_ref().map(|from| ("from", encoded(from))));
        let after = [
            ("on", bounded(&Value::Object(self.on), BOUNDS)),
            ("org", Value::from(self.chain.as_str())),
            ("outcome", encoded(&self.outcome)),
        ];
        Closed {
            before: format!("{{{},\"n\":", fields(&before)),
            after: format!(",{},\"prev\":\"", fields(&after)),
            chain: self.chain,
        }
    }
}

impl Batch {
    /// Puts on record what this batch decides. The record is durable, and seen and published, when the batch is.
    pub fn audit(&mut self, entry: Entry) {
        self.link(Box::new(entry.close()));
    }
}

/// A record but for its number and the hash of the one before it.
#[derive(Debug)]
struct Closed {
    chain: String,
    before: String,
    after: String,
}

impl Link for Closed {
    fn chain(&self) -> &str {
        &self.chain
    }

    fn size(&self) -> usize {
        self.before.len() + self.after.len() + 90
    }

    fn seal(&self, number: u64, previous: &[u8; 32]) -> Vec<u8> {
        let Self { before, after, .. } = self;
        let previous = Sha256::from_digest(previous);
        format!("{before}{number}{after}{previous}\"}}").into_bytes()
    }
}

fn outcome(result: &str, code: Option<&str>) -> AuditOutcome {
    AuditOutcome {
        result: result.to_owned(),
        code: code.map(str::to_owned),
    }
}

/// Our own types are JSON objects and texts, which cannot fail.
fn encoded(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn fields(fields: &[(&str, Value)]) -> String {
    let field = |(name, value): &(&str, Value)| format!("\"{name}\":{}", canonical(value));
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

/// All of `detail`, as far as it fits.
fn detail(detail: Map<String, Value>) -> Value {
    let detail = Value::Object(detail);
    let fits = |value: &Value| canonical(value).len() <= DETAIL_BYTES_MAX;
    [BOUNDS, NARROW_BOUNDS]
        .into_iter()
        .map(|bounds| bounded(&detail, bounds))
        .find(fits)
        .unwrap_or_else(|| json!({"omitted_bytes": canonical(&detail).len()}))
}

/// How long parts may be before they are shortened.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    text_bytes: usize,
    items: usize,
}

/// The same with long texts and lists shortened; they say how long they were.
fn bounded(value: &Value, bounds: Bounds) -> Value {
    match value {
        Value::String(text) if text.len() > bounds.text_bytes => Value::String(shortened(text, bounds)),
        Value::Array(items) => {
            let kept = items.iter().take(bounds.items).map(|item| bounded(item, bounds));
            let more = items.len().saturating_sub(bounds.items);
            let more = (more > 0).then(|| Value::String(format!("… and {more} more")));
            Value::Array(kept.chain(more).collect())
        }
        Value::Object(map) => {
            let field = |(name, value): (&String, &Value)| {
                let name = match name.len() > bounds.text_bytes {
                    true => shortened(name, bounds),
                    false => name.clone(),
                };
                (name, bounded(value, bounds))
            };
            let more = map.len().saturating_sub(bounds.items);
            let more = (more > 0).then(|| ("…".to_owned(), json!(more)));
            map.iter().take(bounds.items).map(field).chain(more).collect()
        }
        plain => plain.clone(),
    }
}

fn shortened(text: &str, bounds: Bounds) -> String {
    let kept = text.floor_char_boundary(bounds.text_bytes);
    let start = text.get(..kept).unwrap_or_default();
    format!("{start}… ({} bytes)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::audit::AuditRecord;

    fn sealed(entry: Entry) -> String {
        String::from_utf8(entry.close().seal(7, &[0xab; 32])).unwrap()
    }

    fn entry() -> Entry {
        let org: Org = "acme".parse().unwrap();
        let at = "2026-11-21T09:00:00.5Z".parse().unwrap();
        Entry::new(Action::HostLabel, &By::system(), Some(&org), at)
    }

    #[test]
    fn a_record_is_in_its_canonical_encoding_and_reads_back() {
        let from = tripline_protocol::audit::Place {
            dialect: tripline_protocol::audit::Dialect::V1,
            address: Some("192.0.2.7:4711".into()),
            request: Some("r-1".into()),
        };
        let by = By::unknown(from);
        let rich = Entry { by, ..entry() }
            .on("host", "h-1")
            .detail("labels", ["b", "a\"\n"])
            .detail("absent", None::<u8>)
            .refused("too_many_labels");
        for entry in [entry(), rich] {
            let line = sealed(entry);
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(canonical(&value), line);
            let record: AuditRecord = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (record.n, record.org.as_str(), record.action.as_str()),
                (7, "acme", "host.label")
            );
            assert_eq!(record.prev.as_str(), "ab".repeat(32));
            assert!(!record.detail.contains_key("absent"));
        }
    }

    #[test]
    fn long_texts_lists_and_maps_are_shortened_and_say_so() {
        let line = sealed(
            entry()
                .detail("text", "é".repeat(2000))
                .detail("list", vec![7; 100]),
        );
        let record: AuditRecord = serde_json::from_str(&line).unwrap();
        let text = record.detail.get("text").and_then(Value::as_str).unwrap();
        assert!(text.ends_with("… (4000 bytes)") && text.len() < 1100, "{text}");
        let list = record.detail.get("list").and_then(Value::as_array).unwrap();
        assert_eq!(list.last().unwrap(), "… and 36 more");
    }

    #[test]
    fn no_detail_makes_a_record_larger_than_its_bound() {
        let wide: Vec<String> = (0..1000).map(|n| format!("{n}").repeat(700)).collect();
        let deep = (0..12).fold(json!("x"), |inner, _| json!([inner, inner]));
        for value in [json!(wide), json!({"a": wide, "b": [wide]}), deep] {
            let line = sealed(entry().detail("value", value).on("host", "h".repeat(5000)));
            assert!(line.len() < DETAIL_BYTES_MAX + 4096, "{}", line.len());
        }
    }
}
