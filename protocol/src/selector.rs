//! Which hosts are meant: by labels, platform, name, attachment, when they were last seen, and their agent's version.
//!
//! The same words are query parameters of `GET /v1/hosts` and options of the command line; as a map, where labels are
//! a list, they are the target of a fan-out. Deliberately not here:
//! org and paging, which every list has.

use crate::api::HostView;
use crate::id::Label;
use crate::limit::LABELS_MAX;
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::str::FromStr;

/// Longest pattern, platform and version, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// What a host has to be; every part that is there has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HostSelector {
    /// It has all of these labels.
    #[serde(default, deserialize_with = "labels", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub labels: Vec<Label>,
    /// Its platform, such as `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Word>,
    /// Its name fits this pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Glob>,
    /// How it is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached: Option<Attached>,
    /// It was last seen at most so long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_within: Option<Span>,
    /// It was last seen longer ago than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_for: Option<Span>,
    /// Its agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<Word>,
}

impl HostSelector {
    /// Labels in a list with commas.
    pub fn labels_of(list: &str) -> Result<Vec<Label>, String> {
        let words = list.split(',').filter(|word| !word.is_empty());
        let labels: Vec<Label> = words
            .map(|word| word.parse::<Label>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        few(labels)
    }

    /// Sets the part that a parameter of this name asks for; an empty value is none. `false`: no part is called so.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "label" => self.labels = Self::labels_of(value)?,
            "platform" => self.platform = part(value)?,
            "hostname" => self.hostname = part(value)?,
            "attached" => self.attached = part(value)?,
            "seen_within" => self.seen_within = part(value)?,
            "unseen_for" => self.unseen_for = part(value)?,
            "agent_version" => self.agent_version = part(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a host, as it is shown `now`, is meant.
    pub fn selects(&self, host: &HostView, now: Timestamp) -> bool {
        let has = |label: &Label| host.labels.iter().any(|known| known == label.as_str());
        let is = |word: &Option<Word>, text: &str| word.as_ref().is_none_or(|word| word.is(text));
        let unseen = now.since(host.last_seen_at);
        self.labels.iter().all(has)
            && is(&self.platform, &host.platform)
            && is(&self.agent_version, &host.agent_version)
            && self
                .hostname
                .as_ref()
                .is_none_or(|glob| glob.fits(&host.hostname))
            && self.attached.is_none_or(|attached| attached.holds(host))
            && self.seen_within.is_none_or(|within| unseen <= within)
            && self.unseen_for.is_none_or(|longer| unseen > longer)
    }
}

fn few(labels: Vec<Label>) -> Result<Vec<Label>, String> {
    match labels.len() {
        0..=LABELS_MAX => Ok(labels),
        count => Err(format!(
            "at most {LABELS_MAX} labels can be asked for, not {count}"
        )),
    }
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Label>, D::Error> {
    let labels = Vec::deserialize(deserializer)?;
    if labels.is_empty() {
        return Err(serde::de::Error::custom(format_args!(
            "expected 1 to {LABELS_MAX} labels"
        )));
    }
    few(labels).map_err(serde::de::Error::custom)
}

macro_rules! text_form {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_form!(Word, Glob, Attached);

fn part<T: FromStr<Err: std::fmt::Display>>(value: &str) -> Result<Option<T>, String> {
    match value {
        "" => Ok(None),
        value => value.parse().map(Some).map_err(|error: T::Err| error.to_string()),
    }
}

/// A text that is compared whole and without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    fn is(&self, text: &str) -> bool {
        self.0.to_lowercase() == text.to_lowercase()
    }
}

impl FromStr for Word {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        bounded(text).map(Self)
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a host is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// By an agent.
    Agent,
    /// As a LittleBrother client.
    Littlebrother,
    /// Somehow.
    Yes,
    /// Not at all.
    No,
}

impl Attached {
    fn holds(self, host: &HostView) -> bool {
        let by = |kind: &str| host.attachments.iter().any(|attachment| attachment.kind == kind);
        match self {
            Self::Agent => by("agent"),
            Self::Littlebrother => by("littlebrother"),
            Self::Yes => !host.attachments.is_empty(),
            Self::No => host.attachments.is_empty(),
        }
    }
}

impl FromStr for Attached {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "agent" => Ok(Self::Agent),
            "littlebrother" => Ok(Self::Littlebrother),
            "yes" => Ok(Self::Yes),
            "no" => Ok(Self::No),
            _ => Err("expected agent, littlebrother, yes or no"),
        }
    }
}

impl std::fmt::Display for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Littlebrother => "littlebrother",
            Self::Yes => "yes",
            Self::No => "no",
        })
    }
}

/// A pattern of names: `*` is any number of characters, `?` is one. Compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    pattern: Vec<char>,
}

impl Glob {
    /// Whether a name fits, in a time that grows with the product of both lengths at most.
    pub fn fits(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        let (mut at, mut next, mut star) = (0, 0, None);
        while at < name.len() {
            match self.pattern.get(next) {
                Some('*') => {
                    star = Some((next, at));
                    next += 1;
                }
                Some(wanted) if *wanted == '?' || name.get(at) == Some(wanted) => {
                    at += 1;
                    next += 1;
                }
                // The last star takes one character more.
                _ => match star {
                    None => return false,
                    Some((place, taken)) => {
                        star = Some((place, taken + 1));
                        (next, at) = (place + 1, taken + 1);
                    }
                },
            }
        }
        self.pattern.iter().skip(next).all(|rest| *rest == '*')
    }
}

