//! The four streams: made when they are missing, checked when they are there.
//!
//! Deliberately not here: changing the limits of a stream that exists. They belong to whoever runs the broker; a
//! difference is reported and left. Subjects that an earlier version did not know are added. Only what would lose
//! messages (other subjects, an other retention) is an error.

use async_nats::jetstream::context::{Context, CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use std::time::Duration;
use tripline_protocol::Subjects;

const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Within which a message with the same `Nats-Msg-Id` is stored once.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// Bytes of all four streams together, when the broker has room for them.
pub const STREAM_BYTES: u64 = 14 * GIB;
/// Smallest stream that is worth making; a few messages of the largest size.
const STREAM_BYTES_MIN: u64 = 8 << 20;

/// Why the streams are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker does not answer about it.
    #[error("look up stream {stream}")]
    LookUp {
        /// Its name.
        stream: String,
        /// What the client says.
        #[source]
        source: jetstream::context::GetStreamError,
    },
    /// The broker does not make it.
    #[error("create stream {stream} of {bytes} bytes")]
    Create {
        /// Its name.
        stream: String,
        /// The smallest size that was tried.
        bytes: u64,
        /// What the client says.
        #[source]
        source: CreateStreamError,
    },
    /// It was deleted again while it was being looked at.
    #[error("find stream {stream} again after making it")]
    Vanished {
        /// Its name.
        stream: String,
    },
    /// A stream of this name is made for something else.
    #[error("stream {stream} has {what}, expected {expected}; change it or use another nats.subject_prefix")]
    Foreign {
        /// Its name.
        stream: String,
        /// What differs.
        what: String,
        /// What it should be.
        expected: String,
    },
    /// It lacks subjects that are captured by now, and the broker does not add them.
    #[error("add subjects to stream {stream}")]
    Widen {
        /// Its name.
        stream: String,
        /// What the client says.
        #[source]
        source: CreateStreamError,
    },
}

impl Error {
    fn create(config: &Config, source: CreateStreamError) -> Self {
        let bytes = u64::try_from(config.max_bytes).unwrap_or(0);
        Self::Create {
            stream: config.name.clone(),
            bytes,
            source,
        }
    }

    /// Whether a smaller stream might fit.
    fn is_no_room(&self) -> bool {
        let Self::Create { source, .. } = self else {
            return false;
        };
        let CreateStreamErrorKind::JetStream(error) = source.kind() else {
            return false;
        };
        [
            ErrorCode::STORAGE_RESOURCES_EXCEEDED,
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
            ErrorCode::INSUFFICIENT_RESOURCES,
            ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED,
        ]
        .contains(&error.error_code())
    }
}

/// What the check found.
#[derive(Debug)]
pub struct Checked {
    /// The stream of events.
    pub events: Info,
    /// Whether this check made it, so that it is known to be complete from its first message on.
    pub events_created: bool,
    /// Differences that are left as they are, one sentence each.
    pub warnings: Vec<String>,
}

/// Makes what is missing and checks what is there. `bytes_max` bounds what the streams take together; where the
/// broker has less room, they are made smaller, all in the same proportion.
pub async fn ensure(context: &Context, subjects: &Subjects, bytes_max: u64) -> Result<Checked, Error> {
    let full = wanted(subjects, bytes_max);
    let mut found = [None, None, None, None];
    for (config, found) in full.iter().zip(&mut found) {
        *found = look_up(context, config).await?;
        if let Some(found) = found {
            widen(context, found, config).await?;
        }
    }
    let missing = [0, 1, 2, 3].map(|index| found.get(index).is_some_and(Option::is_none));
    let mut scaled = full.clone();
    let mut made = [None, None, None, None];
    while let Err(error) = make(context, &scaled, missing, &mut made).await {
        if !(error.is_no_room() && scaled.iter_mut().all(halve)) {
            return Err(error);
        }
    }
    let mut warnings = Vec::new();
    for (full, (found, made)) in full.iter().zip(found.iter().zip(&made)) {
        if let Some(info) = found {
            check(&info.config, full)?;
            warnings.extend(drift(&info.config, full));
        } else if let Some(info) = made {
            warnings.extend(shrunk(&info.config, full));
        }
    }
    let ([events, ..], [events_made, ..]) = (found, made);
    let events_created = events_made.is_some();
    match events.or(events_made) {
        Some(events) => Ok(Checked {
            events,
            events_created,
            warnings,
        }),
        None => Err(Error::Vanished {
            stream: subjects.events_stream(),
        }),
    }
}

