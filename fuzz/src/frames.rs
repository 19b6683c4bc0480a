//! Frames of the agent channel, as either side reads them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tripline_protocol::frame::{AgentFrame, Chunk, ServerFrame};

/// A frame that is understood means the same when it is written and read again.
pub fn run(data: &[u8]) {
    again::<AgentFrame>(data);
    again::<ServerFrame>(data);
    if let Ok(chunk) = Chunk::decode(data) {
        assert_eq!(chunk.encode(), data, "a chunk changed on its way");
    }
}

fn again<F: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(frame) = serde_json::from_slice::<F>(data) else {
        return;
    };
    let written = serde_json::to_vec(&frame).expect("what was read can be written");
    let read: F = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(read, frame, "a frame changed on its way");
}