impl FromStr for Glob {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = bounded(text)?;
        let pattern = text.to_lowercase().chars().collect();
        Ok(Self { text, pattern })
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn bounded(text: &str) -> Result<String, String> {
    match (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected 1 to {TEXT_BYTES_MAX} bytes without control characters"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_set_by_their_names_and_others_are_not_known() {
        let mut selector = HostSelector::default();
        for (name, value) in [
            ("label", "dmz,hot"),
            ("platform", "linux"),
            ("hostname", "web-*"),
            ("attached", "agent"),
            ("seen_within", "1h"),
            ("unseen_for", "7d"),
            ("agent_version", "0.1.0"),
        ] {
            assert_eq!(selector.set(name, value), Ok(true), "{name}");
        }
        assert_eq!(selector.labels.len(), 2);
        assert_eq!(selector.attached, Some(Attached::Agent));
        assert!(
            selector.platform.is_some() && selector.hostname.is_some() && selector.agent_version.is_some()
        );
        assert!(selector.seen_within < selector.unseen_for);
        for (name, wrong) in [("label", "a b"), ("attached", "maybe"), ("seen_within", "soon")] {
            assert!(selector.set(name, wrong).is_err(), "{name}");
        }
        assert_eq!(selector.set("attached", ""), Ok(true));
        assert_eq!(selector.attached, None);
        assert_eq!(selector.set("labels", "dmz"), Ok(false));
    }
    use serde_json::json;

    fn host() -> HostView {
        serde_json::from_value(json!({
            "host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "sensor_id": 1, "org": "default", "hostname": "Web-01",
            "platform": "linux", "arch": "x86_64", "agent_version": "0.1.0", "labels": ["dmz", "web"],
            "attachments": [{"kind": "agent", "verbs": [], "since": "2026-11-20T14:00:00Z", "epoch": 1}],
            "created_at": "2026-11-20T14:00:00Z", "last_seen_at": "2026-11-20T14:00:00Z",
        }))
        .unwrap()
    }

    fn selects(selector: HostSelector) -> bool {
        selector.selects(&host(), "2026-11-20T15:00:00Z".parse().unwrap())
    }

    fn glob(pattern: &str, name: &str) -> bool {
        pattern.parse::<Glob>().unwrap().fits(name)
    }

    #[test]
    fn every_part_has_to_hold() {
        let of = |change: fn(&mut HostSelector)| {
            let mut selector = HostSelector::default();
            change(&mut selector);
            selects(selector)
        };
        assert!(of(|_| {}));
        assert!(of(|s| s.labels = HostSelector::labels_of("dmz,web").unwrap()));
        assert!(!of(|s| s.labels = HostSelector::labels_of("dmz,db").unwrap()));
        assert!(of(|s| s.platform = Some("Linux".parse().unwrap())));
        assert!(!of(|s| s.platform = Some("windows".parse().unwrap())));
        assert!(of(|s| s.agent_version = Some("0.1.0".parse().unwrap())));
        assert!(!of(|s| s.agent_version = Some("0.1".parse().unwrap())));
        assert!(of(|s| s.hostname = Some("web-*".parse().unwrap())));
        assert!(!of(|s| s.hostname = Some("db-*".parse().unwrap())));
        for (word, holds) in [
            ("agent", true),
            ("yes", true),
            ("no", false),
            ("littlebrother", false),
        ] {
            let attached = Some(word.parse().unwrap());
            assert_eq!(
                selects(HostSelector {
                    attached,
                    ..HostSelector::default()
                }),
                holds,
                "{word}"
            );
        }
        assert!(of(|s| s.seen_within = Some(Span::from_secs(3600))));
        assert!(!of(|s| s.seen_within = Some(Span::from_secs(3599))));
        assert!(of(|s| s.unseen_for = Some(Span::from_secs(3599))));
        assert!(!of(|s| s.unseen_for = Some(Span::from_secs(3600))));
        assert!(!of(|s| {
            s.platform = Some("linux".parse().unwrap());
            s.attached = Some(Attached::No);
        }));
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name) in [
            ("*", ""),
            ("web-0?", "WEB-01"),
            ("*-01", "web-01"),
            ("w*b*1", "web-01"),
            ("a*b*c", "abbbc"),
        ] {
            assert!(glob(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web", "web-01"),
            ("?", ""),
            ("web-0?", "web-0"),
            ("*a", "ab"),
            ("a*b*c", "abcb"),
        ] {
            assert!(!glob(pattern, name), "{pattern} {name}");
        }
        let hostile = "*a".repeat(127);
        assert!(!glob(&hostile, &"b".repeat(255)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!("".parse::<Glob>().is_err() && "x".repeat(256).parse::<Glob>().is_err());
        assert!("a\u{0}".parse::<Word>().is_err());
        assert!("maybe".parse::<Attached>().is_err());
        let many: Vec<String> = (0..=LABELS_MAX).map(|n| format!("l{n}")).collect();
        assert!(HostSelector::labels_of(&many.join(",")).is_err());
        assert!(HostSelector::labels_of("a b").is_err());
        assert!(HostSelector::labels_of("").unwrap().is_empty());
    }
}
