//! NATS subjects, streams and headers: the only place where one is written or taken apart.

use crate::fanout::FanoutOutcome;
use crate::id::{FanoutId, HostId, InvalidId, JobId, Name, Org};
use crate::job::{JobState, Outcome};
use crate::limit::{ETYPE_BYTES_MAX, PREFIX_BYTES_MAX};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Header with the reason of a dead letter.
pub const HEADER_DEAD_REASON: &str = "Tripline-Dead-Reason";
/// Header with one sentence about a dead letter.
pub const HEADER_DEAD_TEXT: &str = "Tripline-Dead-Text";
/// Header with the subject a dead letter came in on.
pub const HEADER_DEAD_SUBJECT: &str = "Tripline-Dead-Subject";
/// Header with the `Nats-Msg-Id` of the message that became a dead letter.
pub const HEADER_DEAD_MESSAGE_ID: &str = "Tripline-Dead-Message-Id";
/// Header with the place of that message: `<stream>/<sequence>/<time stored, in µs>`.
pub const HEADER_DEAD_PLACE: &str = "Tripline-Dead-Place";
/// Header by which Tripline knows an event that a person replays, and which replay of it that is.
pub const HEADER_REPLAY: &str = "Tripline-Replay";
/// Header by which Tripline knows an event its own edges published again.
pub const HEADER_ATTESTATION: &str = "Tripline-Attestation";
/// Header with the bearer token of a request to the micro service.
pub const HEADER_TOKEN: &str = "Tripline-Token";
/// NATS' own header for duplicate detection.
pub const HEADER_MSG_ID: &str = "Nats-Msg-Id";

/// An event's type: dot-separated NATS tokens, at most 200 bytes: `PROHIBITED_PROCESS`, `acme.alert.high`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Etype(Arc<str>);

impl Etype {
    /// Of detections that pipelines publish.
    pub fn detection() -> Self {
        Self("detection".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>')
}

impl FromStr for Etype {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() <= ETYPE_BYTES_MAX && text.split('.').all(is_token) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(
                "etype",
                text,
                "dot-separated words without spaces, * or >, at most 200 bytes",
            ))
        }
    }
}

impl fmt::Display for Etype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Etype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A pattern over etypes with NATS wildcards: `*` for one word, a last `>` for one or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct EtypePattern(Arc<str>);

impl EtypePattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no wildcard and so names one etype.
    pub fn is_literal(&self) -> bool {
        self.0.split('.').all(|token| token != "*" && token != ">")
    }

    /// Whether `etype` is covered.
    pub fn matches(&self, etype: &Etype) -> bool {
        let mut words = etype.0.split('.');
        for token in self.0.split('.') {
            match (token, words.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (token, Some(word)) if token == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether every etype that `other` covers is covered by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.0.split('.');
        for token in self.0.split('.') {
            match (token, theirs.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(their)) if their != ">" => {}
                (token, Some(their)) if token == their => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether there may be an etype that both cover.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(ours), Some(theirs)) if ours == theirs || ours == "*" || theirs == "*" => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for EtypePattern {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let tokens: Vec<&str> = text.split('.').collect();
        let legal = text.len() <= ETYPE_BYTES_MAX
            && tokens.iter().enumerate().all(|(index, token)| {
                is_token(token) || *token == "*" || (*token == ">" && index + 1 == tokens.len())
            });
        if legal {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(
                "etype pattern",
                text,
                "an etype with * for one word or a last > for the rest",
            ))
        }
    }
}

impl fmt::Display for EtypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EtypePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Those that no other one covers.
fn widest(patterns: &[EtypePattern]) -> Vec<&EtypePattern> {
    let mut kept: Vec<&EtypePattern> = Vec::new();
    for pattern in patterns {
        if kept.iter().any(|wider| wider.covers(pattern)) {
            continue;
        }
        kept.retain(|narrower| !pattern.covers(narrower));
        kept.push(pattern);
    }
    kept
}

/// Builds and reads subjects and stream names under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    prefix: Arc<str>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self {
            prefix: "tripline".into(),
        }
    }
}

impl FromStr for Subjects {
    type Err = InvalidId;
    fn from_str(prefix: &str) -> Result<Self, InvalidId> {
        let legal = |token: &str| {
            !token.is_empty()
                && token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        if prefix.len() <= PREFIX_BYTES_MAX && prefix.split('.').all(legal) {
            Ok(Self {
                prefix: prefix.into(),
            })
        } else {
            Err(InvalidId::new(
                "subject prefix",
                prefix,
                "dot-separated words of A-Z a-z 0-9 _ -",
            ))
        }
    }
}

impl Subjects {
    /// The prefix itself.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn stream(&self, what: &str) -> String {
        format!("{}_{what}", self.prefix.replace('.', "_").to_uppercase())
    }

