//! Types of values that only the configuration knows.

use super::setting::{Raw, Setting, read_text};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tripline_protocol::littlebrother::Zone;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From the text itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

impl Setting for Secret {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text() {
            Some(text) if !text.trim().is_empty() => Ok(Self::new(text)),
            Some(_) => Err("must not be empty".to_owned()),
            None => Err("must be a text".to_owned()),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some("********".into())
    }
}

/// A number of bytes; written as `256MiB`, `2GiB`, `512KiB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Bytes {
    pub(super) const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    pub(super) const fn from_gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, *unit)))
            .unwrap_or((text, 1));
        number.trim().parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
        {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Setting for Bytes {
    fn read(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "a number of bytes such as \"256MiB\" or \"2GiB\"";
        match raw.integer() {
            Some(number) => number.try_into().map(Self).map_err(|_| raw.is_not(EXPECTED)),
            None => read_text(raw, EXPECTED, Self::parse),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// Where the embedded broker listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedListen {
    /// Its address.
    pub host: IpAddr,
    /// Its port; `None` (written -1) for any that is free.
    pub port: Option<u16>,
}

impl Default for EmbeddedListen {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            port: Some(4222),
        }
    }
}

impl EmbeddedListen {
    /// As the operating system wants it: port 0 for any that is free.
    pub fn to_socket(self) -> SocketAddr {
        SocketAddr::new(self.host, self.port.unwrap_or(0))
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host: IpAddr = match bare {
            Some(bare) => IpAddr::V6(bare.parse().ok()?),
            None => IpAddr::V4(host.parse().ok()?),
        };
        let port = match port {
            "-1" => None,
            number => Some(number.parse().ok().filter(|port| *port > 0)?),
        };
        Some(Self { host, port })
    }
}

impl fmt::Display for EmbeddedListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            IpAddr::V4(host) => write!(f, "{host}:")?,
            IpAddr::V6(host) => write!(f, "[{host}]:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("-1"),
        }
    }
}

impl Setting for EmbeddedListen {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "an IP address with a port (-1 for any), such as \"127.0.0.1:4222\"",
            Self::parse,
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// URLs of brokers, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// The URLs, separated by commas.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_legal(url: &str) -> bool {
        let url = url.trim();
        let rest = url
            .strip_prefix("nats://")
            .or_else(|| url.strip_prefix("tls://"))
            .unwrap_or(url);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    }
}

impl Setting for NatsUrl {
    fn read(raw: &Raw) -> Result<Self, String> {
        // Refused without showing it: what stands before the @ is a password.
        if raw.text().is_some_and(|text| text.contains('@')) {
            return Err("must not contain a user or password; use nats.user and nats.password".to_owned());
        }
        read_text(
            raw,
            "a URL such as \"nats://broker:4222\" or \"tls://broker:4222\"",
            |text| text.split(',').all(Self::is_legal).then(|| Self(text.to_owned())),
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZoneName {
    name: String,
    zone: Zone,
}

impl TimeZoneName {
    /// The zone it names.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    fn parse(text: &str) -> Option<Self> {
        let zone = Zone(jiff::tz::TimeZone::get(text).ok()?);
        let name = text.to_owned();
        Some(Self { name, zone })
    }
}

impl Setting for TimeZoneName {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "a time zone that this machine knows, such as \"Europe/Berlin\" or \"UTC\"",
            Self::parse,
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.name.clone().into())
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Setting for LogFormat {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(raw, "text or json", |text| match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        })
    }

    fn show(&self) -> Option<toml::Value> {
        Some(match self {
            Self::Text => "text".into(),
            Self::Json => "json".into(),
        })
    }
}

/// Which log lines there are: a level, and others for single modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogLevel {
    /// As a filter of `tracing-subscriber`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter language takes any word as a module's name, so a misspelt level would silence the log.
    fn parse(text: &str) -> Option<Self> {
        let level = |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
        let module = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
        };
        text.split(',')
            .all(|part| match part.split_once('=') {
                Some((name, word)) => module(name) && level(word),
                None => level(part),
            })
            .then(|| Self(text.to_owned()))
    }
}

impl Setting for LogLevel {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "off, error, warn, info, debug or trace, or \"info,tripline::nats=debug\"",
            Self::parse,
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }
}
