//! Local times without a zone, as LittleBrother writes them.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// Bytes of the text.
const LEN: usize = 19;

/// A text that is no local time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time: expected YYYY-MM-DD HH:MM:SS")]
pub struct InvalidLocalTime {
    /// What was given, cut to 80 characters.
    pub text: String,
}

/// `YYYY-MM-DD HH:MM:SS` in the sender's zone, which it does not name; years 1 to 9999, as Python has them. Sorts by
/// time. The text is kept as it came: a start time that comes back one second off is another process for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalTime([u8; LEN]);

impl LocalTime {
    /// The 19 ASCII characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII texts are ever stored.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The 19 bytes, as used in store keys.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// 1970-01-01 00:00:00.
    pub const fn epoch() -> Self {
        Self(*b"1970-01-01 00:00:00")
    }

    /// Seconds since 1970-01-01 00:00:00 of the same unnamed zone.
    pub fn naive_seconds(self) -> i64 {
        PrimitiveDateTime::parse(self.as_str(), FORMAT).map_or(0, |time| time.assume_utc().unix_timestamp())
    }

    /// The local time that many seconds after 1970-01-01 00:00:00 of its own zone; `None` outside the years 1
    /// to 9999.
    pub fn from_naive_seconds(seconds: i64) -> Option<Self> {
        let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        time.format(FORMAT).ok()?.parse().ok()
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LocalTime {
    type Err = InvalidLocalTime;

    fn from_str(text: &str) -> Result<Self, InvalidLocalTime> {
        let invalid = || InvalidLocalTime {
            text: text.chars().take(80).collect(),
        };
        let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| invalid())?;
        match PrimitiveDateTime::parse(text, FORMAT) {
            Ok(time) if time.year() > 0 => Ok(Self(bytes)),
            _ => Err(invalid()),
        }
    }
}

impl Serialize for LocalTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
