//! The host of a test's events: what is said of it, and what holds where nothing is said.

use crate::pipeline::HostFacts;
use crate::pipeline::fields::{self, Field, Fields, Form, Shape, Takes};
use crate::pipeline::problem::Problems;
use crate::pipeline::yaml::{Kind, Node};
use serde_json::Value;
use tripline_protocol::event::HostHint;
use tripline_protocol::limit::LABELS_MAX;
use tripline_protocol::{Event, HostId, Org};
use uuid::Uuid;

/// A map, or the word for a host that nobody knows.
pub(super) const TAKES: [Takes; 2] = [Takes::Text(Form::NoHost), Takes::Map(&SHAPE)];

const SHAPE: Shape = Shape::new(
    "the host of a test",
    &[
        Field::new(
            "id",
            Takes::Text(Form::HostId),
            "Its id. Absent: what the event says, else one made of its name.",
        ),
        Field::new(
            "hostname",
            Takes::AnyText,
            "Its name. Absent: what the event says, else `test-host`.",
        ),
        Field::new("platform", Takes::AnyText, "`linux`, `windows` or `macos`.").or("linux"),
        Field::new("arch", Takes::AnyText, "`x86_64`, `aarch64` and the like.").or("x86_64"),
        Field::new("os_version", Takes::AnyText, "As its agent reports it."),
        Field::new(
            "labels",
            Takes::OneOrMany(&Takes::AnyText, LABELS_MAX),
            "Its labels.",
        ),
        Field::new(
            "addresses",
            Takes::OneOrMany(&Takes::AnyText, ADDRESSES_MAX),
            "Its IP addresses.",
        ),
        Field::new("attached", Takes::Flag, "Whether it is reachable.").or("true"),
        Field::new(
            "protected",
            Takes::Flag,
            "Whether it has a label of the configuration's `hosts.protected`.",
        )
        .or("false"),
    ],
    &[],
);

/// The word for a host that nobody knows.
pub(in crate::pipeline) const NOBODY: &str = "none";
/// Most addresses of a host in a test.
const ADDRESSES_MAX: usize = 64;
const HOSTNAME: &str = "test-host";
/// The label of a protected host that is given no other.
const PROTECTED: &str = "protected";

/// What is said of the host of an event.
#[derive(Debug, Clone)]
pub enum HostGiven {
    /// Nobody knows it.
    Nobody,
    /// These things; of others their defaults hold.
    Some(Box<Said>),
}

impl Default for HostGiven {
    fn default() -> Self {
        Self::Some(Box::default())
    }
}

/// What is said of a host.
#[derive(Debug, Clone, Default)]
pub struct Said {
    id: Option<HostId>,
    hostname: Option<String>,
    platform: Option<String>,
    arch: Option<String>,
    os_version: Option<String>,
    labels: Option<Vec<String>>,
    addresses: Option<Vec<String>>,
    attached: Option<bool>,
    protected: Option<bool>,
}

/// A host that an event may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenHost {
    /// What conditions and templates know of it.
    pub facts: HostFacts,
    /// Its org: that of the event.
    pub org: Org,
    /// In the Carbon Black dialect; 0 where the event does not name it so.
    pub sensor_id: u32,
    /// Its label that keeps pipelines away from it.
    pub protected: Option<String>,
}

impl HostGiven {
    pub(super) fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Text(word) if word == NOBODY => Some(Self::Nobody),
            Kind::Map(_) => Said::read(node, problems).map(|said| Self::Some(Box::new(said))),
            _ => problems.add(
                node.at,
                format!(
                    "expected a map of what the host is, or {NOBODY}, found {}",
                    node.describe()
                ),
            ),
        }
    }

    /// Reads what a command line says of it, as JSON.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, a line each.
    pub fn from_json(said: &Value) -> Result<Self, Vec<String>> {
        super::event::read_json(said, Self::read)
    }

    /// What this says, and what `other` says where this does not.
    pub(super) fn or(&self, other: Option<&Self>) -> Self {
        match (self, other) {
            (Self::Some(said), Some(Self::Some(other))) => {
                Self::Some(Box::new(said.as_ref().clone().or(other.as_ref().clone())))
            }
            _ => self.clone(),
        }
    }

    /// The host, filled in with what the event calls it.
    pub(super) fn of(&self, event: &Event) -> Option<GivenHost> {
        match self {
            Self::Nobody => None,
            Self::Some(said) => Some(said.as_ref().clone().of(event)),
        }
    }
}

