//! The agent as a whole: state, enrolment, then one connection after the other until it is told to stop; beside it
//! the watcher of processes, which needs no server of ours.

use crate::backoff::Backoff;
use crate::channel::{self, ConnectError, End, Socket};
use crate::config::Config;
use crate::executor::Executor;
use crate::isolation::{self, HostIsolation, ReinstateError, Reinstated};
use crate::journal::{self, Journal};
use crate::keys::Keys;
use crate::partials::Partials;
use crate::platform::Platform;
use crate::server_url::ServerUrl;
use crate::state_dir::StateDir;
use crate::watching::{ChannelLine, Hands, Watching};
use crate::{enrol, identity, platform, state_dir, tls, watching};
use rustls::ClientConfig;
use std::future::Future;
use std::sync::Arc;
use uuid::Uuid;

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
    /// Processes cannot be watched.
    #[error(transparent)]
    Watching(#[from] watching::Error),
    /// The host is not isolated again.
    #[error(transparent)]
    Reinstate(#[from] ReinstateError),
}

impl Error {
    /// The process' exit code: 1 failed, 2 bad input, 3 refused by the server.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::StateDir(_)
            | Self::Tls(_)
            | Self::NoToken
            | Self::Identity(identity::Error::State(_))
            | Self::Reinstate(ReinstateError::State(_))
            | Self::Watching(watching::Error::StateDir(_) | watching::Error::Unsupported) => 2,
            Self::Enrol(enrol::Error::Refused(_)) | Self::Refused(_) => 3,
            Self::Identity(_)
            | Self::Journal(_)
            | Self::Enrol(enrol::Error::Client(_))
            | Self::Reinstate(_)
            | Self::Watching(_) => 1,
        }
    }
}

/// Runs an agent until `shutdown` completes (then its commands are ended and it returns `Ok`), the server
/// refuses it, or its journal fails. Installs the TLS provider.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    tls::install_provider();
    let state = Arc::new(StateDir::open(&config.state_dir)?);
    let platform = platform::native();
    for missing in platform.lacks() {
        tracing::warn!("{missing}");
    }
    let trust = tls::client_config(config.ca.as_deref())?;
    let service = match &config.server {
        Some(server) => Some(Service::open(&config, server, &state, trust.as_ref()).await?),
        None => None,
    };
    let hands = Hands {
        platform,
        state: state.clone(),
        read_only: config.policy.read_only,
    };
    let mut watching = Watching::start(&config.watch, config.server.as_ref(), trust.as_ref(), hands)?;
    let channel = watching.channel();
    let mut serving = std::pin::pin!(serve(service.as_ref(), channel.as_ref()));
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        error = watching.failed() => Some(Err(error.into())),
        () = shutdown => None,
    };
    if let Some(ended) = ended {
        watching.stop().await;
        return ended;
    }
    tracing::info!("stopping");
    // The connection is served until the watcher has sent its last message over it.
    tokio::select! {
        () = watching.stop() => {}
        _ = &mut serving => {}
    }
    if let Some(service) = &service {
        service.executor.shut_down().await;
    }
    Ok(())
}

/// Isolates this host again if it is to be, after a boot and before an agent runs. Touches nothing else, and connects
/// to nothing. Blocks.
///
/// # Errors
/// It is to be isolated, and is not.
pub fn reinstate_isolation(config: &Config) -> Result<(), Error> {
    // Nothing is made where no agent has been yet.
    if !config.state_dir.is_dir() {
        tracing::info!("there is no state directory: nothing is to be isolated again");
        return Ok(());
    }
    let Some(server) = &config.server else {
        tracing::warn!("without `server` this agent isolates nothing");
        return Ok(());
    };
    let state = match StateDir::open(&config.state_dir) {
        Err(state_dir::Error::InUse(_)) => {
            tracing::info!("an agent runs here, and keeps an isolation itself");
            return Ok(());
        }
        opened => Arc::new(opened?),
    };
    match isolation_of(config, server, &state, &platform::native()).reinstate()? {
        Reinstated::Nothing => tracing::info!("this host is not to be isolated"),
        Reinstated::Over => tracing::info!("the isolation of this host is over"),
        Reinstated::Stands => tracing::info!("the isolation of this host is in force"),
        // Said where the rules are loaded.
        Reinstated::Again(_) => {}
    }
    Ok(())
}

fn isolation_of(
    config: &Config,
    server: &ServerUrl,
    state: &Arc<StateDir>,
    platform: &Arc<dyn Platform>,
) -> Arc<HostIsolation> {
    let network = platform.network_isolation(config.isolation.program.as_deref());
    if let Some(why) = network.lacks() {
        tracing::info!(why, "this host cannot be isolated");
    }
    Arc::new(HostIsolation::new(
        network,
        state.clone(),
        isolation::host_clock(platform.clone()),
        isolation::Server::new(server.clone()),
        config.isolation.allow.clone(),
    ))
}

