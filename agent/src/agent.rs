//! The agent as a whole: state, enrolment, then one connection after the other until it is told to stop.

use crate::backoff::Backoff;
use crate::channel::{self, ConnectError, End};
use crate::config::Config;
use crate::executor::Executor;
use crate::identity::Identity;
use crate::journal::{self, Journal};
use crate::state_dir::StateDir;
use crate::{enrol, identity, platform, state_dir, tls};
use rustls::ClientConfig;
use std::future::Future;
use std::sync::Arc;

/// Why an agent ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] state_dir::Error),
    /// The agent's identity cannot be read or made.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The CA file cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The journal does not work.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The enrolment came to nothing.
    #[error(transparent)]
    Enrol(#[from] enrol::Error),
    /// Not enrolled, and no token.
    #[error("this agent is not enrolled yet: give --enrol-token (or TRIPLINE_AGENT_ENROL_TOKEN)")]
    NoToken,
    /// The server does not take the key, or revoked it.
    #[error("the server does not take this agent any more: {0}")]
    Refused(String),
}

impl Error {
    /// The process' exit code: 1 failed, 2 bad input, 3 refused by the server.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::StateDir(_) | Self::Tls(_) | Self::NoToken | Self::Identity(identity::Error::State(_)) => 2,
            Self::Enrol(enrol::Error::Refused(_)) | Self::Refused(_) => 3,
            Self::Identity(_) | Self::Journal(_) | Self::Enrol(enrol::Error::Client(_)) => 1,
        }
    }
}

/// Runs an agent until `shutdown` completes (then its commands are ended and it returns `Ok`), the server
/// refuses it, or its journal fails. Installs the TLS provider.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    tls::install_provider();
    let state = StateDir::open(&config.state_dir)?;
    let trust = tls::client_config(config.ca.as_deref())?;
    let identity = Identity::load_or_make(&state)?;
    let journal = Journal::open(state.path(), journal::Options::default())?;
    let executor = Executor::new(platform::native(), config.policy.clone(), journal).await?;
    let work = async {
        ensure_enrolled(&config, &state, trust.as_ref(), &identity).await?;
        stay_connected(&config, trust.as_ref(), &identity, &executor).await
    };
    tokio::select! {
        ended = work => ended,
        error = executor.broken() => Err(error.into()),
        () = shutdown => {
            tracing::info!("stopping");
            executor.shut_down().await;
            Ok(())
        }
    }
}

async fn ensure_enrolled(
    config: &Config,
    state: &StateDir,
    trust: Option<&Arc<ClientConfig>>,
    identity: &Identity,
) -> Result<(), Error> {
    if identity::enrolment(state)?.is_some() {
        return Ok(());
    }
    let token = config.enrol_token.as_deref().ok_or(Error::NoToken)?;
    let facts = platform::native().facts();
    let enrolled = enrol::enrol(&config.server, trust, token, identity, facts).await?;
    identity::remember_enrolment(state, &enrolled)?;
    tracing::info!(host_id = %enrolled.host_id, sensor_id = enrolled.sensor_id, org = %enrolled.org, "enrolled");
    Ok(())
}

/// Returns only when the server refuses this agent.
async fn stay_connected(
    config: &Config,
    trust: Option<&Arc<ClientConfig>>,
    identity: &Identity,
    executor: &Executor,
) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    loop {
        let why = match channel::connect(&config.server, trust, identity.key()).await {
            Ok(socket) => match channel::serve(socket, executor).await {
                End::Bye(reason) | End::NotWelcomed(reason) if reason == "revoked" => {
                    return Err(Error::Refused("its key was revoked".to_owned()));
                }
                // Another agent has this one's key: coming back at once would only throw that one out.
                End::Bye(reason) if reason == "replaced" => reason,
                End::Bye(why) | End::Lost(why) => {
                    backoff.reset();
                    why
                }
                End::NotWelcomed(why) => why,
            },
            Err(ConnectError::Refused(why)) => return Err(Error::Refused(why)),
            Err(ConnectError::Failed(why)) => why,
        };
        let wait = backoff.next_wait();
        tracing::warn!(server = %config.server, why, retry_ms = wait.as_millis(), "not connected");
        tokio::time::sleep(wait).await;
    }
}
