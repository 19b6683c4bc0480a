//! What of a command's arguments goes on record: never contents, and no text that looks like a secret.

use regex::{Captures, Regex};
use serde_json::{Value, json};
use tripline_protocol::verb::VerbCall;

/// What takes the place of a secret.
const REDACTED: &str = "[redacted]";

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("pattern {pattern:?} is no regular expression")]
pub struct BadPattern {
    /// As it was given, cut to 80 characters.
    pub pattern: String,
    #[source]
    source: regex::Error,
}

/// Texts that do not go on record: `audit.redact`.
#[derive(Debug, Clone)]
pub struct Redactor {
    patterns: Vec<Regex>,
}

impl Redactor {
    /// What is taken for a secret unless the configuration says otherwise: the value in `password=…`, `--token=…`,
    /// `Authorization: Bearer …` and the like, and tokens of Tripline's own.
    pub const DEFAULT: [&str; 3] = [
        r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|credentials?)\w*[=:]\s*(?<secret>\S+)",
        r"(?i)\b(?:bearer|basic)\s+(?<secret>[A-Za-z0-9._~+/-]{8,}=*)",
        r"tl_[0-9a-z]{1,32}\.[A-Za-z0-9_-]{16,}",
    ];

    /// From regular expressions. Of a match the group `secret` is taken out, or the whole where there is none.
    pub fn new(patterns: &[impl AsRef<str>]) -> Result<Self, BadPattern> {
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|source| BadPattern {
                pattern: pattern.chars().take(80).collect(),
                source,
            })
        };
        let patterns = patterns.iter().map(|pattern| compile(pattern.as_ref()));
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// A command's arguments as they go on record: without contents, of an environment the names alone, and
    /// without what looks like a secret.
    pub(crate) fn arguments(&self, call: &VerbCall) -> Value {
        self.in_arguments(call.to_args())
    }

    /// The same of arguments that may still have templates in them.
    pub(crate) fn in_arguments(&self, mut arguments: Value) -> Value {
        if let Some(map) = arguments.as_object_mut() {
            for content in ["content", "content_b64"] {
                if let Some(Value::String(text)) = map.remove(content) {
                    map.insert(format!("{content}_length"), json!(text.len()));
                }
            }
            if let Some(Value::Object(environment)) = map.remove("environment") {
                let names: Vec<String> = environment.into_iter().map(|(name, _)| name).collect();
                map.insert("environment".into(), json!(names));
            }
        }
        self.clean(&mut arguments);
        arguments
    }

    /// Takes out of every text what looks like a secret.
    pub(crate) fn clean(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for pattern in &self.patterns {
                    if pattern.is_match(text) {
                        *text = pattern.replace_all(text, blanked).into_owned();
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean(item)),
            Value::Object(map) => map.values_mut().for_each(|value| self.clean(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Default for Redactor {
    fn default() -> Self {
        let patterns = Self::DEFAULT
            .iter()
            .filter_map(|pattern| Regex::new(pattern).ok());
        Self {
            patterns: patterns.collect(),
        }
    }
}

/// A match without the secret in it.
fn blanked(found: &Captures<'_>) -> String {
    let whole = found.get_match();
    let Some(secret) = found.name("secret") else {
        return REDACTED.to_owned();
    };
    let (start, end) = (secret.start() - whole.start(), secret.end() - whole.start());
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    let text = whole.as_str();
    part(text.get(..start)) + REDACTED + &part(text.get(end..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::verb::Verb;

    fn arguments(verb: Verb, args: Value) -> Value {
        Redactor::default().arguments(&VerbCall::parse(verb, args).unwrap())
    }

    #[test]
    fn contents_and_values_of_an_environment_do_not_go_on_record() {
        let put = arguments(Verb::PutFile, json!({"path": "/etc/x", "content": "the content"}));
        assert_eq!(put, json!({"path": "/etc/x", "content_length": 11}));
        let put = arguments(Verb::PutFile, json!({"path": "/etc/x", "content_b64": "dGhl"}));
        assert_eq!(put, json!({"path": "/etc/x", "content_b64_length": 4}));
        let run = json!({"argv": ["/bin/x"], "environment": {"DB": "hunter2", "A": "b"}});
        let run = arguments(Verb::CreateProcess, run);
        assert_eq!(run, json!({"argv": ["/bin/x"], "environment": ["A", "DB"]}));
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        for (given, kept) in [
            (
                "mysql --password=hunter2 -h db",
                "mysql --password=[redacted] -h db",
            ),
            ("DB_PASSWORD=hunter2", "DB_PASSWORD=[redacted]"),
            (
                "curl -H 'Authorization: Bearer abcdef123456' x",
                "curl -H 'Authorization: Bearer [redacted]' x",
            ),
            ("a tl_0011223344556677.abcdefghijklmnopqrstuv z", "a [redacted] z"),
            ("/usr/bin/passwd -l ana", "/usr/bin/passwd -l ana"),
        ] {
            let run = arguments(Verb::CreateProcess, json!({"command": given}));
            assert_eq!(run, json!({"command": kept}));
        }
        let own = Redactor::new(&["hunter[0-9]"]).unwrap();
        let mut value = json!({"a": ["x hunter2 y", 7]});
        own.clean(&mut value);
        assert_eq!(value, json!({"a": ["x [redacted] y", 7]}));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_and_the_default_ones_are_some() {
        assert!(Redactor::new(&["("]).is_err());
        assert_eq!(Redactor::default().patterns.len(), Redactor::DEFAULT.len());
    }
}
