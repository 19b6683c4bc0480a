//! Why the server did not start or could not go on, and the exit code that says so.

use crate::cli::{Failure, chain};
use crate::nats::embedded;
use crate::{http, logging, nats, services, traces};
use std::path::PathBuf;
use tripline_actors::pipeline::LoadError;
use tripline_actors::store::OpenError;
use tripline_actors::{Refusal, artifact, export};

/// Why the server did not start or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Logging(#[from] logging::Error),
    /// The handlers of signals.
    #[error("hear signals")]
    Signals(#[source] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The administrator's token in the data directory.
    #[error("{action} the administrator's token {path}")]
    AdminToken {
        /// `read` or `write`.
        action: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The administrator's token is not one, or cannot be kept.
    #[error("set the administrator's token")]
    Admin(#[source] Refusal),
    /// The folder of artifacts.
    #[error("open the artifacts")]
    Artifacts(#[from] artifact::Error),
    /// The folder of automatic exports.
    #[error("use store.export_dir")]
    Exports(#[source] export::Error),
    /// Traces cannot be sent at all.
    #[error(transparent)]
    Traces(#[from] traces::Error),
    /// The rules, each problem a line.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// The actors cannot be made from what the store holds.
    #[error("start the actors")]
    Core(#[source] Refusal),
    /// Files that `[[services]]` names.
    #[error(transparent)]
    Services(#[from] services::Error),
    /// The key of services' tokens.
    #[error(transparent)]
    ServiceKey(#[from] services::KeyError),
    /// The services of the configuration cannot be registered.
    #[error("register the services of the configuration")]
    Configured(#[source] Refusal),
    /// The listeners.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The broker of our own.
    #[error(transparent)]
    Broker(#[from] embedded::Error),
    /// The connection to the broker.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The file that says where the server is.
    #[error("keep server.json in the data directory")]
    Endpoints {
        /// Why.
        source: std::io::Error,
    },
    /// A write or a sync failed while the server ran.
    #[error("the store failed: {0}")]
    StoreFailed(String),
    /// A second signal.
    #[error("ended at once by a second signal; what was not finished goes on at the next start")]
    CutShort,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = chain(&error);
        match error {
            Error::Rules(problems) => {
                Self::Problems(problems.to_string().lines().map(str::to_owned).collect())
            }
            Error::Store(OpenError::Held { .. } | OpenError::Unwritable { .. }) => Self::Input(text),
            Error::Store(_) => Self::Unavailable(text),
            Error::Core(_) => Self::Unavailable(format!("failed to {text}")),
            Error::StoreFailed(_) => Self::Broken(text),
            Error::CutShort => Self::Failed(text),
            Error::Signals(_) => Self::Failed(format!("failed to {text}")),
            Error::Logging(_)
            | Error::AdminToken { .. }
            | Error::Admin(_)
            | Error::Artifacts(_)
            | Error::Exports(_)
            | Error::Traces(_)
            | Error::Services(_)
            | Error::ServiceKey(_)
            | Error::Configured(_)
            | Error::Http(_)
            | Error::Broker(_)
            | Error::Nats(_)
            | Error::Endpoints { .. } => Self::Input(format!("failed to {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_directory_is_bad_input_a_broken_store_and_a_failed_one_have_codes_of_their_own() {
        let path = PathBuf::from("data");
        let held = Error::from(OpenError::Held {
            path: path.clone(),
            pid: Some(7),
        });
        let broken = Error::from(OpenError::Broken {
            path,
            detail: "checksum".into(),
        });
        assert_eq!(Failure::from(held).code(), 2);
        assert_eq!(Failure::from(broken).code(), 3);
        assert_eq!(Failure::from(Error::StoreFailed("disk".into())).code(), 4);
        assert_eq!(Failure::from(Error::CutShort).code(), 1);
    }

    #[test]
    fn a_taken_port_is_bad_input_that_names_key_and_address() {
        let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let addr = ([127, 0, 0, 1], 7400).into();
        let failure = Failure::from(Error::from(http::Error::Bind {
            key: "http.listen",
            addr,
            source,
        }));
        assert_eq!(failure.code(), 2);
        assert!(
            failure.lines()[0].contains("http.listen = 127.0.0.1:7400"),
            "{failure:?}"
        );
    }
}
