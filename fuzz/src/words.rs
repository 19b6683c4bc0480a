//! Every word that stands for something: ids, names, etypes, patterns, subjects, spans, times, paths, states, selectors,
//! addresses.

use std::fmt::Display;
use std::str::FromStr;
use tripline_agent::server_url::ServerUrl;
use tripline_protocol::api::Role;
use tripline_protocol::job::{JobState, Priority};
use tripline_protocol::selector::{Attached, Glob, HostSelector, Word};
use tripline_protocol::session::SessionState;
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::verb::Verb;
use tripline_protocol::{
    CommandId, Etype, HostId, JobId, Label, Name, Network, Org, RemotePath, SessionId, Sha256, Span,
    Subjects, Timestamp,
};

/// What is read is the same when it is written and read again, and subjects name what they were made of.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        path(data);
        return;
    };
    again::<Attached>(text);
    again::<CommandId>(text);
    again::<Etype>(text);
    again::<EtypePattern>(text);
    again::<Glob>(text);
    again::<HostId>(text);
    again::<JobId>(text);
    again::<JobState>(text);
    again::<Label>(text);
    again::<Name>(text);
    again::<Network>(text);
    again::<Org>(text);
    again::<ServerUrl>(text);
    again::<SessionId>(text);
    again::<SessionState>(text);
    again::<Sha256>(text);
    again::<Span>(text);
    again::<Timestamp>(text);
    again::<Verb>(text);
    again::<Word>(text);
    let _ = (
        text.parse::<Priority>(),
        text.parse::<Role>(),
        text.parse::<Subjects>(),
    );
    selectors(text);
    path(data);
    subjects(text);
}

fn again<W: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(word) = text.parse::<W>() {
        let written = word.to_string();
        assert_eq!(written.parse::<W>().ok(), Some(word), "{written:?} of {text:?}");
    }
}

/// A pattern that is all stars fits, and each name fits itself as a pattern without wildcards.
fn selectors(text: &str) {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(glob) = pattern.parse::<Glob>() {
        let fits = glob.fits(name);
        assert!(fits || name != pattern, "{pattern:?} does not fit itself");
        assert!(
            fits || !pattern.bytes().all(|byte| byte == b'*'),
            "{pattern:?} does not fit {name:?}"
        );
    }
    let _ = HostSelector::labels_of(text);
}

/// A path's bytes are what they were, also through JSON; none is empty or has a zero byte.
fn path(data: &[u8]) {
    let path = RemotePath::from(data.to_vec());
    let json = serde_json::to_vec(&path).expect("a path can be written");
    match serde_json::from_slice::<RemotePath>(&json) {
        Ok(read) => assert_eq!(read.as_bytes(), data),
        Err(error) => assert!(
            data.is_empty() || data.contains(&0),
            "a written path cannot be read: {error}"
        ),
    }
}

/// A subject is read as what it was made of, and no other is read at all.
fn subjects(text: &str) {
    let subjects = Subjects::default();
    if let Ok((org, etype)) = subjects.parse_event(text) {
        assert_eq!(subjects.event(&org, &etype), text);
    }
    if let Ok((org, name, outcome, host)) = subjects.parse_result(text) {
        assert_eq!(subjects.result(&org, &name, outcome, host), text);
    }
    let _ = subjects.parse_dead(text);
    if let Ok((org, name, state, host)) = subjects.parse_job(text) {
        assert_eq!(subjects.job(&org, &name, state, host), text);
    }
}
