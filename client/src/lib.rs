//! Tripline for Rust programs: find hosts, open live-response sessions on them, run verbs, carry files, run jobs on many
//! hosts, and follow events.
//!
//! ```no_run
//! use tripline_client::{Client, Result};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<()> {
//!     let token = std::env::var("TRIPLINE_TOKEN").unwrap_or_default();
//!     let client = Client::connect("https://tripline.example:7443", token).await?;
//!
//!     let session = client.host("web01").await?.session().await?;
//!     for process in session.list_processes().await?.processes {
//!         println!("{:>7} {}", process.pid, process.command_line);
//!     }
//!     session.get_file("/var/log/auth.log").to_path("web01-auth.log").await?;
//!     let outcome = session.create_process(["/usr/bin/uname", "-a"]).await?;
//!     println!("exit code {:?}", outcome.exit_code);
//!     session.close().await
//! }
//! ```
//!
//! # What is where
//!
//! - [`Client`]: the connection, made by [`Client::connect`] or with more to say by [`Client::builder`].
//! - [`Host`]: by name, host id or sensor id from [`Client::host`], many of them from [`Client::hosts`].
//! - [`Session`]: a conversation with one host, opened by [`Host::session`]. It holds one of the server's slots
//!   until [`Session::close`], or until it is dropped. Every verb is a method of it.
//! - [`Client::submit_job`]: functions of a session, run on many hosts, a bounded number at a time; [`JobHandle`].
//! - [`Client::run_job`]: jobs that the server runs; [`ServerJob`].
//! - [`Client::run_fanout`]: one job on many hosts, at a pace that the server keeps; [`Fanout`].
//! - [`Client::events`]: events as they come; [`EventStream`].
//! - [`Error`]: one of four classes, with a stable code and with what to do next.
//!
//! # What is promised
//!
//! What may be asked again is, with growing pauses, when a connection breaks or the server restarts
//! ([`Builder::patience`]): everything that reads, keepalives, closing, cancelling. A command is never sent twice
//! behind anyone's back: it carries an id by which a client that lost the answer finds it in the session's
//! transcript. One that is not there is sent again only when it merely reads, or is marked
//! [idempotent](Command::idempotent).
//!
//! Dropping the future of a command cancels the command. Dropping a session closes it in the background.
//! A program that ends without either leaves its sessions to the server, which closes one that was not used for
//! `slots.idle_timeout` (5 minutes; 30 seconds when others wait).
//!
//! Deliberately not here: how the server is run, and anything an agent does.

mod background;
mod builder;
mod client;
mod command;
mod error;
mod events;
mod fanout;
mod host;
mod http;
mod jobs;
mod listing;
mod secret;
mod server_job;
mod session;
#[cfg(test)]
mod stub;
mod tls;
mod transfer;

pub use builder::Builder;
pub use client::Client;
pub use command::Command;
pub use error::{Error, LiveResponse, Result, Server, Timeout, Unsupported};
pub use events::{EventStream, Events, Heard};
pub use fanout::{Fanout, RunFanout};
pub use host::{Host, Hosts};
pub use jobs::{ByFunction, ByType, IntoJob, Job, JobFunction, JobHandle, JobHost, Jobs};
pub use listing::Listing;
pub use server_job::{JobWatch, RunJob, ServerJob};
pub use session::{OpenSession, Session};
pub use transfer::{Archive, Download, Fetched, GetFile, Progress, PutFile};

pub use tripline_protocol as protocol;
pub use tripline_protocol::api::{HostView, JobView, Waiting};
pub use tripline_protocol::event::{StreamGap as Gap, StreamedEvent as Event};
pub use tripline_protocol::fanout::{
    AutoPause, FanoutCounts, FanoutHostState, FanoutHostView, FanoutOutcome, FanoutReach, FanoutState,
    FanoutView, Pace, RetryFanout, Target,
};
pub use tripline_protocol::job::{JobSpec, JobState, Outcome, Priority};
pub use tripline_protocol::session::{CommandState, CommandView, SessionFile, SessionState, SessionView};
pub use tripline_protocol::verb::{
    Captured, DirectoryEntry, DirectoryListing, FileWritten, Isolated, MemoryDumped, ProcessEntry,
    ProcessListing, ProcessOutcome, RegistryListing, RegistryValue, Unisolated, Verb, VerbCall,
};
pub use tripline_protocol::{
    Etype, FanoutId, Fault, FaultClass, HostId, Isolation, JobId, Network, Org, RemotePath, SessionId,
    Sha256, Timestamp,
};

/// The examples of the guide are programs that compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/client.md")]
struct Guide;
