//! Every word that stands for something: ids, names, etypes, patterns, subjects, spans, times, paths, states.

use std::fmt::Display;
use std::str::FromStr;
use tripline_protocol::job::JobState;
use tripline_protocol::session::SessionState;
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::verb::Verb;
use tripline_protocol::{
    CommandId, Etype, HostId, JobId, Label, Name, Org, RemotePath, SessionId, Sha256, Span, Subjects,
    Timestamp,
};

/// What is read is the same when it is written and read again, and subjects name what they were made of.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        path(data);
        return;
    };
    again::<CommandId>(text);
    again::<Etype>(text);
    again::<EtypePattern>(text);
    again::<HostId>(text);
    again::<JobId>(text);
    again::<JobState>(text);
    again::<Label>(text);
    again::<Name>(text);
    again::<Org>(text);
    again::<SessionId>(text);
    again::<SessionState>(text);
    again::<Sha256>(text);
    again::<Span>(text);
    again::<Timestamp>(text);
    again::<Verb>(text);
    path(data);
    subjects(text);
}

fn again<W: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(word) = text.parse::<W>() {
        let written = word.to_string();
        assert_eq!(written.parse::<W>().ok(), Some(word), "{written:?} of {text:?}");
    }
}

/// A path's bytes are what they were, also through JSON; none has a zero byte.
fn path(data: &[u8]) {
    let path = RemotePath::from(data.to_vec());
    let json = serde_json::to_vec(&path).expect("a path can be written");
    match serde_json::from_slice::<RemotePath>(&json) {
        Ok(read) => assert_eq!(read.as_bytes(), data),
        Err(error) => assert!(data.contains(&0), "a written path cannot be read: {error}"),
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
    if let Ok((org, name, state, host)) = subjects.parse_job(text) {
        assert_eq!(subjects.job(&org, &name, state, host), text);
    }
}
