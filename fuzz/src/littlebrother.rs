//! Messages of LittleBrother clients, and the patterns of processes that people write for them.
//!
//! Input: a message's body; or, behind a line `pattern`, a pattern and on the next line a name.

use tripline_protocol::littlebrother::{LocalTime, ProcessPattern, ProhibitedPattern, ReadMessage};

/// A message is read or refused whole; a pattern that is taken answers for any name.
pub fn run(data: &[u8]) {
    match data.strip_prefix(b"pattern\n") {
        Some(rest) => patterns(&String::from_utf8_lossy(rest)),
        None => message(data),
    }
}

fn message(body: &[u8]) {
    if let Ok(read) = ReadMessage::read(body, LocalTime::epoch()) {
        let hostname = &read.message.hostname;
        assert!(!hostname.is_empty(), "a message of nobody");
        assert!(
            read.message
                .events
                .iter()
                .all(|event| event.hostname == *hostname),
            "an event of another host"
        );
    }
}

fn patterns(text: &str) {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, "bash"));
    if let Ok(pattern) = ProcessPattern::parse(pattern) {
        assert_eq!(pattern.matches(name), pattern.explain(name).is_some());
    }
    if let Ok(Some(pattern)) = ProhibitedPattern::parse(pattern) {
        assert_eq!(pattern.matches(name), pattern.explain(name).is_some());
    }
}