/// The agent as its server knows it.
struct Service<'a> {
    config: &'a Config,
    server: &'a ServerUrl,
    state: &'a StateDir,
    trust: Option<&'a Arc<ClientConfig>>,
    keys: Keys,
    /// Of this process.
    run_id: Uuid,
    executor: Executor,
}

/// Returns only with an error; never without a server.
async fn serve(service: Option<&Service<'_>>, channel: Option<&ChannelLine>) -> Result<(), Error> {
    match service {
        Some(service) => service.serve(channel).await,
        None => std::future::pending().await,
    }
}

impl<'a> Service<'a> {
    async fn open(
        config: &'a Config,
        server: &'a ServerUrl,
        state: &'a Arc<StateDir>,
        trust: Option<&'a Arc<ClientConfig>>,
    ) -> Result<Self, Error> {
        let keys = Keys::open(state)?;
        let journal = Journal::open(state.path(), journal::Options::default())?;
        let platform = platform::native();
        let isolation = isolation_of(config, server, state, &platform);
        // Before anything is connected to: a host that is to be cut off must not be reachable meanwhile.
        let taken_up = isolation.clone();
        let taken_up = tokio::task::spawn_blocking(move || taken_up.take_up()).await;
        taken_up.unwrap_or_else(|error| {
            tracing::error!(%error, "failed to take up the isolation of this host");
            Ok(())
        })?;
        let partials = Partials::open(state.path(), &*platform).map_err(|source| state_dir::Error::Open {
            path: state.path().join("partials"),
            source,
        })?;
        let policy = config.policy.clone();
        let executor = Executor::new(platform, policy, journal, partials, isolation).await?;
        Ok(Self {
            config,
            server,
            state,
            trust,
            keys,
            run_id: Uuid::new_v4(),
            executor,
        })
    }

    async fn serve(&self, channel: Option<&ChannelLine>) -> Result<(), Error> {
        let work = async {
            self.ensure_enrolled().await?;
            self.stay_connected(channel).await
        };
        tokio::select! {
            ended = work => ended,
            error = self.executor.broken() => Err(error.into()),
            () = self.executor.isolation().clone().keep() => Ok(()),
        }
    }

    async fn ensure_enrolled(&self) -> Result<(), Error> {
        if identity::enrolment(self.state)?.is_some() {
            return Ok(());
        }
        let token = self.config.enrol_token.as_deref().ok_or(Error::NoToken)?;
        let facts = platform::native().facts();
        let enrolled = enrol::enrol(self.server, self.trust, token, &self.keys.identity(), facts).await?;
        identity::remember_enrolment(self.state, &enrolled)?;
        tracing::info!(host_id = %enrolled.host_id, sensor_id = enrolled.sensor_id, org = %enrolled.org, "enrolled");
        Ok(())
    }

    /// Returns only when the server refuses this agent.
    async fn stay_connected(&self, watching: Option<&ChannelLine>) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            let why = match self.connect().await {
                Ok((socket, key)) => match self.serve_connection(socket, &key, watching).await {
                    End::Bye(reason) | End::NotWelcomed(reason) if dismissal(&reason).is_some() => {
                        return Err(Error::Refused(dismissal(&reason).unwrap_or_default().to_owned()));
                    }
                    // Another agent has this one's key: coming back at once would only throw that one out.
                    End::Bye(reason) if reason == "replaced" => reason,
                    End::NewKey => {
                        backoff.reset();
                        continue;
                    }
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
            tracing::warn!(server = %self.server, why, retry_ms = wait.as_millis(), "not connected");
            // Back-off with jitter: a server that restarts is not met by all its agents at once.
            tokio::time::sleep(wait).await;
        }
    }

    /// A connection with a key that the server takes, and that key. While the key is being replaced there are two.
    async fn connect(&self) -> Result<(Socket, String), ConnectError> {
        let mut refused = None;
        let isolation = self.executor.isolation();
        let known = isolation.before_connecting().await;
        for key in self.keys.candidates() {
            match channel::connect(self.server, self.trust, &key, &known).await {
                Ok(socket) => {
                    if let Some(address) = channel::peer_of(&socket) {
                        isolation.reached(address);
                    }
                    return Ok((socket, key));
                }
                Err(ConnectError::Refused(why)) => refused = Some(why),
                Err(failed) => return Err(failed),
            }
        }
        Err(ConnectError::Refused(refused.unwrap_or_default()))
    }

    async fn serve_connection(&self, socket: Socket, key: &str, watching: Option<&ChannelLine>) -> End {
        let own = channel::Own {
            labels: &self.config.labels,
            keys: &self.keys,
            key,
            run_id: self.run_id,
        };
        channel::serve(socket, &self.executor, &own, watching).await
    }
}

/// Why there is no coming back, if the server's farewell says that there is none.
fn dismissal(reason: &str) -> Option<&'static str> {
    match reason {
        "revoked" => Some(
            "its key was revoked; to bring the machine back as a new host, remove the state directory and enrol it again",
        ),
        "forgotten" => Some(
            "its host was forgotten; to bring the machine back as a new host, remove the state directory and enrol it again",
        ),
        _ => None,
    }
}
