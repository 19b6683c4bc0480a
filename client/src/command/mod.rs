//! A command that is about to be run: its verb, its arguments, and how it is run. The verbs themselves are methods
//! of [`Session`], in `verbs`; arguments that only some have are in `options`; running is in `run`.

mod options;
mod run;
#[cfg(test)]
mod tests;
mod verbs;

use crate::error::{Error, Result};
use crate::session::{Session, span};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tripline_protocol::session::{CommandView, RunCommand};
use tripline_protocol::verb::Verb;

/// How long what moves files or runs programs may take when nothing else is said.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// What a verb's output is read as.
type Read<O> = fn(Value) -> Result<O, serde_json::Error>;

/// A command of a session with its arguments `A`, which gives `O`. Await it to run it.
///
/// Dropping the future cancels the command: one that waits is not begun, one that runs is ended on its host. So
/// [`tokio::time::timeout`] around it does what it says.
///
/// ```no_run
/// # async fn example(session: tripline_client::Session) -> tripline_client::Result<()> {
/// use std::time::Duration;
///
/// let outcome = session
///     .create_process(["/usr/bin/find", "/", "-newer", "/etc/hosts"])
///     .working_directory("/tmp")
///     .timeout(Duration::from_secs(600))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a command runs when it is awaited"]
pub struct Command<'s, A, O> {
    session: &'s Session,
    verb: Verb,
    arguments: A,
    timeout: Option<Duration>,
    idempotent: bool,
    read: Read<O>,
}

impl<A: fmt::Debug, O> fmt::Debug for Command<'_, A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("verb", &self.verb)
            .field("arguments", &self.arguments)
            .field("timeout", &self.timeout)
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}

impl<'s, A, O> Command<'s, A, O> {
    pub(crate) fn new(session: &'s Session, verb: Verb, arguments: A, read: Read<O>) -> Self {
        Self {
            session,
            verb,
            arguments,
            timeout: None,
            idempotent: false,
            read,
        }
    }

    /// How long it may run once it began; then it is ended, and its error is [`Error::Timeout`]. Default: 2 minutes;
    /// an hour for what moves files or runs programs. At most a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether it may be run again when nobody knows how far it came: the host's agent died in it, or the answer to
    /// it was lost. What only reads is, anyway. Default: false; the error is then `interrupted` or `command_lost`.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }
}

impl<A: Serialize, O> Command<'_, A, O> {
    fn request(&self) -> Result<RunCommand> {
        let arguments = serde_json::to_value(&self.arguments).map_err(|error| {
            Error::unsupported("bad_argument", format!("arguments of {}: {error}", self.verb)).because(error)
        })?;
        Ok(RunCommand {
            timeout: self.timeout.map(span),
            idempotent: self.idempotent,
            ..RunCommand::new(self.verb, arguments)
        })
    }
}

impl<'s, A, O> Command<'s, A, O>
where
    A: Serialize + Send + Sync + 's,
    O: Send + 's,
{
    /// Runs it, and gives everything the server keeps of it: its times, its output as JSON.
    pub async fn view(self) -> Result<CommandView> {
        run::run(self.session.link(), self.request()?).await
    }

    async fn finish(self) -> Result<O> {
        let (session, read, verb) = (self.session, self.read, self.verb);
        let output = run::output(session.link(), self.view().await?).await?;
        read(output).map_err(|error| {
            let text = format!("the output of {verb} cannot be read: {error}");
            Error::server("bad_answer", text).because(error)
        })
    }
}

impl<'s, A, O> IntoFuture for Command<'s, A, O>
where
    A: Serialize + Send + Sync + 's,
    O: Send + 's,
{
    type Output = Result<O>;
    type IntoFuture = BoxFuture<'s, Result<O>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.finish())
    }
}