impl Said {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let before = problems.count();
        let fields = Fields::of(node, &SHAPE, problems)?;
        let id = fields.get("id");
        let id = id.and_then(|node| fields::parsed(node, "the id of a host", problems));
        let mut text = |name| {
            let node = fields.get(name)?;
            fields::text(node, "a text", problems).map(str::to_owned)
        };
        let (hostname, platform, arch) = (text("hostname"), text("platform"), text("arch"));
        let os_version = text("os_version");
        let mut texts = |name, most| {
            let items = fields::one_or_many(fields.get(name)?, name, most, problems)?;
            let items = items
                .iter()
                .map(|item| fields::text(item, "a text", problems).map(str::to_owned));
            items.collect::<Option<Vec<_>>>()
        };
        let labels = texts("labels", LABELS_MAX);
        let addresses = texts("addresses", ADDRESSES_MAX);
        let mut flag = |name| fields::boolean(fields.get(name)?, problems);
        let (attached, protected) = (flag("attached"), flag("protected"));
        (problems.count() == before).then_some(Self {
            id,
            hostname,
            platform,
            arch,
            os_version,
            labels,
            addresses,
            attached,
            protected,
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            id: self.id.or(other.id),
            hostname: self.hostname.or(other.hostname),
            platform: self.platform.or(other.platform),
            arch: self.arch.or(other.arch),
            os_version: self.os_version.or(other.os_version),
            labels: self.labels.or(other.labels),
            addresses: self.addresses.or(other.addresses),
            attached: self.attached.or(other.attached),
            protected: self.protected.or(other.protected),
        }
    }

    fn of(self, event: &Event) -> GivenHost {
        let (mut id, mut hostname, mut sensor_id) = (self.id, self.hostname, 0);
        match &event.host {
            None => {}
            Some(HostHint::HostId(hint)) => id = id.or(Some(*hint)),
            Some(HostHint::SensorId(hint)) => sensor_id = *hint,
            Some(HostHint::Sid(hint)) => id = id.or(hint.parse().ok()),
            Some(HostHint::Hostname(hint)) => hostname = hostname.or_else(|| Some(hint.clone())),
            Some(HostHint::Subject(hint)) => match hint.parse() {
                Ok(hint) => id = id.or(Some(hint)),
                Err(_) => hostname = hostname.or_else(|| Some(hint.clone())),
            },
        }
        let hostname = hostname.unwrap_or_else(|| HOSTNAME.to_owned());
        let is_protected = self.protected.unwrap_or_default();
        let mut labels = self.labels.unwrap_or_default();
        if is_protected && labels.is_empty() {
            labels.push(PROTECTED.to_owned());
        }
        GivenHost {
            protected: labels.first().filter(|_| is_protected).cloned(),
            facts: HostFacts {
                host_id: id.unwrap_or_else(|| made_of(&event.org, &hostname)),
                hostname,
                platform: self.platform.unwrap_or_else(|| "linux".to_owned()),
                arch: self.arch.unwrap_or_else(|| "x86_64".to_owned()),
                os_version: self.os_version.unwrap_or_default(),
                labels,
                addresses: self.addresses.unwrap_or_default(),
                attached: self.attached.unwrap_or(true),
            },
            org: event.org.clone(),
            sensor_id,
        }
    }
}

/// Hosts of one name are one host.
fn made_of(org: &Org, hostname: &str) -> HostId {
    let of = format!("test/{org}/{}", hostname.to_lowercase());
    HostId(Uuid::new_v5(&Uuid::NAMESPACE_OID, of.as_bytes()))
}
