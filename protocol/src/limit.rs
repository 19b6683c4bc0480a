//! Limits that both sides of a wire must agree on. Bytes unless the name says otherwise.

/// Largest event at every edge, as it is on the wire.
pub const EVENT_BYTES_MAX: usize = 768 * 1024;
/// Largest result envelope on NATS; larger outputs become artifacts first.
pub const RESULT_BYTES_MAX: usize = 512 * 1024;
/// Largest JSON text frame on the agent channel, in either direction.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Largest payload of one binary chunk frame.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Largest output (stdout and stderr each) an agent captures; the rest is counted and dropped.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Largest inline content of `put_file`.
pub const INLINE_CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Most steps a job may have.
pub const STEPS_MAX: usize = 64;
/// Most entries a listing (`list_directory`, `list_processes`, `walk`) returns; more are counted.
pub const LIST_ENTRIES_MAX: usize = 2_000;
/// Deepest chain of events that cause jobs that cause events.
pub const TRIPDEPTH_MAX: u8 = 8;
/// Bytes a receiver of a transfer lets the sender have in flight.
pub const TRANSFER_CREDIT_BYTES: u64 = 4 * CHUNK_BYTES_MAX as u64;
/// Seconds between pings on the agent channel.
pub const PING_INTERVAL_SECONDS: u64 = 15;
/// Seconds without any frame after which an agent channel is dead.
pub const CHANNEL_DEAD_SECONDS: u64 = 45;