    /// Name of the stream of events.
    pub fn events_stream(&self) -> String {
        self.stream("EVENTS")
    }

    /// Name of the stream of results.
    pub fn results_stream(&self) -> String {
        self.stream("RESULTS")
    }

    /// Name of the stream of dead letters.
    pub fn dead_stream(&self) -> String {
        self.stream("DEAD")
    }

    /// Name of the stream of the audit.
    pub fn audit_stream(&self) -> String {
        self.stream("AUDIT")
    }

    /// What the stream of events captures.
    pub fn all_events(&self) -> String {
        format!("{}.events.>", self.prefix)
    }

    /// What the stream of results captures: results of jobs and of fan-outs, and approvals.
    pub fn all_results(&self) -> [String; 3] {
        [
            format!("{}.results.>", self.prefix),
            format!("{}.approvals.>", self.prefix),
            format!("{}.fanouts.>", self.prefix),
        ]
    }

    /// What the stream of dead letters captures.
    pub fn all_dead(&self) -> String {
        format!("{}.dead.>", self.prefix)
    }

    /// Everything of an org in the streams of events, results and dead letters: the stream, and a filter of its subjects.
    /// The audit is not among them.
    pub fn of_org(&self, org: &Org) -> [(String, String); 5] {
        let filter = |kind: &str| format!("{}.{kind}.{org}.>", self.prefix);
        [
            (self.events_stream(), filter("events")),
            (self.results_stream(), filter("results")),
            (self.results_stream(), filter("approvals")),
            (self.results_stream(), filter("fanouts")),
            (self.dead_stream(), filter("dead")),
        ]
    }

    /// Whether a subject is among [`Self::of_org`].
    pub fn is_of_org(&self, subject: &str, org: &Org) -> bool {
        ["events", "results", "approvals", "fanouts", "dead"]
            .iter()
            .any(|kind| {
                let rest = self
                    .rest(subject, kind)
                    .and_then(|rest| rest.strip_prefix(org.as_str()));
                rest.is_some_and(|rest| rest.starts_with('.'))
            })
    }

    /// What the stream of the audit captures.
    pub fn all_audit(&self) -> String {
        format!("{}.audit.*", self.prefix)
    }

    /// Where jobs' changes of state are published.
    pub fn all_jobs(&self) -> String {
        format!("{}.jobs.>", self.prefix)
    }

    /// An event.
    pub fn event(&self, org: &Org, etype: &Etype) -> String {
        format!("{}.events.{org}.{etype}", self.prefix)
    }

    /// Filters for the events of these patterns (none: all), of one org or of all. No two of them cover the same
    /// event, as a consumer of several filters wants it; therefore they may cover more than the patterns do.
    pub fn event_filters(&self, org: Option<&Org>, patterns: &[EtypePattern]) -> Vec<String> {
        let org = org.map_or("*", Org::as_str);
        let filter = |etypes: &str| format!("{}.events.{org}.{etypes}", self.prefix);
        let distinct = widest(patterns);
        let apart = distinct
            .iter()
            .enumerate()
            .all(|(at, one)| !distinct.iter().skip(at + 1).any(|other| one.overlaps(other)));
        match apart && !distinct.is_empty() {
            true => distinct.iter().map(|pattern| filter(pattern.as_str())).collect(),
            false => vec![filter(">")],
        }
    }

    /// A result.
    pub fn result(&self, org: &Org, name: &Name, outcome: Outcome, host: HostId) -> String {
        format!("{}.results.{org}.{name}.{outcome}.{host}", self.prefix)
    }

    /// The result of a fan-out.
    pub fn fanout(&self, org: &Org, name: &Name, outcome: FanoutOutcome, fanout: FanoutId) -> String {
        format!("{}.fanouts.{org}.{name}.{outcome}.{fanout}", self.prefix)
    }

    /// A job's change of state.
    pub fn job(&self, org: &Org, name: &Name, state: JobState, host: HostId) -> String {
        format!("{}.jobs.{org}.{name}.{state}.{host}", self.prefix)
    }

