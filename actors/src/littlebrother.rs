//! What the edges say to the actors about LittleBrother clients, and what they get back.
//!
//! Deliberately not here: the wire (`tripline_protocol::littlebrother`), HTTP and its secret, and what a Host
//! makes of a message (`crate::host`).

use std::fmt;
use tripline_protocol::littlebrother::{LoginMapping, UserConfig, WireEvent, Zone};
use tripline_protocol::{Org, Span};

/// The settings in force; replaced as a whole when the configuration changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `littlebrother.org`: the org of clients that attach with the secret. Agents of this org watch processes.
    pub org: Org,
    /// `[[littlebrother.users]]`
    pub users: Vec<UserConfig>,
    /// `[[littlebrother.login_mappings]]`, with the users' short forms merged in.
    pub mappings: Vec<LoginMapping>,
    /// `littlebrother.check_interval`: how often clients send a message.
    pub check_interval: Span,
    /// `littlebrother.maximum_time_without_send`: a client without a server for longer ends what it watches, and
    /// one that is silent for longer is reported as `host_silent`.
    pub maximum_time_without_send: Span,
    /// `littlebrother.kill_process_delay`: how long a process has to end by itself, and the least time between
    /// two `KILL_PROCESS` of one process.
    pub kill_process_delay: Span,
    /// `littlebrother.kill_prohibited`: a prohibited process of a known, active user is ended at every report.
    pub kill_prohibited: bool,
    /// `littlebrother.time_zone`
    pub zone: Zone,
}

/// What waits for a client, to be written as the answer to its message.
#[derive(Debug)]
pub struct Answer {
    /// In order.
    pub events: Vec<WireEvent>,
    /// Says whether they were written.
    pub receipt: Receipt,
}

/// Dropped without [`Receipt::written`], the events of an answer count as lost and go again.
pub struct Receipt(Option<Box<dyn FnOnce(bool) + Send>>);

impl Receipt {
    /// `then` hears, once, whether the answer was written.
    pub fn new(then: impl FnOnce(bool) + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }

    /// The answer was handed to the connection whole.
    pub fn written(mut self) {
        self.tell(true);
    }

    fn tell(&mut self, written: bool) {
        if let Some(then) = self.0.take() {
            then(written);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.tell(false);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// What is known of a user, for the desktop app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStatus {
    /// Some host has an open process of the user.
    pub logged_in: bool,
    /// Hosts that have one.
    pub hosts: u32,
}
