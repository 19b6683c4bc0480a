//! Reading what a LittleBrother server answers: a list of events, with whatever else servers put there.
//!
//! The message was delivered whatever the body says: no body, `null` and text that is no JSON are answers without
//! events. An event that cannot be read is left out, and said so; the ones around it count. (The real client takes
//! the message for a failed one then, sends its events again and again, and at last ends what it watches.)

use serde_json::Value;
use tripline_protocol::littlebrother::{EventType, LocalTime, WireEvent};

/// What was in an answer.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// In order.
    pub events: Vec<WireEvent>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

impl Answer {
    /// Reads a body. `hostname` and `now` stand in where an event names none.
    pub fn read(body: &[u8], hostname: &str, now: LocalTime) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Null) => Self::default(),
            Ok(Value::Array(list)) => Self::from_list(&list, hostname, now),
            Ok(_) => Self::problem("the answer is no list of events"),
            Err(_) if body.iter().all(u8::is_ascii_whitespace) => Self::default(),
            Err(_) => Self::problem("the answer is no JSON: is this a LittleBrother server?"),
        }
    }

    fn problem(text: &str) -> Self {
        Self {
            problems: vec![text.to_owned()],
            ..Self::default()
        }
    }

    fn from_list(list: &[Value], hostname: &str, now: LocalTime) -> Self {
        let mut answer = Self::default();
        for (index, value) in list.iter().enumerate() {
            match read_event(value, hostname, now) {
                Ok(event) => answer.events.push(event),
                Err(why) => answer.problems.push(format!("events[{index}] left out: {why}")),
            }
        }
        answer
    }
}

fn read_event(value: &Value, hostname: &str, now: LocalTime) -> Result<WireEvent, String> {
    let Value::Object(map) = value else {
        return Err("it is no object".to_owned());
    };
    let kind = map.get("event_type").and_then(Value::as_str);
    let kind = kind.ok_or("it has no event_type")?;
    let kind: EventType = kind
        .parse()
        .map_err(|()| format!("{:?} is no known type", kind.chars().take(40).collect::<String>()))?;
    WireEvent::read(kind, map, hostname, now).map_err(|error| format!("{kind}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &str) -> Answer {
        Answer::read(body.as_bytes(), "beethoven", LocalTime::epoch())
    }

    #[test]
    fn an_answer_without_events_is_an_answer() {
        for body in ["", " \n", "null", "[]"] {
            assert_eq!(read(body), Answer::default(), "{body:?}");
        }
        for body in ["<html>", "{}", "\u{fffd}", "3"] {
            let answer = read(body);
            assert!(answer.events.is_empty() && answer.problems.len() == 1, "{body:?}");
        }
    }

    #[test]
    fn an_event_that_cannot_be_read_takes_nothing_with_it() {
        let answer = read(
            &json!([
                { "event_type": "START_MASTER", "hostname": "beethoven", "unknown": 1 },
                { "event_type": "KILL_PROCESS", "pid": 1, "process_start_time": "2026-11-20T20:00:00" },
                { "event_type": "PLAY_SOUND" },
                { "hostname": "beethoven" },
                "START_MASTER",
                { "event_type": "UPDATE_CONFIG", "payload": {} },
            ])
            .to_string(),
        );
        let kinds: Vec<EventType> = answer.events.iter().map(|event| event.event_type).collect();
        assert_eq!(kinds, [EventType::StartMaster, EventType::UpdateConfig]);
        assert_eq!(answer.problems.len(), 4);
        assert!(
            answer.problems[0].contains("process_start_time"),
            "{:?}",
            answer.problems
        );
    }
}
