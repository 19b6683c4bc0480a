//! Limits that both sides of a wire must agree on. Bytes unless the name says otherwise.

use crate::fault::Fault;
use crate::job::JobSpec;
use crate::time::Span;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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
/// Most steps a job may have beside these, for when they are over (`finally`).
pub const FINALLY_MAX: usize = 16;
/// Most elements of a list that a step runs over.
pub const FOR_EACH_MAX: u32 = 200;
/// Most steps a job may have when its lists are known, one for each element and those for its end included.
pub const STEPS_EXPANDED_MAX: usize = 256;
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
/// Deepest nesting of the JSON that others bring: an event's `data`, a verb's output, a step's arguments.
/// A reader of JSON gives up at 128 levels, and what is taken here is written again inside results and
/// records, some levels down.
pub const NESTING_MAX: usize = 64;
/// Longest attribute of an event (id, source): each is carried on to every result.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Longest name a host can be called by in an event.
pub const HOST_NAME_BYTES_MAX: usize = 255;
/// Longest org, name of a pipeline or job, and label.
pub const WORD_BYTES_MAX: usize = 64;
/// Longest etype, and longest pattern of etypes.
pub const ETYPE_BYTES_MAX: usize = 200;
/// Longest prefix of subjects (`nats.subject_prefix`).
pub const PREFIX_BYTES_MAX: usize = 64;

/// Most labels of a host, those of an administrator and those of its agent each.
pub const LABELS_MAX: usize = 64;

/// Most hosts of one fan-out.
pub const FANOUT_HOSTS_MAX: u32 = 100_000;
/// The highest `in_flight` of a fan-out's pace.
pub const FANOUT_IN_FLIGHT_MAX: u32 = 10_000;
/// The highest `per_minute` of a fan-out's pace.
pub const FANOUT_PER_MINUTE_MAX: u32 = 60_000;
/// The highest `canary` of a fan-out's pace.
pub const FANOUT_CANARY_MAX: u32 = 1_000;
/// The highest `ramp` of a fan-out's pace.
pub const FANOUT_RAMP_MAX: u32 = 100;
/// The highest `auto_pause.of` of a fan-out's pace.
pub const FANOUT_PAUSE_OF_MAX: u32 = 100;
/// How long hosts of a fan-out may wait for their turn at most.
pub const FANOUT_EXPIRES_MAX: Span = Span::from_secs(30 * 24 * 3600);

/// How long a host is isolated unless a command says so.
pub const ISOLATION_SPAN_DEFAULT: Span = Span::from_secs(4 * 3600);
/// The shortest isolation.
pub const ISOLATION_SPAN_MIN: Span = Span::from_secs(60);
/// The longest isolation; it can be renewed.
pub const ISOLATION_SPAN_MAX: Span = Span::from_secs(30 * 24 * 3600);
/// Most ranges of addresses that a command allows an isolated host, and as many of its agent's configuration.
pub const ISOLATION_ALLOW_MAX: usize = 32;

/// Whether `value` is nested at most [`NESTING_MAX`] levels: a plain value is one, `[1]` and `{"a": 1}` two.
pub fn is_shallow(value: &Value) -> bool {
    fn within(value: &Value, levels: usize) -> bool {
        let Some(below) = levels.checked_sub(1) else {
            return false;
        };
        match value {
            Value::Array(items) => items.iter().all(|item| within(item, below)),
            Value::Object(map) => map.values().all(|item| within(item, below)),
            _ => true,
        }
    }
    within(value, NESTING_MAX)
}

/// Whether the values of an object, such as a step's arguments, are each shallow.
fn has_shallow_values(value: &Value) -> bool {
    value.as_object().is_none_or(|map| map.values().all(is_shallow))
}

fn refuse_deep<T, E: serde::de::Error>(found: T, shallow: bool) -> Result<T, E> {
    match shallow {
        true => Ok(found),
        false => Err(E::custom(format_args!(
            "nested more than {NESTING_MAX} levels deep"
        ))),
    }
}

/// Reads a value and refuses one nested too deeply. Only where it comes in: what was accepted and stored
/// must be readable for ever.
pub(crate) fn shallow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let shallow = is_shallow(&value);
    refuse_deep(value, shallow)
}

/// The same where there may be none.
pub(crate) fn shallow_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    let shallow = value.as_ref().is_none_or(is_shallow);
    refuse_deep(value, shallow)
}

/// The same of a map of values.
pub(crate) fn shallow_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<serde_json::Map<String, Value>, D::Error> {
    let map = serde_json::Map::deserialize(deserializer)?;
    let shallow = map.values().all(is_shallow);
    refuse_deep(map, shallow)
}

/// The same of a fault's detail.
pub(crate) fn shallow_fault<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fault>, D::Error> {
    let fault = Option::<Fault>::deserialize(deserializer)?;
    let detail = fault.as_ref().and_then(|fault| fault.detail.as_ref());
    let shallow = detail.is_none_or(is_shallow);
    refuse_deep(fault, shallow)
}

/// The same of the arguments of a job's steps.
pub(crate) fn shallow_job<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JobSpec>, D::Error> {
    let job = Option::<JobSpec>::deserialize(deserializer)?;
    let shallow = job
        .iter()
        .flat_map(|job| job.steps.iter().chain(&job.finally))
        .all(|step| {
            has_shallow_values(&step.args)
                && step.for_each.as_ref().is_none_or(|list| is_shallow(&list.items))
        });
    refuse_deep(job, shallow)
}
