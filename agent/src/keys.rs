//! The agent's key, and the next one while it is being replaced.
//!
//! A new key is in the state directory before the server hears of it, and the present one stays there until the
//! server has welcomed the agent with the new one: whenever either side stops, one of the two works. Deliberately not
//! here: when a connection is opened.

use crate::identity::{Error, Identity, digest};
use crate::state_dir::StateDir;
use crate::stop::parking::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;
use tripline_protocol::Sha256;

/// The keys, of which one is presented at a time.
pub struct Keys {
    state: Arc<StateDir>,
    identity: Mutex<Identity>,
    /// The server has taken the next key.
    taken: Notify,
    prefers_next: Mutex<bool>,
}

impl Keys {
    /// Reads the identity, or makes one.
    pub fn open(state: &Arc<StateDir>) -> Result<Self, Error> {
        Ok(Self {
            state: Arc::clone(state),
            identity: Mutex::new(Identity::load_or_make(state)?),
            taken: Notify::new(),
            prefers_next: Mutex::new(false),
        })
    }

    /// The identity as it is now.
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// The keys to try, one after the other until the server takes one.
    pub fn candidates(&self) -> Vec<String> {
        let identity = self.identity.lock();
        let present = identity.key().to_owned();
        let next = identity.next_key().map(str::to_owned);
        match (next, *self.prefers_next.lock()) {
            (None, _) => vec![present],
            (Some(next), true) => vec![next, present],
            (Some(next), false) => vec![present, next],
        }
    }

    /// The server welcomed the agent with this key: if it is the next one, it is the present one from now on.
    pub fn welcomed_with(&self, key: &str) -> Result<(), Error> {
        let mut identity = self.identity.lock();
        if identity.next_key() != Some(key) {
            return Ok(());
        }
        let promoted = identity.promoted();
        promoted.save(&self.state)?;
        *identity = promoted;
        *self.prefers_next.lock() = false;
        tracing::info!("the agent's key is replaced");
        Ok(())
    }

    /// The next key, made and kept if there is none yet.
    pub fn rotate(&self) -> Result<Sha256, Error> {
        let mut identity = self.identity.lock();
        if let Some(next) = identity.next_key() {
            return Ok(digest(next));
        }
        let with_next = identity.with_next()?;
        with_next.save(&self.state)?;
        *identity = with_next;
        Ok(identity
            .next_key()
            .map(digest)
            .unwrap_or_else(|| identity.key_sha256()))
    }

    /// The next key, if there is one that the server does not use yet.
    pub fn pending(&self) -> Option<Sha256> {
        self.identity.lock().next_key().map(digest)
    }

    /// The server has taken this key: the next connection is to be opened with it.
    pub fn take(&self, key: &Sha256) {
        if self.pending().as_ref() == Some(key) {
            *self.prefers_next.lock() = true;
            self.taken.notify_one();
        }
    }

    /// Completes when a connection with the next key is to be opened.
    pub async fn taken(&self) {
        loop {
            if *self.prefers_next.lock() && self.pending().is_some() {
                return;
            }
            self.taken.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &tempfile::TempDir) -> Keys {
        Keys::open(&Arc::new(StateDir::open(dir.path()).unwrap())).unwrap()
    }

    #[test]
    fn at_every_moment_of_a_rotation_the_keys_on_disk_hold_one_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(&dir);
        let old = keys.candidates().remove(0);
        let named = keys.rotate().unwrap();
        assert_eq!(keys.rotate().unwrap(), named, "asked again, it is the same key");
        drop(keys);
        // It stopped before the server answered: the old key is tried first, and the new one is named again.
        let keys = open(&dir);
        let [first, next] = <[String; 2]>::try_from(keys.candidates()).unwrap();
        assert_eq!((&first, digest(&next)), (&old, named.clone()));
        assert_eq!(keys.pending(), Some(named.clone()));
        keys.take(&named);
        assert_eq!(keys.candidates(), [next.clone(), old.clone()]);
        keys.welcomed_with(&old).unwrap();
        assert_eq!(keys.pending(), Some(named), "the old key ends nothing");
        keys.welcomed_with(&next).unwrap();
        assert_eq!(keys.candidates(), [next.clone()]);
        drop(keys);
        assert_eq!(open(&dir).candidates(), [next]);
    }

    #[tokio::test]
    async fn only_the_key_that_was_named_is_changed_to() {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(&dir);
        let named = keys.rotate().unwrap();
        keys.take(&Sha256::from_digest(&[7; 32]));
        assert_eq!(keys.candidates().len(), 2);
        assert_ne!(digest(&keys.candidates()[0]), named);
        keys.take(&named);
        keys.taken().await;
        assert_eq!(digest(&keys.candidates()[0]), named);
    }
}
