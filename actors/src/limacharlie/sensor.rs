//! What calls tell of LimaCharlie's sensors.
//!
//! A sensor is a host of its own, its id derived from org and `sid`, until an administrator links it to an agent's host. What is
//! told is cut to the bounds that hosts have, and never a reason to refuse a call.

use crate::record::HostRecord;
use serde_json::{Map, Value};
use tripline_protocol::limacharlie::ServiceEtype;
use tripline_protocol::{HostId, Org, Span, Timestamp};
use uuid::Uuid;

/// Longest name of a host taken, in bytes.
const HOSTNAME_BYTES_MAX: usize = 255;
/// Longest other text taken, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// The deployment event that tells that a sensor was deleted.
const DELETED: &str = "deleted_sensor";
/// That a sensor was heard of is written again only after so long.
pub(super) const SEEN_EVERY: Span = Span::from_secs(600);

/// A sensor, as far as a call tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sensor {
    pub(crate) org: Org,
    pub(crate) sid: Uuid,
    pub(crate) hostname: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) arch: Option<String>,
    pub(crate) addresses: Vec<String>,
}

impl Sensor {
    /// The host that it is.
    pub(crate) fn host_id(&self) -> HostId {
        HostId::derive_limacharlie(&self.org, self.sid)
    }

    /// The sensor that a call of `etype` is about. `None`: none, or one whose id is no UUID.
    pub(super) fn of(etype: ServiceEtype, org: &Org, data: &Value) -> Option<Self> {
        let facts = match etype {
            ServiceEtype::NewSensor | ServiceEtype::Tick(..) => data,
            ServiceEtype::Detection => data.get("routing").or_else(|| data.pointer("/detect/routing"))?,
            // What is told of one that was deleted must not bring its host back.
            ServiceEtype::DeploymentEvent
                if data.pointer("/routing/event_type").and_then(Value::as_str) == Some(DELETED) =>
            {
                return None;
            }
            ServiceEtype::DeploymentEvent | ServiceEtype::LogEvent => data.get("routing")?,
            _ => return None,
        };
        Self::read(org, facts.as_object()?)
    }

    fn read(org: &Org, facts: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str, bytes_max| plain(facts.get(key)?.as_str()?, bytes_max);
        let word = |long: &str, short: &str, words: fn(i64) -> Option<&'static str>| {
            let named = text(long, WORD_BYTES_MAX).or_else(|| text(short, WORD_BYTES_MAX));
            let number = || facts.get(short).and_then(Value::as_i64).and_then(words);
            named.or_else(|| number().map(str::to_owned))
        };
        let addresses = ["int_ip", "ext_ip"].into_iter();
        Some(Self {
            org: org.clone(),
            sid: Uuid::parse_str(facts.get("sid")?.as_str()?).ok()?,
            hostname: text("hostname", HOSTNAME_BYTES_MAX),
            platform: word("platform", "plat", platform),
            arch: word("architecture", "arch", architecture),
            addresses: addresses.filter_map(|key| text(key, WORD_BYTES_MAX)).collect(),
        })
    }

    /// Whether a record that is known says what this does, and was written a short while ago.
    pub(super) fn is_known_as(&self, record: &HostRecord, now: Timestamp) -> bool {
        now.since(record.last_seen_at) < SEEN_EVERY && !self.differs(record)
    }

    pub(crate) fn differs(&self, record: &HostRecord) -> bool {
        let other = |told: &Option<String>, known: &String| told.as_ref().is_some_and(|told| told != known);
        other(&self.hostname, &record.hostname)
            || other(&self.platform, &record.platform)
            || other(&self.arch, &record.arch)
            || (!self.addresses.is_empty() && self.addresses != record.addresses)
    }

    /// What is known of it goes into its record.
    pub(crate) fn update(self, record: &mut HostRecord, now: Timestamp) {
        record.last_seen_at = now;
        let Self {
            hostname,
            platform,
            arch,
            addresses,
            ..
        } = self;
        record.hostname = hostname.unwrap_or_else(|| record.hostname.clone());
        record.platform = platform.unwrap_or_else(|| record.platform.clone());
        record.arch = arch.unwrap_or_else(|| record.arch.clone());
        if !addresses.is_empty() {
            record.addresses = addresses;
        }
    }

    /// The record of one that is not known.
    pub(crate) fn to_record(&self, sensor_id: u32, now: Timestamp) -> HostRecord {
        let text = |told: &Option<String>| told.clone().unwrap_or_default();
        HostRecord {
            host_id: self.host_id(),
            sensor_id,
            org: self.org.clone(),
            hostname: self.hostname.clone().unwrap_or_else(|| self.sid.to_string()),
            platform: text(&self.platform),
            arch: text(&self.arch),
            os_version: String::new(),
            addresses: self.addresses.clone(),
            agent_version: String::new(),
            labels: Vec::new(),
            install_id: None,
            key_sha256: None,
            next_key_sha256: None,
            rotation_asked_at: None,
            cloned: None,
            epoch: 0,
            isolation: None,
            limacharlie: Some(self.sid),
            created_at: now,
            last_seen_at: now,
        }
    }
}

/// A text that is not empty, short, and shows as it is.
fn plain(text: &str, bytes_max: usize) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// LimaCharlie's numbers of platforms, in what sensors send; words in what services are told.
fn platform(number: i64) -> Option<&'static str> {
    Some(match number {
        0x1000_0000 => "windows",
        0x2000_0000 => "linux",
        0x3000_0000 => "macos",
        0x6000_0000 => "chrome",
        _ => return None,
    })
}

/// The same of processors.
fn architecture(number: i64) -> Option<&'static str> {
    Some(match number {
        1 => "x86",
        2 => "x64",
        3 => "arm",
        4 => "arm64",
        _ => return None,
    })
}