    /// A dead letter. `org` is absent when the subject it came on named none.
    pub fn dead(&self, org: Option<&Org>, reason: &str) -> String {
        format!("{}.dead.{}.{reason}", self.prefix, org.map_or("_", Org::as_str))
    }

    /// A record of the audit. `chain` is an org, or `_` for what concerns the server itself.
    pub fn audit(&self, chain: &str) -> String {
        format!("{}.audit.{chain}", self.prefix)
    }

    /// The chain whose records are published on `subject`, if any is.
    pub fn chain_of_audit<'s>(&self, subject: &'s str) -> Option<&'s str> {
        let chain = self.rest(subject, "audit")?;
        (chain == "_" || chain.parse::<Org>().is_ok()).then_some(chain)
    }

    /// What waits for a person.
    pub fn approval(&self, org: &Org, job: JobId) -> String {
        format!("{}.approvals.{org}.{job}", self.prefix)
    }

    /// All endpoints of the micro service.
    pub fn all_api(&self) -> String {
        format!("{}.api.>", self.prefix)
    }

    /// An endpoint of the micro service.
    pub fn api(&self, noun: &str, verb: &str) -> String {
        format!("{}.api.{noun}.{verb}", self.prefix)
    }

    /// What stands between `<prefix>.<kind>.` and the end.
    fn rest<'a>(&self, subject: &'a str, kind: &str) -> Option<&'a str> {
        subject
            .strip_prefix(&*self.prefix)?
            .strip_prefix('.')?
            .strip_prefix(kind)?
            .strip_prefix('.')
    }

    /// `<org>.<name>.<word>.<host_id>`, as results and changes of state have it.
    fn four<'a>(&self, subject: &'a str, kind: &str) -> Option<[&'a str; 4]> {
        let mut tokens = self.rest(subject, kind)?.split('.');
        let four = [tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?];
        tokens.next().is_none().then_some(four)
    }

    /// Takes a dead letter's subject apart; there is no org where the subject it came on named none.
    pub fn parse_dead(&self, subject: &str) -> Result<(Option<Org>, String), InvalidId> {
        let invalid = || InvalidId::new("dead letter subject", subject, "<prefix>.dead.<org>.<reason>");
        let (org, reason) = self
            .rest(subject, "dead")
            .and_then(|rest| rest.split_once('.'))
            .filter(|(_, reason)| !reason.is_empty() && !reason.contains('.'))
            .ok_or_else(invalid)?;
        let org = match org {
            "_" => None,
            org => Some(org.parse()?),
        };
        Ok((org, reason.to_owned()))
    }

    /// Takes a result's subject apart.
    pub fn parse_result(&self, subject: &str) -> Result<(Org, Name, Outcome, HostId), InvalidId> {
        let invalid = || {
            InvalidId::new(
                "result subject",
                subject,
                "<prefix>.results.<org>.<name>.<outcome>.<host_id>",
            )
        };
        let [org, name, word, host] = self.four(subject, "results").ok_or_else(invalid)?;
        let outcome = word
            .parse::<JobState>()
            .ok()
            .and_then(JobState::outcome)
            .ok_or_else(invalid)?;
        let host = canonical(host).ok_or_else(invalid)?;
        Ok((org.parse()?, name.parse()?, outcome, host))
    }

    /// Takes the subject of a job's change of state apart.
    pub fn parse_job(&self, subject: &str) -> Result<(Org, Name, JobState, HostId), InvalidId> {
        let invalid = || {
            InvalidId::new(
                "job subject",
                subject,
                "<prefix>.jobs.<org>.<name>.<state>.<host_id>",
            )
        };
        let [org, name, word, host] = self.four(subject, "jobs").ok_or_else(invalid)?;
        Ok((
            org.parse()?,
            name.parse()?,
            word.parse().map_err(|_| invalid())?,
            canonical(host).ok_or_else(invalid)?,
        ))
    }

    /// Takes an event's subject apart.
    pub fn parse_event(&self, subject: &str) -> Result<(Org, Etype), InvalidId> {
        let invalid = || InvalidId::new("event subject", subject, "<prefix>.events.<org>.<etype>");
        let (org, etype) = self
            .rest(subject, "events")
            .and_then(|rest| rest.split_once('.'))
            .ok_or_else(invalid)?;
        Ok((org.parse()?, etype.parse()?))
    }
}

/// A host's id as subjects have it; a UUID in another spelling is in none.
fn canonical(host: &str) -> Option<HostId> {
    let id: HostId = host.parse().ok()?;
    (id.to_string() == host).then_some(id)
}
