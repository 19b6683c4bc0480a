//! Messages of LittleBrother clients, the patterns of processes that people write for them, and what their servers answer.
//!
//! Input: a message's body; or, behind a line `pattern`, a pattern and on the next line a name; or, behind a line `answers`,
//! what a server answers to an agent, a line each time.

use std::time::Duration;
use tripline_agent::watcher::{Effect, Moment, Options, Seen, Watcher};
use tripline_agent::watching::Answer;
use tripline_protocol::littlebrother::{LocalTime, ProcessPattern, ProhibitedPattern, ReadMessage};

const ANSWERS_MAX: usize = 64;
/// The agent's own process.
const OWN: u32 = 41;

/// A message is read or refused whole; a pattern that is taken answers for any name; a server is told no more than there is,
/// and ends nothing that was not seen.
pub fn run(data: &[u8]) {
    if let Some(rest) = data.strip_prefix(b"pattern\n") {
        patterns(&String::from_utf8_lossy(rest));
    } else if let Some(rest) = data.strip_prefix(b"answers\n") {
        answers(rest);
    } else {
        message(data);
    }
}

fn answers(lines: &[u8]) {
    let at = |n: usize| {
        let seconds = n as u64 * 5;
        Moment {
            up: Duration::from_secs(seconds),
            local: LocalTime::from_naive_seconds(1_800_000_000 + n as i64 * 5).expect("a time"),
        }
    };
    let options = Options {
        own_pid: Some(OWN),
        ..Options::new("beethoven")
    };
    let mut watcher = Watcher::new(options, None, at(0));
    for (n, line) in lines.split(|byte| *byte == b'\n').take(ANSWERS_MAX).enumerate() {
        watcher.next_message(None, at(n));
        let answer = Answer::read(line, "beethoven", at(n).local);
        let answered = watcher.answered(&answer.events, at(n));
        watcher.looks();
        let scanned = watcher.scan(&[seen(OWN), seen(42)], at(n));
        for effect in answered.iter().chain(&scanned).chain(&watcher.tick(at(n))) {
            if let Effect::Kill(kill) = effect {
                assert_eq!(kill.process.pid, 42, "a process is to end that nobody may end");
            }
        }
        let message = watcher.next_message(None, at(n));
        let text = serde_json::to_string(&message).expect("a message can be written");
        assert!(text.len() < 1024 * 1024, "a message of {} bytes", text.len());
    }
}

fn seen(pid: u32) -> Seen {
    Seen {
        pid,
        start: LocalTime::from_naive_seconds(1_700_000_000).expect("a time"),
        start_exact: 7,
        uid: 1000,
        name: "bash".to_owned(),
        command_line: String::new(),
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
