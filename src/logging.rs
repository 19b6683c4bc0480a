//! Log lines on stderr, as text or JSON.
//!
//! Deliberately not here: what is logged. Whoever logs keeps secrets, tokens and file contents out.

use crate::config::{Log, LogFormat};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not understood.
    #[error("read log.level")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody installed a logger in this process before.
    #[error("install the logger: {0}")]
    Install(Box<dyn std::error::Error + Send + Sync>),
}

/// Installs the logger of this process.
///
/// # Errors
/// A level that is not understood, or a second call.
pub fn install(log: &Log) -> Result<(), Error> {
    let filter = EnvFilter::try_new(directives(log.level.as_str()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // A stderr that nobody reads any more must not end the server.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal());
    match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(Error::Install)
}

/// A plain `info` is about Tripline; what the libraries tell then is for those who ask with `debug`.
fn directives(level: &str) -> String {
    match level {
        "info" => "info,actix_server=warn,async_nats=warn".to_owned(),
        other => other.to_owned(),
    }
}
