//! How a command's end is written: the text of its result frame.

use crate::verbs::Done;
use tripline_protocol::frame::{AgentFrame, CODE_INTERRUPTED, CommandResult};
use tripline_protocol::limit::FRAME_BYTES_MAX;
use tripline_protocol::step::Truncated;
use tripline_protocol::{CommandId, Fault};

/// The answer for a command whose result the agent has been told to forget.
pub(super) fn already_acked() -> Fault {
    Fault::server(
        "already_acked",
        "the command ended before and the server acked its result",
    )
}

/// The answer while a result could not be made durable.
pub(super) fn unknown_outcome() -> Fault {
    Fault::server(CODE_INTERRUPTED, "the agent could not keep the command's result")
}

/// The text of a result frame; an output too large for a frame becomes a fault that says so.
pub(super) fn result_frame(id: CommandId, outcome: Result<Done, Fault>) -> String {
    let result = match outcome {
        Ok(done) => CommandResult {
            command_id: id,
            output: Some(done.output),
            error: None,
            truncated: (done.truncated_bytes > 0).then_some(Truncated {
                bytes: done.truncated_bytes,
            }),
        },
        Err(fault) => CommandResult {
            command_id: id,
            output: None,
            error: Some(fault),
            truncated: None,
        },
    };
    match serde_json::to_string(&AgentFrame::Result(Box::new(result))) {
        Ok(text) if text.len() <= FRAME_BYTES_MAX => text,
        Ok(text) => too_large(id, text.len()),
        Err(error) => {
            tracing::error!(command_id = %id, %error, "a result has no JSON form");
            too_large(id, 0)
        }
    }
}

fn too_large(id: CommandId, bytes: usize) -> String {
    serde_json::json!({
        "type": "result",
        "command_id": id,
        "error": Fault::server("output_too_large", format!("the result of {bytes} bytes fits no frame")),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn parse(text: &str) -> CommandResult {
        match serde_json::from_str(text).unwrap() {
            AgentFrame::Result(result) => *result,
            other => panic!("{other:?} is no result"),
        }
    }

    #[test]
    fn an_output_that_fits_no_frame_becomes_a_fault() {
        let id = CommandId(Uuid::nil());
        let done = |bytes: usize| Done {
            output: "x".repeat(bytes).into(),
            truncated_bytes: 3,
        };
        let fits = parse(&result_frame(id, Ok(done(1000))));
        assert_eq!(fits.truncated, Some(Truncated { bytes: 3 }));
        assert!(fits.output.is_some() && fits.error.is_none());
        let text = result_frame(id, Ok(done(FRAME_BYTES_MAX)));
        let large = parse(&text);
        assert!(text.len() < 1000 && large.output.is_none());
        assert_eq!(large.error.unwrap().code, "output_too_large");
    }
}
