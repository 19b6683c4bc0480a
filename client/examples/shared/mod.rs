//! What the examples have in common: how to reach the server, and how they end.

use clap::Args;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use tripline_client::{Client, Error};

/// How to reach the server.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The server's URL
    #[arg(long, env = "TRIPLINE_SERVER", default_value = "https://127.0.0.1:7443")]
    server: String,
    /// A token of role operator, as `tripline token create` prints it
    #[arg(long, env = "TRIPLINE_TOKEN", hide_env_values = true)]
    token: String,
    /// The certificate that signed the server's: tls/ca.pem in its data directory, if it made its own
    #[arg(long, env = "TRIPLINE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Server {
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let client = Client::builder(&self.server).token(&self.token);
        match &self.ca {
            Some(ca) => client.ca_file(ca).connect().await,
            None => client.connect().await,
        }
    }
}

/// 0 when it went well, 1 with the error on stderr when not. Wrong arguments are 2, which is clap's part.
pub(crate) fn end<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