async fn look_up(context: &Context, config: &Config) -> Result<Option<Info>, Error> {
    match context.get_stream(&config.name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(Error::LookUp {
            stream: config.name.clone(),
            source,
        }),
    }
}

/// Adds the subjects that a stream of an earlier version does not capture yet; all else stays as it is there.
async fn widen(context: &Context, found: &mut Info, wanted: &Config) -> Result<(), Error> {
    let Some(config) = widened(&found.config, wanted) else {
        return Ok(());
    };
    let widened = context.update_stream(&config).await;
    *found = widened.map_err(|source| Error::Widen {
        stream: config.name.clone(),
        source,
    })?;
    tracing::info!(stream = config.name, subjects = ?config.subjects, "subjects added to stream");
    Ok(())
}

/// What a stream becomes that captures a part of what is wanted, and nothing else.
fn widened(found: &Config, wanted: &Config) -> Option<Config> {
    let ours = found
        .subjects
        .iter()
        .all(|subject| wanted.subjects.contains(subject));
    let narrow = !found.subjects.is_empty() && found.subjects.len() < wanted.subjects.len();
    (ours && narrow).then(|| Config {
        subjects: wanted.subjects.clone(),
        ..found.clone()
    })
}

/// Makes those that are `missing`, and shrinks those that an attempt before this one made larger.
async fn make(
    context: &Context,
    wanted: &[Config; 4],
    missing: [bool; 4],
    made: &mut [Option<Info>; 4],
) -> Result<(), Error> {
    for ((config, missing), made) in wanted.iter().zip(missing).zip(made) {
        let larger = made
            .as_ref()
            .is_some_and(|info| info.config.max_bytes > config.max_bytes);
        if larger {
            let shrunk = context.update_stream(config).await;
            *made = Some(shrunk.map_err(|source| Error::create(config, source))?);
        } else if missing && made.is_none() {
            let created = context
                .create_stream(config)
                .await
                .map_err(|source| Error::create(config, source))?;
            tracing::info!(stream = config.name, bytes = config.max_bytes, "stream created");
            *made = Some(created.cached_info().clone());
        }
    }
    Ok(())
}

/// The streams of events, results, dead letters and the audit, in this order.
fn wanted(subjects: &Subjects, bytes_max: u64) -> [Config; 4] {
    let share = |gib: u64| {
        let full = gib * GIB;
        let scaled = u128::from(full) * u128::from(bytes_max.min(STREAM_BYTES)) / u128::from(STREAM_BYTES);
        u64::try_from(scaled).unwrap_or(full).max(STREAM_BYTES_MIN)
    };
    [
        config(
            subjects.events_stream(),
            vec![subjects.all_events()],
            7 * DAY,
            share(8),
        ),
        config(
            subjects.results_stream(),
            subjects.all_results().to_vec(),
            30 * DAY,
            share(4),
        ),
        config(
            subjects.dead_stream(),
            vec![subjects.all_dead()],
            30 * DAY,
            share(1),
        ),
        config(
            subjects.audit_stream(),
            vec![subjects.all_audit()],
            400 * DAY,
            share(1),
        ),
    ]
}

