//! Who this agent is: an install id and a key, made at the first start and kept.

use crate::state_dir::{self, StateDir};
use rustls::crypto::SecureRandom;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tripline_protocol::api::Enrolled;
use tripline_protocol::{InstallId, Sha256 as Hash};
use uuid::Uuid;

const IDENTITY: &str = "identity.json";
const ENROLMENT: &str = "enrolment.json";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory did not do its part.
    #[error(transparent)]
    State(#[from] state_dir::Error),
    /// A file in it is not what it was when it was written.
    #[error("failed to understand {0} in the state directory")]
    Damaged(&'static str, #[source] serde_json::Error),
    /// The system gave no random bytes.
    #[error("failed to get random bytes for the agent's key")]
    Random,
}

/// The install id and the key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Enrolling again with it gives the same host.
    pub install_id: InstallId,
    key: String,
    /// Made to replace the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_key: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("install_id", &self.install_id)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the identity, or makes one that is durable before it is returned.
    pub fn load_or_make(state: &StateDir) -> Result<Self, Error> {
        if let Some(text) = state.read(IDENTITY)? {
            return serde_json::from_slice(&text).map_err(|error| Error::Damaged(IDENTITY, error));
        }
        let identity = Self {
            install_id: InstallId(Uuid::new_v4()),
            key: random_key()?,
            next_key: None,
        };
        identity.save(state)?;
        Ok(identity)
    }

    /// Writes it; durable when it returns.
    pub(crate) fn save(&self, state: &StateDir) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Damaged(IDENTITY, error))?;
        Ok(state.write(IDENTITY, &text)?)
    }

    /// The same with a key to come.
    pub(crate) fn with_next(&self) -> Result<Self, Error> {
        Ok(Self {
            next_key: Some(random_key()?),
            ..self.clone()
        })
    }

    /// The same with the key to come as its key.
    pub(crate) fn promoted(&self) -> Self {
        Self {
            install_id: self.install_id,
            key: self.next_key.clone().unwrap_or_else(|| self.key.clone()),
            next_key: None,
        }
    }

    /// The key to come, a secret as well.
    pub(crate) fn next_key(&self) -> Option<&str> {
        self.next_key.as_deref()
    }

    /// The key, a secret; presented as bearer token.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What the server keeps of the key.
    pub fn key_sha256(&self) -> Hash {
        digest(&self.key)
    }
}

/// What the server keeps of a key.
pub(crate) fn digest(key: &str) -> Hash {
    Hash::from_digest(&Sha256::digest(key).into())
}

/// 32 random bytes in hexadecimal.
fn random_key() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let random: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(format!("tla_{}", Hash::from_digest(&bytes)))
}

/// What the server answered to an earlier enrolment, if there was one.
pub fn enrolment(state: &StateDir) -> Result<Option<Enrolled>, Error> {
    let text = state.read(ENROLMENT)?;
    text.map(|text| serde_json::from_slice(&text).map_err(|error| Error::Damaged(ENROLMENT, error)))
        .transpose()
}

/// Remembers that this agent is enrolled.
pub fn remember_enrolment(state: &StateDir, enrolled: &Enrolled) -> Result<(), Error> {
    let text = serde_json::to_vec(enrolled).map_err(|error| Error::Damaged(ENROLMENT, error))?;
    Ok(state.write(ENROLMENT, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_its_key_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = Identity::load_or_make(&state).unwrap();
        let again = Identity::load_or_make(&state).unwrap();
        assert_eq!((first.install_id, first.key()), (again.install_id, again.key()));
        assert_eq!(first.key().len(), 68);
        assert!(!format!("{first:?}").contains(first.key()));
    }

    #[test]
    fn a_damaged_identity_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        state.write(IDENTITY, b"{").unwrap();
        assert!(matches!(
            Identity::load_or_make(&state),
            Err(Error::Damaged(IDENTITY, _))
        ));
    }
}
