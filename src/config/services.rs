//! Services that Tripline calls, as they are configured.

use super::setting::{Raw, Setting};
use super::table::table;
use super::types::Secret;
use std::path::PathBuf;
use tripline_protocol::api::{Role, ServiceSpec};
use tripline_protocol::{Name, Org, Span};

table! {
    /// `[[services]]`
    Service {
        /// Its name; needed.
        name: Name,
        /// Where it is called, `https` or `http`; needed.
        url: ServiceUrl,
        /// What it shares with Tripline; this or `secret_file` is needed.
        secret: Option<Secret> = None,
        /// File with its secret.
        secret_file: Option<PathBuf> = None,
        /// The orgs that are subscribed to it.
        orgs: Vec<Org> = vec![Org::default_org()],
        /// How long one call may take.
        deadline: Span = Span::from_secs(60),
        /// How often a message is delivered at most.
        attempts: u32 = 20,
        /// How long a message is delivered again.
        give_up_after: Span = Span::from_secs(24 * 3600),
        /// Calls under way at once.
        in_flight: u32 = 4,
        /// Messages that may wait for it.
        queue_max: u32 = 10_000,
        /// Whether its address may be a private or a loopback one.
        allow_private: bool = false,
        /// What the tokens that it gets may do: `viewer`, `operator` or `admin`.
        rights: Role = Role::Viewer,
        /// CA (PEM) of its certificate; without it the system's.
        ca: Option<PathBuf> = None,
    }
}

/// Where a service is called. Not shown when it is wrong: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(pub String);

impl Setting for ServiceUrl {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text() {
            Some(text) => Ok(Self(text.to_owned())),
            None => Err("must be a text".to_owned()),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }
}

impl Service {
    /// As it is registered.
    pub fn spec(&self) -> ServiceSpec {
        ServiceSpec {
            name: self.name.clone(),
            url: self.url.0.clone(),
            orgs: self.orgs.clone(),
            deadline: self.deadline,
            attempts: self.attempts,
            give_up_after: self.give_up_after,
            in_flight: self.in_flight,
            queue_max: self.queue_max,
            allow_private: self.allow_private,
            rights: self.rights,
        }
    }
}
