//! The copy of the audit on NATS: read as any subscriber may, record by record.

use async_nats::ConnectOptions;
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_nats::jetstream::{self, stream::Stream};
use futures_util::TryStreamExt;
use std::path::PathBuf;
use std::time::Duration;
use tripline_protocol::Subjects;

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the broker as somebody who may read the copy.
pub struct CopyOptions {
    /// One or more URLs, separated by commas.
    pub url: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// A file with the CA of the broker's certificate.
    pub ca: Option<PathBuf>,
    /// Subjects under the prefix.
    pub subjects: Subjects,
}

/// Why the copy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached, or does not let this user in.
    #[error("reach the broker")]
    Connect(#[source] async_nats::ConnectError),
    /// There is no such stream, or this user may not read it.
    #[error("find the stream {stream}")]
    Stream {
        /// Its name.
        stream: String,
        /// What the client says.
        #[source]
        source: jetstream::context::GetStreamError,
    },
    /// The stream does not say which chains it has.
    #[error("list the chains in the stream")]
    List(#[source] jetstream::stream::InfoError),
    /// A message cannot be read.
    #[error("read a record from the stream")]
    Read(#[source] jetstream::stream::DirectGetError),
}

/// The copy of one chain, from its oldest record that the stream still has.
pub struct Copy {
    stream: Stream,
    subject: String,
    next: u64,
}

impl Copy {
    /// Finds the copy of `chain`.
    pub async fn open(options: &CopyOptions, chain: &str) -> Result<Self, Error> {
        Ok(Self {
            stream: stream(options).await?,
            subject: options.subjects.audit(chain),
            next: 1,
        })
    }

    /// Which chains have a record there.
    pub async fn chains(options: &CopyOptions) -> Result<Vec<String>, Error> {
        let stream = stream(options).await?;
        let listed = stream.info_with_subjects(options.subjects.all_audit()).await;
        let subjects = listed.map_err(Error::List)?;
        let chain =
            |(subject, _): (String, usize)| options.subjects.chain_of_audit(&subject).map(str::to_owned);
        let chains = subjects.map_ok(chain).try_collect::<Vec<_>>().await;
        Ok(chains.map_err(Error::List)?.into_iter().flatten().collect())
    }

    /// The next message, in the order in which the broker stored them; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let found = self
            .stream
            .direct_get_next_for_subject(&self.subject, Some(self.next))
            .await;
        match found {
            Ok(message) => {
                self.next = message.sequence + 1;
                Ok(Some(message.payload.to_vec()))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Read(error)),
        }
    }
}

async fn stream(options: &CopyOptions) -> Result<Stream, Error> {
    let mut connect = ConnectOptions::new()
        .name("tripline audit")
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT));
    if let Some((user, password)) = &options.login {
        connect = connect.user_and_password(user.clone(), password.clone());
    }
    if let Some(ca) = &options.ca {
        connect = connect.add_root_certificates(ca.clone()).require_tls(true);
    }
    let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
    let client = connect.connect(servers).await.map_err(Error::Connect)?;
    let name = options.subjects.audit_stream();
    let stream = jetstream::new(client).get_stream(&name).await;
    stream.map_err(|source| Error::Stream { stream: name, source })
}

#[cfg(test)]
mod tests {
    use super::super::deaf::DeafBroker;
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_an_error_after_its_time() {
        for (broker, connects) in [
            (DeafBroker::start().await, false),
            (DeafBroker::that_lets_in().await, true),
        ] {
            let options = CopyOptions {
                url: broker.url(),
                login: None,
                ca: None,
                subjects: Subjects::default(),
            };
            let begun = Instant::now();
            let error = Copy::open(&options, "default").await.err().expect("no copy");
            assert_eq!(matches!(error, Error::Stream { .. }), connects, "{error}");
            assert!(begun.elapsed() >= TIMEOUT, "not before its time");
        }
    }
}
