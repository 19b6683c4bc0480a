//! What the maps of files may hold. One table for all who must agree on it: the parser takes these keys and no
//! others, the JSON Schema is made of them, and the reference is held to them.
//!
//! A key that is added to a [`Shape`] is in the schema; tests ask of every one whether the parser takes and refuses
//! what its [`Takes`] says.

use serde_json::Value;

/// A map of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// For messages: `a pipeline`.
    pub(super) what: &'static str,
    /// Keys in force.
    pub(super) keys: &'static [Field],
    /// Keys of the language that are not built yet.
    pub(super) later: &'static [&'static str],
    /// Keys that are looked for here and belong into one of its maps, each with that map's key.
    pub(super) inside: &'static [(&'static str, &'static str)],
    /// What the parser asks beside that, as parts of a JSON Schema.
    pub(super) rules: fn() -> Vec<Value>,
}

impl Shape {
    /// A map with these keys.
    pub(super) const fn new(
        what: &'static str,
        keys: &'static [Field],
        later: &'static [&'static str],
    ) -> Self {
        Self {
            what,
            keys,
            later,
            inside: &[],
            rules: Vec::new,
        }
    }

    /// The same, whose keys have to do with each other.
    pub(super) const fn with_rules(self, rules: fn() -> Vec<Value>) -> Self {
        Self { rules, ..self }
    }

    /// The same, with keys that belong into one of its maps.
    pub(super) const fn with_inside(self, inside: &'static [(&'static str, &'static str)]) -> Self {
        Self { inside, ..self }
    }

    /// The names of the keys in force.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys.iter().map(|field| field.name)
    }
}

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// What it is for, in one or two sentences.
    pub(super) says: &'static str,
    pub(super) is_needed: bool,
    /// What holds where it is absent, as a file would say it.
    pub(super) default: Option<&'static str>,
}

impl Field {
    /// A key that may be absent.
    pub(super) const fn new(name: &'static str, takes: Takes, says: &'static str) -> Self {
        Self {
            name,
            takes,
            says,
            is_needed: false,
            default: None,
        }
    }

    /// The same, whose absence is a problem.
    pub(super) const fn needed(self) -> Self {
        Self {
            is_needed: true,
            ..self
        }
    }

    /// The same, with what holds where it is absent.
    pub(super) const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// Any text.
    AnyText,
    /// `true` or `false`.
    Flag,
    /// A whole number from the one to the other.
    Count(u32, u32),
    /// A text of this form.
    Text(Form),
    /// A condition in CEL.
    Condition { bytes_max: usize },
    /// Anything; texts in it may be templates.
    Value,
    /// Anything, as it stands.
    Literal,
    /// A text that is one whole template.
    WholeTemplate,
    /// One of these, or a list of 1 to so many.
    OneOrMany(&'static Takes, usize),
    /// A list of 1 to so many.
    List(&'static Takes, usize),
    /// A map with these keys.
    Map(&'static Shape),
    /// A map of at most so many names of its author's choice.
    Names {
        /// How they are written; `None`: in any way.
        names: Option<Form>,
        /// `None`: as many as a file holds.
        most: Option<usize>,
        /// What each has.
        takes: &'static Takes,
    },
    /// A map with these keys and one verb.
    Step(&'static Shape),
    /// One or the other.
    Either(&'static [Takes]),
}

/// A form of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The name of a pipeline, a job or a step.
    Name,
    /// An etype, or a pattern of etypes.
    EtypePattern,
    Org,
    /// A span of time above zero.
    Span,
    Priority,
    OnError,
    /// Over what `suppress` counts.
    SuppressScope,
    /// A word for a target.
    TargetWord,
    /// A label of hosts.
    Label,
    /// What a text of a host is compared with.
    HostWord,
    /// A pattern of hosts' names.
    HostGlob,
    /// How hosts are attached.
    Attached,
    /// An outcome after which a job begins anew.
    RetryOn,
    /// The type of a parameter.
    ParamType,
    /// The name of a parameter.
    ParamName,
    /// A name of `let`.
    VarName,
    Etype,
    HostId,
    /// A time, as RFC 3339 has it.
    Time,
    /// The word for a host that nobody knows.
    NoHost,
    /// Who vouches for an event.
    Attestation,
    /// A reason not to act that a test can meet.
    Withheld,
    /// A reason of a dead letter that a test can meet.
    Dead,
    /// A reason for which the host of a fan-out can fail in a test.
    HostFailed,
}
