//! Every type of Tripline that crosses a process border: events, jobs, verbs, results, agent frames,
//! API bodies and NATS subjects.
//!
//! Deliberately not here: I/O, clocks, async, storage. Whoever needs the time passes it in. Readers
//! ignore unknown fields wherever another version or another program writes (frames, events, results);
//! they refuse them where a person writes (jobs, steps, verb arguments), because there an unknown field
//! is a typo that would silently change what a job does.

pub mod api;
pub mod audit;
pub mod detection;
pub mod event;
pub mod fanout;
pub mod fault;
pub mod frame;
pub mod id;
pub mod isolation;
pub mod job;
pub mod limacharlie;
pub mod limit;
pub mod littlebrother;
pub mod network;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod path;
pub mod result;
pub mod selector;
pub mod session;
pub mod step;
pub mod subject;
pub mod time;
pub mod verb;

pub use event::{Attestation, Event};
pub use fault::{Fault, FaultClass};
pub use id::{
    CommandId, EventKey, FanoutId, HostId, InstallId, JobId, Label, Name, Org, SessionId, Sha256, TransferId,
};
pub use isolation::{Isolation, IsolationEnd, IsolationReport};
pub use network::Network;
pub use path::RemotePath;
pub use subject::{Etype, Subjects};
pub use time::{Span, Timestamp};
