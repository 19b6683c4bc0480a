//! Watching processes as a LittleBrother client does: hands, clock and voice of [`crate::watcher`].
//!
//! One task goes round: it scans, sends a message every few seconds, and ends what has to end. Scans and ends run
//! beside it on blocking threads, a message is under way beside it, too: none of them keeps another waiting. Where
//! messages go is a `Line`: the agent's own channel, or straight to a LittleBrother server.
//!
//! Deliberately not here: which processes count, what is reported of them, and what is ended and when.

mod answer;
mod channel_line;
mod clock;
mod direct_line;
mod ends;
mod kept;
mod line;
mod pace;
mod round;
mod scanner;
mod stats;

pub use answer::Answer;
pub use channel_line::ChannelLine;

use crate::config::{Direct, Watch};
use crate::platform::Platform;
use crate::server_url::ServerUrl;
use crate::state_dir::{self, StateDir};
use crate::watcher::{Options, Watcher};
use clock::Clock;
use direct_line::DirectLine;
use kept::Kept;
use line::Line;
use round::Round;
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The file in the state directory.
const NAME: &str = "watcher.json";
/// Whom the watcher was told by, when it was told over the agent's channel.
const CHANNEL: &str = "channel";

/// Why processes are not watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was kept cannot be read.
    #[error(transparent)]
    StateDir(#[from] state_dir::Error),
    /// No HTTP client could be made.
    #[error("failed to prepare the way to the LittleBrother server")]
    Client(#[source] reqwest::Error),
    /// This host does not let it.
    #[error(
        "processes cannot be watched for a LittleBrother server on this host: what is missing is said above"
    )]
    Unsupported,
    /// It ended by itself.
    #[error("the watcher ended: {0}")]
    Ended(String),
}

/// What the watcher works with.
pub(crate) struct Hands {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) state: Arc<StateDir>,
    /// Watch, and end nothing.
    pub(crate) read_only: bool,
}

/// A watcher at work, or none.
pub(crate) struct Watching {
    round: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    channel: Option<ChannelLine>,
}

impl Watching {
    /// Starts what the configuration asks for; has to be called in a runtime. Over the channel nothing is watched
    /// before a server asks for it.
    pub(crate) fn start(
        config: &Watch,
        server: Option<&ServerUrl>,
        trust: Option<&Arc<ClientConfig>>,
        hands: Hands,
    ) -> Result<Self, Error> {
        match &config.direct {
            _ if !config.enabled => Ok(Self::nothing()),
            Some(_) if !hands.platform.can_watch() => Err(Error::Unsupported),
            None if !hands.platform.can_watch() => Ok(Self::nothing()),
            Some(direct) => Self::direct(config, direct, trust, hands),
            None if server.is_some() => Self::over_channel(config, hands),
            None => Ok(Self::nothing()),
        }
    }

    fn nothing() -> Self {
        Self {
            round: None,
            stop: None,
            channel: None,
        }
    }

    fn direct(
        config: &Watch,
        direct: &Direct,
        trust: Option<&Arc<ClientConfig>>,
        hands: Hands,
    ) -> Result<Self, Error> {
        let kept = Kept::load(&hands.state, &direct.server.to_string())?;
        let line = DirectLine::new(&direct.server, direct.secret.clone(), trust).map_err(Error::Client)?;
        tracing::info!(littlebrother = %direct.server, "watching processes");
        if !direct.server.is_tls() && !direct.server.is_loopback() {
            tracing::warn!(littlebrother = %direct.server, "the secret goes over the network unencrypted");
        }
        Ok(Self::going(config, Arc::new(line), kept, hands))
    }

    fn over_channel(config: &Watch, hands: Hands) -> Result<Self, Error> {
        let kept = Kept::load(&hands.state, CHANNEL)?;
        let channel = ChannelLine::new(kept.saved.is_some());
        let line = Arc::new(channel.clone());
        Ok(Self {
            channel: Some(channel),
            ..Self::going(config, line, kept, hands)
        })
    }

    fn going(config: &Watch, line: Arc<dyn Line>, kept: Kept, hands: Hands) -> Self {
        let clock = Clock::new(hands.platform.clone());
        let options = Options {
            server_group: config.server_group.clone(),
            scan_command_line: config.scan_command_line,
            kill_delay: config.kill_delay,
            own_pid: Some(std::process::id()),
            ..Options::new(hostname(config, &*hands.platform))
        };
        let watcher = Watcher::new(options, kept.saved.clone(), clock.moment());
        let round = Round::new(config, watcher, clock, line, kept, hands);
        let (stop, stopped) = oneshot::channel();
        Self {
            round: Some(tokio::spawn(round.run(stopped))),
            stop: Some(stop),
            channel: None,
        }
    }

    /// The line of the agent's channel, where the watcher uses it.
    pub(crate) fn channel(&self) -> Option<ChannelLine> {
        self.channel.clone()
    }

    /// Returns only if the watcher ended by itself.
    pub(crate) async fn failed(&mut self) -> Error {
        let Some(round) = &mut self.round else {
            return std::future::pending().await;
        };
        let ended = round.await;
        self.round = None;
        Error::Ended(ended.map_or_else(|error| error.to_string(), |()| "nobody told it to".to_owned()))
    }

    /// Sends the last message and ends, within a few seconds.
    pub(crate) async fn stop(&mut self) {
        // Without a receiver it has ended before.
        let told = self.stop.take().is_some_and(|stop| stop.send(()).is_ok());
        let Some(round) = self.round.take().filter(|_| told) else {
            return;
        };
        if let Err(error) = round.await {
            tracing::error!(%error, "the watcher ended badly");
        }
    }
}

fn hostname(config: &Watch, platform: &dyn Platform) -> String {
    config
        .hostname
        .clone()
        .unwrap_or_else(|| platform.full_hostname())
}