fn config(name: String, subjects: Vec<String>, max_age: Duration, max_bytes: u64) -> Config {
    Config {
        name,
        subjects,
        max_age,
        max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        num_replicas: 1,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}

fn is_missing(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Whether a smaller one is worth a try.
fn halve(wanted: &mut Config) -> bool {
    wanted.max_bytes /= 2;
    u64::try_from(wanted.max_bytes).is_ok_and(|bytes| bytes >= STREAM_BYTES_MIN)
}

fn shrunk(made: &Config, full: &Config) -> Option<String> {
    (made.max_bytes < full.max_bytes).then(|| {
        let (name, bytes, full) = (&full.name, made.max_bytes, full.max_bytes);
        format!("stream {name} was made with {bytes} bytes, because the broker has no room for {full}")
    })
}

/// What must not differ.
fn check(found: &Config, wanted: &Config) -> Result<(), Error> {
    let foreign = |what: String, expected: String| {
        Err(Error::Foreign {
            stream: wanted.name.clone(),
            what,
            expected,
        })
    };
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(" ")
    };
    if sorted(&found.subjects) != sorted(&wanted.subjects) {
        return foreign(
            format!("subjects {}", sorted(&found.subjects)),
            sorted(&wanted.subjects),
        );
    }
    if found.retention != RetentionPolicy::Limits {
        return foreign(format!("retention {:?}", found.retention), "Limits".into());
    }
    if found.no_ack || found.sealed {
        return foreign("no_ack or sealed set".into(), "neither".into());
    }
    Ok(())
}

/// What may differ: one sentence for each difference.
fn drift(found: &Config, wanted: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: String, wanted: String| {
        if found != wanted {
            differences.push(format!("{what} {found} instead of {wanted}"));
        }
    };
    compare(
        "max_bytes",
        found.max_bytes.to_string(),
        wanted.max_bytes.to_string(),
    );
    compare(
        "max_age",
        format!("{:?}", found.max_age),
        format!("{:?}", wanted.max_age),
    );
    compare(
        "storage",
        format!("{:?}", found.storage),
        format!("{:?}", wanted.storage),
    );
    compare(
        "discard",
        format!("{:?}", found.discard),
        format!("{:?}", wanted.discard),
    );
    let window = (found.duplicate_window, wanted.duplicate_window);
    compare(
        "duplicate_window",
        format!("{:?}", window.0),
        format!("{:?}", window.1),
    );
    differences
        .into_iter()
        .map(|difference| format!("stream {} has {difference}", wanted.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_gets_small_streams_in_the_same_proportion() {
        let [events, results, dead, audit] = wanted(&Subjects::default(), 14 << 28);
        assert_eq!(events.max_bytes, 2 << 30);
        assert_eq!(results.max_bytes, 1 << 30);
        assert_eq!(dead.max_bytes, 1 << 28);
        assert_eq!(audit.max_bytes, 1 << 28);
        let [events, ..] = wanted(&Subjects::default(), u64::MAX);
        assert_eq!(events.max_bytes, 8 << 30);
    }

    #[test]
    fn other_subjects_are_an_error_and_other_limits_a_warning() {
        let [events, results, ..] = wanted(&Subjects::default(), STREAM_BYTES);
        let mut found = events.clone();
        found.max_age = DAY;
        assert!(check(&found, &events).is_ok());
        assert_eq!(
            drift(&found, &events),
            ["stream TRIPLINE_EVENTS has max_age 86400s instead of 604800s"]
        );
        found.subjects = results.subjects;
        assert!(
            check(&found, &events)
                .unwrap_err()
                .to_string()
                .contains("tripline.results.>")
        );
    }

    #[test]
    fn a_stream_of_an_earlier_version_gets_the_subjects_that_are_new_and_a_foreign_one_does_not() {
        let [_, results, ..] = wanted(&Subjects::default(), STREAM_BYTES);
        let mut found = results.clone();
        found.subjects.truncate(2);
        found.max_age = DAY;
        let wide = widened(&found, &results).unwrap();
        assert_eq!(wide.subjects, results.subjects);
        assert_eq!(wide.max_age, DAY, "its limits are its owner's");
        assert!(widened(&wide, &results).is_none());
        found.subjects.push("theirs.>".into());
        assert!(widened(&found, &results).is_none());
    }

    #[test]
    fn no_stream_is_made_smaller_than_the_least() {
        let least = i64::try_from(STREAM_BYTES_MIN).unwrap();
        for bytes_max in [0, STREAM_BYTES_MIN] {
            let sizes = wanted(&Subjects::default(), bytes_max).map(|config| config.max_bytes);
            assert_eq!(sizes, [least; 4]);
        }
        let [mut events, ..] = wanted(&Subjects::default(), 0);
        events.max_bytes = 2 * least;
        assert!(halve(&mut events), "that one is tried");
        assert_eq!(events.max_bytes, least);
        assert!(!halve(&mut events), "less is not");
    }
}
