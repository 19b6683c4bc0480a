//! Frames to and from text: the hot path of the agent channel, so one pass and no copies where possible.

use super::closing::Violation;
use tripline_protocol::frame::{AgentFrame, CommandResult, ServerFrame};
use tripline_protocol::limit::FRAME_BYTES_MAX;

/// How our agent's results begin; most of what arrives is one. A writer with another order of keys is
/// understood as well, by the general reader.
const RESULT_PREFIX: &str = r#"{"type":"result","#;

/// Reads a text frame. A type that this version does not know is [`AgentFrame::Unknown`].
pub(super) fn read(text: &str) -> Result<AgentFrame, Violation> {
    if text.len() > FRAME_BYTES_MAX {
        return Err(Violation::TooLarge);
    }
    // The general reader has to keep everything until it has seen the type; this one need not.
    if text.starts_with(RESULT_PREFIX)
        && let Ok(result) = serde_json::from_str::<CommandResult>(text)
    {
        return Ok(AgentFrame::Result(Box::new(result)));
    }
    serde_json::from_str(text).map_err(|error| Violation::NotAFrame(error.to_string()))
}

/// Writes a frame; `None` when it would be longer than an agent takes.
pub(super) fn write(frame: &ServerFrame) -> Option<String> {
    serde_json::to_string(frame)
        .ok()
        .filter(|text| text.len() <= FRAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::CommandId;
    use uuid::Uuid;

    const ID: CommandId = CommandId(Uuid::from_u128(7));

    fn result() -> AgentFrame {
        AgentFrame::Result(Box::new(CommandResult {
            command_id: ID,
            output: Some(serde_json::json!({"processes": [{"pid": 1}], "omitted": 0})),
            error: None,
            truncated: None,
        }))
    }

    #[test]
    fn a_result_reads_the_same_whatever_the_order_of_its_keys() {
        let text = serde_json::to_string(&result()).expect("JSON");
        assert!(text.starts_with(RESULT_PREFIX), "{text}");
        assert_eq!(read(&text).expect("a frame"), result());
        let other = text
            .replace(RESULT_PREFIX, "{")
            .replace("}]", "}],\"x\":1")
            .trim_end_matches('}')
            .to_owned();
        assert!(read(&other).is_err());
        let last = format!(
            r#"{{"command_id":"{ID}","output":{{"processes":[{{"pid":1}}],"omitted":0}},"type":"result"}}"#
        );
        assert_eq!(read(&last).expect("a frame"), result());
    }

    #[test]
    fn unknown_frames_and_fields_are_let_through() {
        assert_eq!(
            read(r#"{"type":"dance","steps":3}"#).expect("a frame"),
            AgentFrame::Unknown
        );
        let text = format!(r#"{{"type":"accepted","command_id":"{ID}","mood":"good"}}"#);
        assert_eq!(
            read(&text).expect("a frame"),
            AgentFrame::Accepted { command_id: ID }
        );
    }

    #[test]
    fn what_is_no_frame_is_a_violation() {
        for text in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type":"result","command_id":5}"#,
            r#"{"type":"accepted"}"#,
        ] {
            assert!(matches!(read(text), Err(Violation::NotAFrame(_))), "{text:?}");
        }
        let long = format!(r#"{{"type":"dance","x":"{}"}}"#, "x".repeat(FRAME_BYTES_MAX));
        assert!(matches!(read(&long), Err(Violation::TooLarge)));
    }

    #[test]
    fn a_frame_too_long_for_an_agent_is_not_written() {
        assert!(write(&ServerFrame::Ping).is_some());
        let long = ServerFrame::Bye {
            reason: "x".repeat(FRAME_BYTES_MAX),
        };
        assert!(write(&long).is_none());
    }
}
