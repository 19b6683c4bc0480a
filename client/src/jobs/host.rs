//! Where a job runs.

use crate::host::Host;
use tripline_protocol::HostId;

/// The host of a job: a [`Host`], a host id, or a text or number as [`Client::host`](crate::Client::host) takes it.
#[derive(Debug, Clone)]
pub struct JobHost(pub(super) Named);

/// How it was named.
#[derive(Debug, Clone)]
pub(super) enum Named {
    Known(Box<Host>),
    Id(HostId),
    Text(String),
}

/// A lane of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Of a host.
    Host(HostId),
    /// Of those whose host is still to be found by this name.
    Name(String),
}

impl JobHost {
    pub(super) fn lane(&self) -> Lane {
        match &self.0 {
            Named::Known(host) => Lane::Host(host.id()),
            Named::Id(host_id) => Lane::Host(*host_id),
            Named::Text(name) => Lane::Name(name.clone()),
        }
    }

    /// As the server takes it.
    pub(crate) fn to_text(&self) -> String {
        match &self.0 {
            Named::Known(host) => host.id().to_string(),
            Named::Id(host_id) => host_id.to_string(),
            Named::Text(name) => name.clone(),
        }
    }

    /// The host itself, if whoever named it has it.
    pub(super) fn known(self) -> Option<Host> {
        match self.0 {
            Named::Known(host) => Some(*host),
            Named::Id(_) | Named::Text(_) => None,
        }
    }
}

impl From<Host> for JobHost {
    fn from(host: Host) -> Self {
        Self(Named::Known(Box::new(host)))
    }
}

impl From<&Host> for JobHost {
    fn from(host: &Host) -> Self {
        host.clone().into()
    }
}

impl From<HostId> for JobHost {
    fn from(host_id: HostId) -> Self {
        Self(Named::Id(host_id))
    }
}

impl From<&str> for JobHost {
    fn from(name: &str) -> Self {
        match name.parse() {
            Ok(host_id) => Self(Named::Id(host_id)),
            Err(_) => Self(Named::Text(name.to_owned())),
        }
    }
}

impl From<String> for JobHost {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<&String> for JobHost {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

/// A sensor id.
impl From<u32> for JobHost {
    fn from(sensor_id: u32) -> Self {
        Self(Named::Text(sensor_id.to_string()))
    }
}
